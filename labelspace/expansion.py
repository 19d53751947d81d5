"""Seed set -> rows of (hashtag, label, role): what a hashtag is looked up in."""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labelspace.extract import fold_hashtag
from labelspace.hashtags import LabelHashtags, expand_label, label_words
from labelspace.seeds import Seed, SeedSet

_ONE_SYLLABLE_CVC = re.compile(r"(?:[^aeiou]*|[^aeiou]*qu)[aeiou][^aeiouwxy]")
_CVC = re.compile(r"\w*(?:[^aeiou]|qu)[aeiou][^aeiouwxy]")
# be, agree, tiptoe, dye; and singe, swinge, tinge, whose gerunds must not be those of sing, swing.
_KEEPS_E = re.compile(r"(?:^b|[eoy]|^(?:s|sw|t)ing)e$")


class HashtagLabel(NamedTuple):
    """A folded hashtag that stands for a label, or for one half of a verb+noun label."""

    hashtag: str
    label: str
    role: str = "label"
    """`label`, or in a joined seed set `verb` / `noun`."""
    synset: str | None = None


@dataclass(frozen=True)
class Expansion:
    """Every relevant hashtag of a seed set, and what a person should look at."""

    rows: tuple[HashtagLabel, ...]
    """Sorted."""
    collisions: tuple[tuple[str, tuple[str, ...]], ...]
    """Hashtags that stand for several labels of one role, with those labels."""
    truncated: tuple[LabelHashtags, ...]
    """Labels with more spellings than allowed, with those that were kept."""
    without_hashtags: tuple[str, ...]
    """Labels that no hashtag can match: all of theirs are too short or blocked."""


def expand_seeds(
    seed_set: SeedSet,
    *,
    expand_phrase: Callable[[str], LabelHashtags] = expand_label,
    min_length: int = 1,
    blocklist: Collection[str] = (),
) -> Expansion:
    """The relevant hashtags of every seed.

    A phrase is expanded word by word. A verb is a lemma already, so its two versions are the lemma
    and the gerund. A noun is its own hashtag. In a joined set verbs and nouns stay apart;
    `LabelMatcher` joins them, in both orders.

    Args:
        seed_set: what to expand.
        expand_phrase: `expand_label`, or a partial of it with other forms or limits.
        min_length: characters; shorter hashtags are left out (of verbs and nouns before joining).
        blocklist: hashtags to leave out, in any spelling that folds to the same.

    Raises:
        LabelError: see `expand_label`.
    """
    blocked = {fold_hashtag(hashtag) for hashtag in blocklist}
    rows: list[HashtagLabel] = []
    truncated: list[LabelHashtags] = []
    without: list[str] = []
    for seed in seed_set.seeds:
        phrase = seed.kind == "phrase"
        expanded = expand_phrase(seed.label) if phrase else _expand_word(seed)
        kept = {h for h in expanded.hashtags if len(h) >= min_length and h not in blocked}
        role = seed.kind if seed_set.joined else "label"
        rows += [HashtagLabel(hashtag, seed.label, role, seed.synset) for hashtag in kept]
        truncated += [expanded] if expanded.truncated else []
        without += [] if kept else [seed.label]
    return Expansion(
        rows=tuple(sorted(set(rows), key=lambda row: (row[:3], row.synset or ""))),
        collisions=tuple(_collisions(rows)),
        truncated=tuple(sorted(truncated, key=lambda expanded: expanded.label)),
        without_hashtags=tuple(sorted(set(without))),
    )


def gerunds(verb: str) -> tuple[str, ...]:
    """The verb's -ing forms by the rules of English spelling, sorted.

    Several where spelling depends on stress or country (traveling, travelling); one of them may be
    no word, which no one uses as a hashtag either.

    >>> [gerunds(verb) for verb in ("catch", "dance", "tie", "swim")]
    [('catching',), ('dancing',), ('tying',), ('swimming',)]
    """
    if verb.endswith("ie"):
        return (verb[:-2] + "ying",)
    if verb.endswith("e") and not _KEEPS_E.search(verb):
        return (verb[:-1] + "ing",)
    if re.search(r"[aeiou]c$", verb):
        return (verb + "king",)
    if _ONE_SYLLABLE_CVC.fullmatch(verb):
        return (verb + verb[-1] + "ing",)
    if _CVC.fullmatch(verb):
        return (verb + "ing", verb + verb[-1] + "ing")
    return (verb + "ing",)


def _expand_word(seed: Seed) -> LabelHashtags:
    hashtag = "".join(label_words(seed.label))
    versions = (hashtag, *gerunds(hashtag)) if seed.kind == "verb" else (hashtag,)
    return LabelHashtags(seed.label, frozenset(versions), truncated=False, choices=len(versions))


def _collisions(rows: Sequence[HashtagLabel]) -> Iterator[tuple[str, tuple[str, ...]]]:
    labels: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        labels[row.hashtag, row.role].add(row.label)
    for (hashtag, _), of_hashtag in sorted(labels.items()):
        if len(of_hashtag) > 1:
            yield hashtag, tuple(sorted(of_hashtag))
