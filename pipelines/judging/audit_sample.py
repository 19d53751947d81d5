"""Which removals a person is to judge: drawn at random, more of those near the threshold.

A removal is a source video, shown with the target video that it matches most surely: if that one is
right, so is the removal. Those near the threshold are the ones worth looking at, and those that
tell least about the rest; so the removals are split into strata, each has its own random draw, and
what was drawn more often counts for less in the estimate over all.
"""

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from dedup.profiles import Profile
from formats.shards import digest_of
from formats.tables import DuplicateRow
from pipelines.reporting.pairs import FRAMES

NEAR, MIDDLE, FAR, EXACT = "near", "middle", "far", "exact"
STRATA = (NEAR, MIDDLE, FAR, EXACT)
_NEAR_SHARE = 0.5
_ID_DIGITS = 16


@dataclass(frozen=True)
class Drawn:
    """One removal of the sample."""

    pair: str
    """Hex hash of (rng_seed, row_key, target, target_video_id): its name, and its turn."""
    stratum: str
    row: DuplicateRow


@dataclass(frozen=True)
class AuditSample:
    """The removals drawn, in the order of their hashes, and what they were drawn from."""

    drawn: tuple[Drawn, ...]
    sizes: Mapping[str, int]
    """Removals by stratum."""


def draw_sample(
    evidence: Iterable[DuplicateRow], profile: Profile, *, pairs: int, near_bits: int, rng_seed: int
) -> AuditSample:
    """So many removals, half of them near the threshold as far as there are any.

    The rows of one video must follow each other. A larger sample holds a smaller one. Memory grows
    with the sample, not with the removals.
    """
    sizes: Counter[str] = Counter()
    first: dict[str, list[tuple[str, DuplicateRow]]] = {name: [] for name in STRATA}
    for _, rows in groupby(evidence, key=lambda row: row.row_key):
        row = min(rows, key=_certainty)
        stratum = stratum_of(row, profile, near_bits)
        sizes[stratum] += 1
        names = row.row_key, row.target, row.target_video_id
        first[stratum].append((digest_of(rng_seed, *names)[:_ID_DIGITS], row))
        if len(first[stratum]) > 2 * pairs:
            first[stratum] = _first(first[stratum], pairs)
    counts = allocate(sizes, pairs)
    drawn = [
        Drawn(pair, name, row)
        for name in STRATA
        for pair, row in _first(first[name], counts.get(name, 0))
    ]
    return AuditSample(
        tuple(sorted(drawn, key=lambda one: one.pair)), {name: sizes[name] for name in STRATA}
    )


def stratum_of(row: DuplicateRow, profile: Profile, near_bits: int) -> str:
    """How far a removal is from not being one, by its closest frame.

    That is the limit of the rule that held minus the frame's distance.
    """
    if row.tier != FRAMES:
        return EXACT
    limits = profile.one_frame, profile.two_frames, profile.three_frames, profile.four_frames
    margin = limits[row.frames_needed - 1] - row.min_distance
    if margin <= near_bits:
        return NEAR
    return MIDDLE if margin <= 3 * near_bits else FAR


def say_stratum(name: str, near_bits: int) -> str:
    """What a stratum holds, in words."""
    return {
        NEAR: f"closest frame within {near_bits} bits of the limit",
        MIDDLE: f"closest frame {near_bits + 1} to {3 * near_bits} bits below the limit",
        FAR: f"closest frame more than {3 * near_bits} bits below the limit",
        EXACT: "exact copies, by address, id or bytes",
    }[name]


def allocate(sizes: Mapping[str, int], pairs: int) -> dict[str, int]:
    """How many to draw from each stratum: one of each, then half near, the others by their size.

    >>> allocate({"near": 100, "far": 300, "exact": 100}, 20)
    {'near': 10, 'far': 8, 'exact': 2}
    """
    held = {name: size for name, size in sizes.items() if size}
    others = sum(size for name, size in held.items() if name != NEAR)
    weights = {
        name: _NEAR_SHARE if name == NEAR else (1 - _NEAR_SHARE) * size / others
        for name, size in held.items()
    }
    counts = dict.fromkeys(held, 0)
    for _ in range(min(pairs, sum(held.values()))):
        open_ = [name for name in held if counts[name] < held[name]]
        # Highest averages (Sainte-Lague), after one for each: a larger sample only adds.
        chosen = max(open_, key=lambda n: (counts[n] == 0, weights[n] / (2 * counts[n] + 1)))
        counts[chosen] += 1
    return counts


def _certainty(row: DuplicateRow) -> tuple[bool, int, int, str, str]:
    return (
        row.tier == FRAMES,
        row.min_distance,
        -row.matched_frames,
        row.target,
        row.target_video_id,
    )


def _first(named: list[tuple[str, DuplicateRow]], count: int) -> list[tuple[str, DuplicateRow]]:
    return heapq.nsmallest(count, named, key=lambda one: one[0])
