"""Which labels do these hashtags stand for: exact look-up, one at a time or by the batch.

A hashtag matches whole or not at all: nine in ten substring hits are false (#using, #asking). A
verb+noun hashtag is split in two instead of listing all 3 million of them.
"""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from labelspace.bulk import fold_hashtags
from labelspace.extract import fold_hashtag

MATCH_SCHEMA = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("labels", pa.list_(pa.string()), nullable=False),
        pa.field("hashtags", pa.list_(pa.string()), nullable=False),
    ]
)


class HashtagLabelRow(Protocol):
    """What a matcher is built from: a row of the hashtags table has this shape."""

    @property
    def hashtag(self) -> str:
        """Folded."""

    @property
    def label(self) -> str:
        """The label, or the half of one."""

    @property
    def role(self) -> str:
        """`label`, `verb` or `noun`."""


class LabelMatcher:
    """The labels of hashtags; built once, then only read, so threads may share it.

    >>> from labelspace.expansion import HashtagLabel
    >>> rows = [("catch", "verb"), ("catching", "verb"), ("fish", "noun")]
    >>> matcher = LabelMatcher([HashtagLabel(h, h.removesuffix("ing"), role) for h, role in rows])
    >>> [matcher.labels_of(tag) for tag in ("#CatchingFish", "fish_catch", "fish")]
    [('catch fish',), ('catch fish',), ()]
    """

    def __init__(self, rows: Iterable[HashtagLabelRow]) -> None:
        """Index the rows.

        Raises:
            ValueError: a role other than `label`, `verb` and `noun`.
        """
        by_role: dict[str, dict[str, set[str]]] = {"label": {}, "verb": {}, "noun": {}}
        for row in rows:
            if row.role not in by_role:
                raise ValueError(f"role must be label, verb or noun, got {row.role!r}")
            by_role[row.role].setdefault(row.hashtag, set()).add(row.label)
        whole, self._verbs, self._nouns = map(_sorted_labels, by_role.values())
        self._whole = _LabelIndex.build(whole)
        self._labels = whole
        self._verb_lengths = sorted({len(verb) for verb in self._verbs})
        any_verb = "|".join(map(re.escape, self._verbs))
        self._verb_at_an_end = f"^(?:{any_verb})|(?:{any_verb})$"
        self._longest_noun = max(map(len, self._nouns), default=0)

    def labels_of(self, hashtag: str) -> tuple[str, ...]:
        """The labels that one hashtag stands for, sorted; none is the common case.

        `hashtag` may be written in any way that folds to a known one.
        """
        return self._labels_of_folded(fold_hashtag(hashtag))

    def match_lists(self, *hashtags: pa.ListArray) -> pa.RecordBatch:
        """The rows of a batch of posts that carry a relevant hashtag.

        Args:
            hashtags: list<string>, one list per post, as written; null lists and items match none.
                Several arrays (a column of hashtags, and those of the captions) count as one.

        Returns:
            One row per matching post, in order (`MATCH_SCHEMA`): its index in the batch, its labels
            and its relevant hashtags, folded; both sorted and without repeats.
        """
        tags = pa.chunked_array([lists.flatten() for lists in hashtags]).combine_chunks()
        tags = tags.dictionary_encode()
        posts = np.concatenate([pc.list_parent_indices(lists).to_numpy() for lists in hashtags])
        folded = fold_hashtags(tags.dictionary)
        index = self._index_of(folded)
        key_of_tag = pc.index_in(folded, value_set=index.hashtags).fill_null(-1).to_numpy()
        tag_of_item = tags.indices.fill_null(len(key_of_tag)).to_numpy()
        # One slot more: a null item points at it and finds no key.
        keys = np.append(key_of_tag, -1)[tag_of_item].astype(np.int64)
        found = keys >= 0
        return index.group(posts[found].astype(np.int64), keys[found])

    def _index_of(self, folded: pa.StringArray) -> "_LabelIndex":
        if not self._verbs:
            return self._whole
        # Arrow's regex passes over most hashtags about ten times as fast as Python would.
        likely = pc.or_(
            pc.match_substring_regex(folded, self._verb_at_an_end),
            pc.is_in(folded, value_set=self._whole.hashtags),
        )
        labels = {tag: self._labels_of_folded(tag) for tag in folded.filter(likely).to_pylist()}
        return _LabelIndex.build({tag: of_tag for tag, of_tag in labels.items() if of_tag})

    def _labels_of_folded(self, tag: str) -> tuple[str, ...]:
        whole = self._labels.get(tag, ())
        joined = set(self._split(tag)) if self._verbs else ()
        return tuple(sorted({*whole, *joined})) if joined else whole

    def _split(self, tag: str) -> Iterator[str]:
        """Every verb+noun label that the tag spells, verb first or noun first."""
        if len(tag) > self._verb_lengths[-1] + self._longest_noun:
            return
        verbs, nouns = self._verbs, self._nouns
        for length in self._verb_lengths:
            if length >= len(tag):
                return
            if (verb := tag[:length]) in verbs and (noun := tag[length:]) in nouns:
                yield from map(" ".join, itertools.product(verbs[verb], nouns[noun]))
            if (verb := tag[-length:]) in verbs and (noun := tag[:-length]) in nouns:
                yield from map(" ".join, itertools.product(verbs[verb], nouns[noun]))


def _sorted_labels(labels: Mapping[str, set[str]]) -> dict[str, tuple[str, ...]]:
    return {hashtag: tuple(sorted(labels[hashtag])) for hashtag in sorted(labels)}


@dataclass(frozen=True)
class _LabelIndex:
    """Hashtags and their labels as arrays: hashtag k has labels label_ids[starts[k]:starts[k+1]].

    Both texts are sorted, so sorting numbers sorts texts.
    """

    hashtags: pa.StringArray
    labels: pa.StringArray
    starts: NDArray[np.int64]
    label_ids: NDArray[np.int64]

    @classmethod
    def build(cls, labels_by_hashtag: Mapping[str, Sequence[str]]) -> "_LabelIndex":
        hashtags = sorted(labels_by_hashtag)
        labels = sorted(set(itertools.chain.from_iterable(labels_by_hashtag.values())))
        position = {label: i for i, label in enumerate(labels)}
        counts = [len(labels_by_hashtag[hashtag]) for hashtag in hashtags]
        ids = [position[label] for hashtag in hashtags for label in labels_by_hashtag[hashtag]]
        return cls(
            pa.array(hashtags, type=pa.string()),
            pa.array(labels, type=pa.string()),
            np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64),
            np.array(ids, dtype=np.int64),
        )

    def group(self, posts: NDArray[np.int64], keys: NDArray[np.int64]) -> pa.RecordBatch:
        """Pairs of post and hashtag -> one row per post (`MATCH_SCHEMA`)."""
        rows, hashtags = _group_distinct(posts, keys, self.hashtags)
        counts = np.diff(self.starts)[keys]
        # Positions 0..count-1 within each hashtag's run of labels, for all pairs at once.
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        label_ids = self.label_ids[np.repeat(self.starts[keys], counts) + within]
        _, labels = _group_distinct(np.repeat(posts, counts), label_ids, self.labels)
        return pa.record_batch([rows, labels, hashtags], schema=MATCH_SCHEMA)


def _group_distinct(
    posts: NDArray[np.int64], values: NDArray[np.int64], texts: pa.StringArray
) -> tuple[pa.Int64Array, pa.ListArray]:
    """The distinct posts, sorted, and of each the distinct texts, sorted."""
    pairs = np.unique(posts * max(len(texts), 1) + values)
    post_of_pair, values = np.divmod(pairs, max(len(texts), 1))
    rows, first = np.unique(post_of_pair, return_index=True)
    offsets = np.append(first, len(pairs)).astype(np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), texts.take(pa.array(values)))
    return pa.array(rows, type=pa.int64()), lists
