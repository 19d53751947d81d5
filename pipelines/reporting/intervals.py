"""How far a share that was measured on a sample may be off."""

import math
from collections.abc import Sequence
from typing import NamedTuple

_Z = 1.959964
"""Of the normal distribution: 95 % lie within."""


class Estimate(NamedTuple):
    """A share, and its 95 % interval."""

    share: float
    low: float
    high: float


class Stratum(NamedTuple):
    """One part of a population, and what a random sample of it came to."""

    size: int
    sampled: int
    successes: int


def wilson(successes: int, total: float) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927): never outside of [0, 1], also for few and none.

    >>> [round(bound, 3) for bound in wilson(8, 10)]
    [0.49, 0.943]
    """
    return _wilson(successes / total, total)


def of_sample(stratum: Stratum) -> Estimate:
    """The share in a population of which some were sampled; certain if all were.

    The interval is Wilson's, for as many samples as would tell equally much of an endless
    population: `n * (N - 1) / (N - n)`.

    >>> of_sample(Stratum(size=10, sampled=10, successes=9))
    Estimate(share=0.9, low=0.9, high=0.9)
    """
    share = stratum.successes / stratum.sampled
    left = stratum.size - stratum.sampled
    if not left:
        return Estimate(share, share, share)
    return Estimate(share, *_wilson(share, stratum.sampled * (stratum.size - 1) / left))


def of_strata(strata: Sequence[Stratum]) -> Estimate | None:
    """The share in the whole population, each stratum weighted by its size.

    None if a stratum has no sample. The bounds add up from those of the strata as Zou and Donner
    (2008, MOVER) have it: unlike an interval from variances, this one does not shrink to nothing
    where all samples agree.
    """
    strata = [stratum for stratum in strata if stratum.size]
    if not strata or not all(stratum.sampled for stratum in strata):
        return None
    total = sum(stratum.size for stratum in strata)
    parts = [(stratum.size / total, of_sample(stratum)) for stratum in strata]
    share = sum(weight * part.share for weight, part in parts)
    below = math.hypot(*(weight * (part.share - part.low) for weight, part in parts))
    above = math.hypot(*(weight * (part.high - part.share) for weight, part in parts))
    return Estimate(share, max(0.0, share - below), min(1.0, share + above))


def _wilson(share: float, total: float) -> tuple[float, float]:
    spread = _Z**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return max(0.0, centre - half), min(1.0, centre + half)
