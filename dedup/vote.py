"""The vote on a source and a target video: are there close frames enough for a duplicate?

One close frame settles it. Several that are less close must each show something else in *both*
videos, be of one variant, as a re-upload keeps one part of the picture throughout, come in the same
order, and follow the target: each must be closer to its own frame than to those of the others. By
chance, one frame of the target that is like much (a flat one, a pattern) is met by several frames
of the source, in various parts of it; and people before one backdrop are as close at any moment.

Four frames that are further away still will do if they also keep the target's pace; and one less
close will do for a source video of a single picture, which has no second one to offer.

Measured on 66 clips and 37 edits of each against 150 clips: a wrong target is named for 2 of 2,500
files. Frames of any variant and order, not following, name one for 11 where these name none (at 64
and 72 bits), and take 44 % more pairs of one shoot or signer for duplicates.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint
from dedup.flat_search import Hits
from dedup.index import TargetRows
from dedup.profiles import Profile

_MOST_PAIRS = 512
"""Of more pairs of frames only the closest are compared with each other."""
_MOST_VARIANTS = 16
"""In so many variants, those with the closest frames, several frames are looked for."""
_PARTNERS = 3
"""A source frame is taken with so many target frames: so each of three finds one of its own."""
_STILL_BITS = 24
"""A video shows one picture if its frames are within so many bits of the one that matched."""
_FASTEST = 2.5
"""Between two frames one video may pass so many times the seconds that the other does."""
_SAMPLE_S = 0.5
"""From one frame of a source video to the next; two videos' frames are seldom of one moment."""
_PACE_S = 0.3
"""Seconds by which frames of one pace may be early or late."""
_FOUR = 4
_FOUR_FOLLOW = 24
"""Bits by which the four are closer to their own frames, on average, than two of them swapped."""

_Matrix = npt.NDArray[np.int64]


class Vote(NamedTuple):
    """What came of it."""

    frames_needed: int
    """How many frames the narrowest rule that holds asks for; 0 if none holds."""
    in_passing: bool
    """One picture gave the video away, and more than half of it shows others."""


class _Compared(NamedTuple):
    """Each two pairs of frames, [P, P]."""

    differ: npt.NDArray[np.bool_]
    """They show different frames of both videos, in one order."""
    agree: npt.NDArray[np.bool_]
    """They also follow the target."""
    followed: _Matrix
    """By how many bits they are further away with their target frames swapped."""


def take_vote(fingerprint: Fingerprint, rows: TargetRows, hits: Hits, profile: Profile) -> Vote:
    """The profile's vote on the hits of a source video on one target video, closest first."""
    closest = hits.distance[0]
    if closest <= profile.one_frame:
        near = hits.query[hits.distance <= profile.three_frames]
        matched, shown = np.unique(fingerprint.seconds[near]), np.unique(fingerprint.seconds)
        passing = 2 * len(matched) < len(shown)
        return Vote(1, passing and not _frames_together(fingerprint, rows, hits, profile))
    if closest <= profile.still and _stands_still(fingerprint, int(hits.query[0])):
        return Vote(1, in_passing=False)
    return Vote(_frames_together(fingerprint, rows, hits, profile), in_passing=False)


def _stands_still(fingerprint: Fingerprint, query: int) -> bool:
    """Whether the video shows the picture of this hash all the time, in every version.

    Where bars fill much of the frame the raw hashes stay while the picture between them moves, and
    what is set into a moving picture may stand still.
    """
    versions = np.array(fingerprint.versions)
    matched = versions == versions[query]
    if len(np.unique(fingerprint.seconds)) > np.count_nonzero(matched):
        return False
    codes = np.ascontiguousarray(fingerprint.codes).view(np.uint64)
    others = (codes[versions == name] for name in np.unique(versions[~matched]))
    spreads = [_bits(codes[[query]], codes[matched]), *(_bits(some[:1], some) for some in others)]
    return all(spread.max() < _STILL_BITS for spread in spreads)


def _frames_together(
    fingerprint: Fingerprint, rows: TargetRows, hits: Hits, profile: Profile
) -> int:
    """The fewest frames of one variant that together are enough: 2, 3, 4, or 0 if none are."""
    fewest = 0
    for pairs in _pairs_by_variant(fingerprint, rows, hits):
        compared = _compare(fingerprint, rows, pairs, profile.apart)
        two = pairs.distance <= profile.two_frames
        if compared.agree[np.ix_(two, two)].any():
            return 2
        three = pairs.distance <= profile.three_frames
        edges = compared.agree[np.ix_(three, three)].astype(np.float32)
        if ((edges @ edges) * edges).any():
            fewest = 3
        elif not fewest:
            pace = rows.second[pairs.row] - fingerprint.seconds[pairs.query]
            four = pairs.distance <= profile.four_frames
            fewest = _FOUR if _four_keep_pace(pace, four, compared) else 0
    return fewest


def _pairs_by_variant(fingerprint: Fingerprint, rows: TargetRows, hits: Hits) -> Iterator[Hits]:
    """Of each variant the closest pairs of frames; the variant with the closest pair first."""
    variant = rows.variant[hits.row]
    names, first, counts = np.unique(variant, return_index=True, return_counts=True)
    several = counts > 1
    for name in names[several][np.argsort(first[several])][:_MOST_VARIANTS]:
        pairs = _closest_pairs(fingerprint, rows, Hits(*(part[variant == name] for part in hits)))
        if len(pairs.query) > 1:
            yield pairs


def _closest_pairs(fingerprint: Fingerprint, rows: TargetRows, hits: Hits) -> Hits:
    """The closest hit of each source frame on each of the target frames closest to it."""
    source = _numbered(fingerprint.seconds[hits.query])
    _, first = np.unique(_numbered(source, rows.second[hits.row]), return_index=True)
    kept = np.sort(first)
    partners = kept[_rank_in_group(source[kept]) < _PARTNERS][:_MOST_PAIRS]
    return Hits(*(part[partners] for part in hits))


def _compare(fingerprint: Fingerprint, rows: TargetRows, pairs: Hits, apart: int) -> _Compared:
    """Hold each two pairs of frames of one variant against each other."""
    mine = np.ascontiguousarray(fingerprint.codes[pairs.query]).view(np.uint64)
    theirs = np.ascontiguousarray(rows.codes[pairs.row]).view(np.uint64)
    crossed = _bits(mine, theirs)
    followed = crossed + crossed.T - pairs.distance - pairs.distance[:, None]
    between = np.minimum(_bits(theirs, theirs), _distances(fingerprint, pairs.query))
    differ = between >= apart
    differ &= _in_order(fingerprint.seconds[pairs.query], rows.second[pairs.row])
    # Of the bits by which two frames differ, any edit leaves a fifth to tell them by.
    return _Compared(differ, differ & (5 * followed >= 2 * between), followed)


def _in_order(
    source: npt.NDArray[np.float32], target: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which two pairs come in the same order in both videos, at a speed that is possible."""
    passed, theirs = np.subtract.outer(source, source), np.subtract.outer(target, target)
    long, short = np.abs(passed), np.abs(theirs)
    possible = (long <= _FASTEST * short + _SAMPLE_S) & (short <= _FASTEST * long + _SAMPLE_S)
    return possible & (passed * theirs > 0)


def _four_keep_pace(
    pace: npt.NDArray[np.float32], near: npt.NDArray[np.bool_], compared: _Compared
) -> bool:
    """Whether four different pairs, as far apart in time in both videos, follow the target."""
    for common in np.unique(np.round(2 * pace[near]) / 2):
        chosen: list[int] = []
        for pair in np.flatnonzero(near & (np.abs(pace - common) <= _PACE_S)).tolist():
            if compared.differ[pair, chosen].all():
                chosen.append(pair)
            if len(chosen) == _FOUR:
                swaps = compared.followed[np.ix_(chosen, chosen)].sum() / (_FOUR * (_FOUR - 1))
                if swaps >= _FOUR_FOLLOW:
                    return True
                break
    return False


def _bits(one: npt.NDArray[np.uint64], other: npt.NDArray[np.uint64]) -> _Matrix:
    """Bits between each two codes of 4 words, [N, M]."""
    return np.asarray(np.bitwise_count(one[:, None] ^ other).sum(axis=2, dtype=np.int64))


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
