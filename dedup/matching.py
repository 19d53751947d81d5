"""Which target videos a source video may overlap: close frames, counted, with the evidence."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint
from dedup.hashing import upside_down
from dedup.index import Hits, TargetIndex

_MOST_FRAMES = 256
"""Of more matched frames, only the closest are compared with each other."""


@dataclass(frozen=True)
class Profile:
    """How close, in bits of 256, frames must be for their video to be a duplicate.

    One frame within `one_frame`, or two within `two_frames`, or three within `three_frames`; of
    several, each pair must be `apart` from each other, or a still picture would count as many.
    """

    one_frame: int
    two_frames: int
    three_frames: int
    apart: int

    def __post_init__(self) -> None:
        if not 0 <= self.one_frame <= self.two_frames <= self.three_frames <= 256:
            raise ValueError(f"a profile's distances must rise within 0..256, got {self}")
        if not 0 <= self.apart <= 256:
            raise ValueError(f"a profile's apart must be in 0..256, got {self.apart}")


PROFILES = {"aggressive": Profile(40, 64, 72, apart=24), "scale": Profile(40, 48, 52, apart=40)}
"""`aggressive` for up to ~10,000 target videos; `scale` keeps false removals rare beyond."""


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


def find_duplicates(
    fingerprint: Fingerprint, index: TargetIndex, profile: Profile
) -> tuple[Duplicate, ...]:
    """Every target video that the profile takes the source video to overlap.

    Sorted by target and target_video_id. Of equally close pairs of frames the evidence is the one
    with the unaltered target frame, else by variant, target second, source second and version.
    """
    hits = index.search(fingerprint.codes, profile.three_frames)
    owners = index.rows.owner[hits.row]
    found = []
    for owner in np.unique(owners):
        theirs = Hits(*(part[owners == owner] for part in hits))
        best = _best_of_each_second(fingerprint, theirs)
        frames_needed = _rule_that_holds(fingerprint, best, profile)
        if frames_needed:
            found.append(_duplicate(fingerprint, index, best, frames_needed))
    return tuple(found)


def count_decoy_hits(
    fingerprints: Iterable[Fingerprint], index: TargetIndex, profile: Profile
) -> int:
    """How many of the videos would be duplicates if they were shown upside down.

    Nobody re-uploads those, so each is a match by chance: hits / videos estimates the share of
    videos removed falsely. Measured: within 1.2 times of the truth across unlike scenes, 2 to 6
    times too low among videos of one composition (talking heads).
    """
    decoys = (replace(shown, codes=upside_down(shown.codes)) for shown in fingerprints)
    return sum(bool(find_duplicates(decoy, index, profile)) for decoy in decoys)


def _best_of_each_second(fingerprint: Fingerprint, hits: Hits) -> Hits:
    """The closest hit of each source frame, closest frame first."""
    second = fingerprint.seconds[hits.query]
    # Rows lie by variant, then by second; queries with one second differ by version alone.
    name = np.array(fingerprint.versions)[hits.query]
    order = np.lexsort((name, second, hits.row, hits.distance))
    _, first = np.unique(second[order], return_index=True)
    kept = order[np.sort(first)]
    return Hits(*(part[kept] for part in hits))


def _rule_that_holds(fingerprint: Fingerprint, best: Hits, profile: Profile) -> int:
    """How many frames the narrowest rule that holds asks for; 0 if none holds."""
    if best.distance[0] <= profile.one_frame:
        return 1
    frames = best.query[:_MOST_FRAMES]
    apart = _distances(fingerprint, frames) >= profile.apart
    np.fill_diagonal(apart, val=False)
    two = best.distance[:_MOST_FRAMES] <= profile.two_frames
    if apart[np.ix_(two, two)].any():
        return 2
    edges = apart.astype(np.float64)
    return 3 if ((edges @ edges) * edges).any() else 0


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


def _duplicate(
    fingerprint: Fingerprint, index: TargetIndex, best: Hits, frames_needed: int
) -> Duplicate:
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
        frames_needed=frames_needed,
    )
