"""The vote on a source and a target video: are there close frames enough for a duplicate?

One close frame settles it. Several that are less close must each show something else in *both*
videos, and all be turned the same way: by chance, one frame of the target that is like much (a flat
one, a pattern) is met by several frames of the source, some of them mirrored.

Measured on 66 clips and 37 edits of each against 150 clips: a wrong target is named for 2 of 2,500
files, and for 14 if frames need to differ in the source alone; as many re-uploads are found.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint
from dedup.flat_search import Hits
from dedup.index import TargetRows
from dedup.profiles import Profile

_MOST_PAIRS = 512
"""Of more pairs of frames only the closest are compared with each other."""
_PARTNERS = 3
"""A source frame is taken with so many target frames: so each of three finds one of its own."""


class Vote(NamedTuple):
    """What came of it."""

    frames_needed: int
    """How many frames the narrowest rule that holds asks for; 0 if none holds."""
    in_passing: bool
    """One picture gave the video away, and more than half of it shows others."""


def take_vote(fingerprint: Fingerprint, rows: TargetRows, hits: Hits, profile: Profile) -> Vote:
    """The profile's vote on the hits of a source video on one target video, closest first."""
    pairs = _closest_pairs(fingerprint, rows, hits)
    differ = _differ(fingerprint, rows, pairs, profile.apart)
    two = pairs.distance <= profile.two_frames
    several = bool(differ[np.ix_(two, two)].any())
    if hits.distance[0] <= profile.one_frame:
        matched, shown = np.unique(fingerprint.seconds[hits.query]), np.unique(fingerprint.seconds)
        return Vote(1, not several and 2 * len(matched) < len(shown))
    if several:
        return Vote(2, in_passing=False)
    edges = differ.astype(np.float32)
    return Vote(3 if ((edges @ edges) * edges).any() else 0, in_passing=False)


def _closest_pairs(fingerprint: Fingerprint, rows: TargetRows, hits: Hits) -> Hits:
    """The closest hit of each source frame on each of the target frames closest to it."""
    turn = rows.turns[rows.variant[hits.row]]
    source = _numbered(turn, fingerprint.seconds[hits.query])
    _, first = np.unique(_numbered(source, rows.second[hits.row]), return_index=True)
    kept = np.sort(first)
    partners = kept[_rank_in_group(source[kept]) < _PARTNERS][:_MOST_PAIRS]
    return Hits(*(part[partners] for part in hits))


def _differ(
    fingerprint: Fingerprint, rows: TargetRows, pairs: Hits, apart: int
) -> npt.NDArray[np.bool_]:
    """Which two pairs show different frames of both videos, turned the same way, [P, P]."""
    source, target = fingerprint.seconds[pairs.query], rows.second[pairs.row]
    turn = rows.turns[rows.variant[pairs.row]]
    codes = rows.codes[pairs.row].view(np.uint64)
    differ = np.equal.outer(turn, turn)
    differ &= np.not_equal.outer(source, source) & np.not_equal.outer(target, target)
    differ &= np.bitwise_count(codes[:, None] ^ codes).sum(axis=2, dtype=np.uint16) >= apart
    differ &= _distances(fingerprint, pairs.query) >= apart
    return differ


def _distances(fingerprint: Fingerprint, queries: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bits between each two of these frames, [P, P]; unlike versions are never compared.

    Two frames are compared in the version in which one of them matched: if bars fill half of the
    frame, the raw codes hardly differ; and a frame differs from itself without its bars.
    """
    _, second = np.unique(fingerprint.seconds, return_inverse=True)
    _, version = np.unique(fingerprint.versions, return_inverse=True)
    places = np.full((version.max() + 1, second.max() + 1), -1)
    places[version, second] = np.arange(len(second))
    others = places[version[queries][:, None], second[queries]]
    codes = np.ascontiguousarray(fingerprint.codes).view(np.uint64)
    differing = np.bitwise_count(codes[others] ^ codes[queries][:, None])
    between = np.where(others < 0, 0, differing.sum(axis=2, dtype=np.int64))
    return np.maximum(between, between.T)


def _numbered(*keys: npt.NDArray[np.generic]) -> npt.NDArray[np.int64]:
    """A number for each combination of values."""
    number = np.zeros(len(keys[0]), np.int64)
    for key in keys:
        values, place = np.unique(key, return_inverse=True)
        number = number * len(values) + place
    return number


def _rank_in_group(group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How many of the same group come before each."""
    order = np.argsort(group, kind="stable")
    _, starts, sizes = np.unique(group[order], return_index=True, return_counts=True)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, sizes)
    return rank
