"""Hashtags -> the seed labels they stand for, one by one and in Arrow batches.

Look-up is exact: nine of ten substring matches are false (#using is not about singing). In the
verb_noun space a tag is split into a verb and a noun, so the product is never written out.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labelspace.extract import fold_hashtag
from labelspace.hashtags import relevant_hashtags
from labelspace.seeds import SeedSet

HashtagTuple = tuple[str, str, str, str | None]
"""(hashtag, label, role, synset)"""


@dataclass(frozen=True)
class Expansion:
    """A seed set's hashtags, sorted, and the labels that share one."""

    rows: tuple[HashtagTuple, ...]
    collisions: tuple[tuple[str, tuple[str, ...]], ...]
    """(hashtag, its labels) of every hashtag with more than one label; it gives all of them."""


def expand_seeds(
    seeds: SeedSet,
    *,
    forms: Sequence[str] = ("original", "stem"),
    max_hashtags: int = 5000,
    min_length: int = 1,
    blocklist: Iterable[str] = (),
) -> Expansion:
    """Every hashtag of every label, sorted; short and blocked ones left out."""
    blocked = {fold_hashtag(tag) for tag in blocklist}
    rows = sorted(
        (
            row
            for row in _rows(seeds, forms, max_hashtags)
            if len(row[0]) >= min_length and row[0] not in blocked
        ),
        key=lambda row: (row[0], row[1], row[2], row[3] or ""),
    )
    labels: dict[str, set[str]] = defaultdict(set)
    for hashtag, label, role, _ in rows:
        if role == "label":
            labels[hashtag].add(label)
    collisions = ((tag, tuple(sorted(of))) for tag, of in labels.items() if len(of) > 1)
    return Expansion(tuple(rows), tuple(sorted(collisions)))


class LabelMatcher:
    """Looks hashtags up; built from (hashtag, label, role) rows."""

    def __init__(self, rows: Iterable[tuple[str, str, str]]) -> None:
        tables: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for hashtag, label, role in rows:
            tables[role][hashtag].add(label)
        self._labels, self._verbs, self._nouns = (
            {tag: tuple(sorted(of)) for tag, of in tables[role].items()}
            for role in ("label", "verb", "noun")
        )

    def labels_of(self, hashtag: str) -> tuple[str, ...]:
        """The labels that a folded hashtag stands for, sorted; empty for most hashtags."""
        found = self._labels.get(hashtag)
        if found is not None:
            return found
        return self._verb_noun_labels(hashtag) if self._verbs else ()

    def match_lists(self, hashtags: pa.ListArray) -> pa.RecordBatch:
        """The rows with a relevant hashtag: `row` (index), `labels` and `hashtags`, both sorted.

        Each distinct hashtag of the batch is folded and looked up once.
        """
        encoded = hashtags.flatten().dictionary_encode()
        folded = [fold_hashtag(tag) if tag else "" for tag in encoded.dictionary.to_pylist()]
        labels = [self.labels_of(tag) for tag in folded]
        relevant = np.fromiter((bool(of) for of in labels), bool, len(labels))
        codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        known = codes >= 0
        known[known] = relevant[codes[known]] if len(relevant) else False
        parents = pc.list_parent_indices(hashtags).to_numpy(zero_copy_only=False)[known]
        return _grouped(parents, codes[known], folded, labels)

    def _verb_noun_labels(self, hashtag: str) -> tuple[str, ...]:
        found = set()
        for cut in range(1, len(hashtag)):
            head, tail = hashtag[:cut], hashtag[cut:]
            for verb, noun in ((head, tail), (tail, head)):
                for verb_label in self._verbs.get(verb, ()):
                    found |= {f"{verb_label} {label}" for label in self._nouns.get(noun, ())}
        return tuple(sorted(found))


def _rows(seeds: SeedSet, forms: Sequence[str], limit: int) -> Iterable[HashtagTuple]:
    if seeds.kind == "noun":
        for label, synset in zip(seeds.labels, seeds.synsets, strict=True):
            yield label, label, "label", synset
    elif seeds.kind == "verb":
        for verb in seeds.labels:
            yield from ((tag, verb, "label", None) for tag in verb_forms(verb))
    elif seeds.kind == "verb_noun":
        for verb in seeds.labels:
            yield from ((tag, verb, "verb", None) for tag in verb_forms(verb))
        yield from ((noun, noun, "noun", None) for noun in seeds.nouns)
    else:
        for label in seeds.labels:
            tags = relevant_hashtags(label, forms, max_hashtags=limit)
            yield from ((tag, label, "label", None) for tag in tags)


def verb_forms(verb: str) -> tuple[str, ...]:
    """A verb as people tag it: the lemma and its form in -ing.

    >>> verb_forms("catch"), verb_forms("ride"), verb_forms("swim")
    (('catch', 'catching'), ('ride', 'riding'), ('swim', 'swimming', 'swiming'))
    """
    return tuple(dict.fromkeys(fold_hashtag(form) for form in (verb, *_gerunds(verb))))


def _gerunds(verb: str) -> list[str]:
    vowels = "aeiou"
    if verb.endswith("ie"):
        return [verb[:-2] + "ying"]
    if verb.endswith("e") and not verb.endswith(("ee", "ye", "oe")):
        return [verb[:-1] + "ing"]
    short = len(verb) > 2 and verb[-1] not in vowels + "wxyh" and verb[-2] in vowels
    # Whether the last consonant doubles depends on the stress, which spelling does not show.
    if short and verb[-3] not in vowels:
        return [verb + verb[-1] + "ing", verb + "ing"]
    return [verb + "ing"]


def _grouped(
    parents: np.ndarray, codes: np.ndarray, folded: list[str], labels: list[tuple[str, ...]]
) -> pa.RecordBatch:
    rows, starts = np.unique(parents, return_index=True)
    pieces = np.split(codes, starts[1:]) if len(rows) else []
    found_labels, found_tags = [], []
    for piece in pieces:
        distinct = set(piece.tolist())
        found_labels.append(sorted({label for code in distinct for label in labels[code]}))
        found_tags.append(sorted({folded[code] for code in distinct}))
    strings = pa.list_(pa.string())
    return pa.record_batch(
        {
            "row": pa.array(rows, pa.int64()),
            "labels": pa.array(found_labels, strings),
            "hashtags": pa.array(found_tags, strings),
        }
    )
