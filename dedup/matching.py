"""Which target videos a source video may overlap: close frames, counted, with the evidence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

import numpy as np

from dedup.fingerprint import Fingerprint
from dedup.flat_search import Hits
from dedup.hashing import upside_down
from dedup.index import TargetIndex
from dedup.profiles import Profile
from dedup.vote import Vote, take_vote

_MOST_AT_ONCE, _FIRST_AT_ONCE = 128, 8
"""Source videos whose codes are searched together, and how many at the start."""
_HITS_AT_ONCE = 2_000_000
"""About so many hits are held, some 100 MB: where all videos are alike (people before one backdrop)
one pair of hashes in a hundred is close, and so fewer videos are searched together."""


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
    """1, 2, 3 or 4: the rule of the profile that held, the narrowest if several did."""
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
    """Yield `find_duplicates` of each source video; many at a time are searched far faster.

    Memory grows with the hits of some videos, see `_HITS_AT_ONCE`, not with their number.
    """
    rest, count = iter(fingerprints), _FIRST_AT_ONCE
    while some := list(islice(rest, count)):
        sizes = [len(fingerprint.codes) for fingerprint in some]
        sources = np.repeat(np.arange(len(some)), sizes)
        codes = np.concatenate([fingerprint.codes for fingerprint in some])
        hits = index.search(codes, profile.widest, sources)
        affordable = _HITS_AT_ONCE * len(some) // max(1, len(hits.query))
        count = max(1, min(_MOST_AT_ONCE, 4 * len(some), affordable))
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
        closest = _closest_first(fingerprint, theirs)
        vote = take_vote(fingerprint, index.rows, closest, profile)
        if vote.frames_needed:
            found.append(_duplicate(fingerprint, index, closest, vote))
    return tuple(found)


def as_decoy(fingerprint: Fingerprint) -> Fingerprint:
    """The fingerprint of the video shown upside down.

    Nobody re-uploads those, so each match is one by chance: matched decoys / videos estimates the
    share of videos removed falsely. Measured: within 1.2 times of the truth across unlike scenes,
    2 to 6 times too low among videos of one composition (talking heads).
    """
    return replace(fingerprint, codes=upside_down(fingerprint.codes))


def _closest_first(fingerprint: Fingerprint, hits: Hits) -> Hits:
    second = fingerprint.seconds[hits.query]
    # Rows lie by variant, then by second; queries with one second differ by version alone.
    name = np.array(fingerprint.versions)[hits.query]
    order = np.lexsort((name, second, hits.row, hits.distance))
    return Hits(*(part[order] for part in hits))


def _duplicate(
    fingerprint: Fingerprint, index: TargetIndex, closest: Hits, vote: Vote
) -> Duplicate:
    query, row, rows = int(closest.query[0]), int(closest.row[0]), index.rows
    target, target_video_id = rows.videos[rows.owner[row]]
    source_second, target_second = float(fingerprint.seconds[query]), float(rows.second[row])
    return Duplicate(
        target=target,
        target_video_id=target_video_id,
        matched_frames=len(np.unique(fingerprint.seconds[closest.query])),
        offset_s=source_second - target_second,
        min_distance=int(closest.distance[0]),
        variant=rows.variants[rows.variant[row]],
        source_second=source_second,
        target_second=target_second,
        version=fingerprint.versions[query],
        **vote._asdict(),
    )
