"""Which target videos a source video may overlap: close frames, counted, with the evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint
from dedup.flat_search import Hits
from dedup.hashing import upside_down
from dedup.index import TargetIndex
from dedup.profiles import Profile

_SEARCHED_AT_ONCE = 128
"""Source videos whose codes are searched together."""
_MOST_FRAMES = 256
"""Of more matched frames, only the closest are compared with each other."""


@dataclass(frozen=True)
class Duplicate:
    """A target video that the source video may overlap; the rest is the evidence.

    Seconds, distance, version and variant are those of the closest pair of frames.
    """

    target: str
    target_video_id: str
    matched_frames: int
    """Source frames within the profile's widest distance of some frame of the target video."""
    offset_s: float
    """Source second minus target second."""
    min_distance: int
    variant: str
    """How the target's frame was altered to match, e.g. `crop85+mirror`."""
    source_second: float
    target_second: float
    version: str
    """What of the source's frame matched, e.g. `stripped`."""
    frames_needed: int
    """1, 2 or 3: the rule of the profile that held, the narrowest if several did."""
    in_passing: bool = False
    """One picture gave it away, and more than half of the source video shows others."""


def find_duplicates(
    fingerprint: Fingerprint, index: TargetIndex, profile: Profile
) -> tuple[Duplicate, ...]:
    """Every target video that the profile takes the source video to overlap.

    Sorted by target and target_video_id. Of equally close pairs of frames the evidence is the one
    with the unaltered target frame, else by variant, target second, source second and version.
    """
    return next(find_all([fingerprint], index, profile))


def find_all(
    fingerprints: Iterable[Fingerprint], index: TargetIndex, profile: Profile
) -> Iterator[tuple[Duplicate, ...]]:
    """Yield `find_duplicates` of each source video; many at a time are searched far faster."""
    rest = iter(fingerprints)
    while some := list(islice(rest, _SEARCHED_AT_ONCE)):
        sizes = [len(fingerprint.codes) for fingerprint in some]
        sources = np.repeat(np.arange(len(some)), sizes)
        codes = np.concatenate([fingerprint.codes for fingerprint in some])
        hits = index.search(codes, profile.three_frames, sources)
        starts = np.cumsum(sizes) - sizes
        ends = np.searchsorted(hits.query, np.append(starts, len(codes)))
        for fingerprint, start, (first, last) in zip(some, starts, pairwise(ends), strict=True):
            mine = Hits(*(part[first:last] for part in hits))
            yield _found(fingerprint, index, mine._replace(query=mine.query - start), profile)


def _found(
    fingerprint: Fingerprint, index: TargetIndex, hits: Hits, profile: Profile
) -> tuple[Duplicate, ...]:
    owners = index.rows.owner[hits.row]
    found = []
    for owner in np.unique(owners):
        theirs = Hits(*(part[owners == owner] for part in hits))
        best = _best_of_each_second(fingerprint, theirs)
        rule = _rule_that_holds(fingerprint, best, profile)
        if rule.frames_needed:
            found.append(_duplicate(fingerprint, index, best, rule))
    return tuple(found)


def as_decoy(fingerprint: Fingerprint) -> Fingerprint:
    """The fingerprint of the video shown upside down.

    Nobody re-uploads those, so each match is one by chance: matched decoys / videos estimates the
    share of videos removed falsely. Measured: within 1.2 times of the truth across unlike scenes,
    2 to 6 times too low among videos of one composition (talking heads).
    """
    return replace(fingerprint, codes=upside_down(fingerprint.codes))


def _best_of_each_second(fingerprint: Fingerprint, hits: Hits) -> Hits:
    """The closest hit of each source frame, closest frame first."""
    second = fingerprint.seconds[hits.query]
    # Rows lie by variant, then by second; queries with one second differ by version alone.
    name = np.array(fingerprint.versions)[hits.query]
    order = np.lexsort((name, second, hits.row, hits.distance))
    _, first = np.unique(second[order], return_index=True)
    kept = order[np.sort(first)]
    return Hits(*(part[kept] for part in hits))


class _Rule(NamedTuple):
    """How many frames the narrowest rule that holds asks for; 0 if none holds."""

    frames_needed: int
    in_passing: bool


def _rule_that_holds(fingerprint: Fingerprint, best: Hits, profile: Profile) -> _Rule:
    frames = best.query[:_MOST_FRAMES]
    apart = _distances(fingerprint, frames) >= profile.apart
    np.fill_diagonal(apart, val=False)
    two = best.distance[:_MOST_FRAMES] <= profile.two_frames
    several = bool(apart[np.ix_(two, two)].any())
    if best.distance[0] <= profile.one_frame:
        shown = len(np.unique(fingerprint.seconds))
        return _Rule(1, not several and 2 * len(best.query) < shown)
    if several:
        return _Rule(2, in_passing=False)
    edges = apart.astype(np.float64)
    return _Rule(3 if ((edges @ edges) * edges).any() else 0, in_passing=False)


def _distances(fingerprint: Fingerprint, queries: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Bits between each two of these frames, [F, F]; unlike versions are never compared.

    Two frames are compared in the version in which one of them matched: if bars fill half of the
    frame, the raw codes hardly differ; and a frame differs from itself without its bars.
    """
    by_place = {
        (second, version): i
        for i, (second, version) in enumerate(
            zip(fingerprint.seconds.tolist(), fingerprint.versions, strict=True)
        )
    }
    between = np.zeros((len(queries), len(queries)), np.int64)
    seconds = fingerprint.seconds[queries].tolist()
    for place, query in enumerate(queries.tolist()):
        version = fingerprint.versions[query]
        others = np.array([by_place.get((second, version), -1) for second in seconds])
        differing = np.bitwise_count(fingerprint.codes[others] ^ fingerprint.codes[query])
        between[place] = np.where(others < 0, 0, differing.sum(axis=1))
    return np.maximum(between, between.T)


def _duplicate(fingerprint: Fingerprint, index: TargetIndex, best: Hits, rule: _Rule) -> Duplicate:
    query, row, rows = int(best.query[0]), int(best.row[0]), index.rows
    target, target_video_id = rows.videos[rows.owner[row]]
    source_second, target_second = float(fingerprint.seconds[query]), float(rows.second[row])
    return Duplicate(
        target=target,
        target_video_id=target_video_id,
        matched_frames=len(best.query),
        offset_s=source_second - target_second,
        min_distance=int(best.distance[0]),
        variant=rows.variants[rows.variant[row]],
        source_second=source_second,
        target_second=target_second,
        version=fingerprint.versions[query],
        **rule._asdict(),
    )
