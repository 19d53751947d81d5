"""Which videos of one set show the same, and which of them is kept."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dedup.fingerprint import Fingerprint
from dedup.hashing import mirrored_codes
from dedup.index import TargetIndex, TargetVideo
from dedup.matching import Duplicate, find_duplicates
from dedup.profiles import REPOST_BITS, Profile
from dedup.variants import MIRROR

INSET = "inset"
"""What the versions of a frame start with that show a video set into it. They are left out here: a
reaction to a video is none of it again, and would be kept in its place, being longer."""
SHARE = 0.5
"""Of the hashed seconds of one of the two, as many must be found in the other."""
AS_LONG = 0.95
"""A video that is this share of the longest is as long: re-encoding adds and loses frames."""


class Facts(NamedTuple):
    """What of a video decides whether it is the one that is kept."""

    duration_s: float
    has_bars: bool
    pixels: int
    """Width times height of the stored video."""
    source_bytes: int


@dataclass(frozen=True)
class Likeness:
    """The closest frames of two videos that show the same, in the order they were given."""

    matched_frames: int
    min_distance: int
    first_second: float
    second_second: float
    first_version: str
    second_version: str


def compare_videos(
    first: Fingerprint, second: Fingerprint, bits: int = REPOST_BITS
) -> Likeness | None:
    """How the second video resembles the first, as it is or mirrored; None if too little.

    Half of the frames of one of the two must be in the other: a title in common makes no re-post, a
    trimmed copy, or one inside a longer video, does. The vote against targets asks for one frame in
    40 bits, or three in 72. That is right where a leak is to be avoided at any price, but here it
    would make one video of all that was shot before one backdrop.
    """
    first, second = _without_insets(first), _without_insets(second)
    found = _found_in(first, second, bits)
    if found is None:
        return None
    share = found.matched_frames / _frames(first)
    if share < SHARE:
        back = _found_in(second, first, bits)
        share = back.matched_frames / _frames(second) if back else 0.0
    if share < SHARE:
        return None
    return Likeness(
        found.matched_frames,
        found.min_distance,
        found.source_second,
        found.target_second,
        found.version,
        found.variant,
    )


def find_components(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The least key of those that each key is tied to by pairs, itself included.

    Memory is that of the keys, time that of the pairs.

    >>> find_components([("b", "c"), ("x", "y"), ("a", "c")])
    {'b': 'a', 'c': 'a', 'x': 'x', 'y': 'x', 'a': 'a'}
    """
    parents: dict[str, str] = {}
    for pair in pairs:
        one, other = (_root(parents, key) for key in pair)
        parents[max(one, other)] = min(one, other)
    return {key: _root(parents, key) for key in parents}


def choose_kept(components: Mapping[str, str], facts: Mapping[str, Facts]) -> dict[str, str]:
    """The video of its component that is kept, by video; the same whatever the order.

    The longest, for it holds what the others show. Of those as long, one without bars over one
    with: they are added, never taken off; then the most pixels, the largest file (re-encoding adds
    nothing), and last the lowest key, which is as good as any and never changes.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for key, component in components.items():
        members[component].append(key)
    kept = {component: _best_of(keys, facts) for component, keys in members.items()}
    return {key: kept[component] for key, component in components.items()}


def _best_of(keys: list[str], facts: Mapping[str, Facts]) -> str:
    longest = max(facts[key].duration_s for key in keys)
    as_long = [key for key in keys if facts[key].duration_s >= AS_LONG * longest]

    def rank(key: str) -> tuple[bool, int, int, str]:
        known = facts[key]
        return known.has_bars, -known.pixels, -known.source_bytes, key

    return min(as_long, key=rank)


def _without_insets(video: Fingerprint) -> Fingerprint:
    rows = [i for i, version in enumerate(video.versions) if not version.startswith(INSET)]
    versions = tuple(video.versions[i] for i in rows)
    return Fingerprint(video.codes[rows], video.seconds[rows], versions)


def _found_in(video: Fingerprint, other: Fingerprint, bits: int) -> Duplicate | None:
    both = Fingerprint(
        np.concatenate([other.codes, mirrored_codes(other.codes)]),
        np.concatenate([other.seconds, other.seconds]),
        (*other.versions, *(version + MIRROR for version in other.versions)),
    )
    index = TargetIndex.build([TargetVideo("", "", both)])
    found = find_duplicates(video, index, Profile(bits, bits, bits, apart=0))
    return found[0] if found else None


def _frames(fingerprint: Fingerprint) -> int:
    return len(np.unique(fingerprint.seconds))


def _root(parents: dict[str, str], key: str) -> str:
    parents.setdefault(key, key)
    root = key
    while parents[root] != root:
        root = parents[root]
    while parents[key] != root:
        parents[key], key = root, parents[key]
    return root
