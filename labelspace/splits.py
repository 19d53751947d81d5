"""Which seconds of which video: `all`, `short`, `long`, `long_center` (paper 4.3.1).

The three temporal splits have one label space and equally many videos per label, so that only the
length differs between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labelspace.sampling import hash_order

TEMPORAL = ("short", "long", "long_center")


@dataclass(frozen=True)
class SplitRules:
    """Bounds in decoded seconds; a video at a bound is inside."""

    short_s: tuple[float, ...] = (1.0, 5.0)
    long_s: tuple[float, ...] = (55.0, 60.5)
    center_s: float = 4.0
    budget: str = "F1"

    def is_short(self, duration_s: float) -> bool:
        """Whether a video may be in `short`."""
        return self.short_s[0] <= duration_s <= self.short_s[1]

    def is_long(self, duration_s: float) -> bool:
        """Whether a video may be in `long` and `long_center`."""
        return self.long_s[0] <= duration_s <= self.long_s[1]


def seconds_of(split: str, duration_s: float, rules: SplitRules) -> tuple[float, float]:
    """The piece of a video that a split takes, as [start, end) in seconds.

    >>> seconds_of("long_center", 60.0, SplitRules())
    (28.0, 32.0)
    """
    if split != "long_center":
        return 0.0, duration_s
    start = max(0.0, round((duration_s - rules.center_s) / 2, 3))
    return start, min(duration_s, round(start + rules.center_s, 3))


def choose_for_label(
    videos: Sequence[tuple[str, float]], rules: SplitRules, *, rng_seed: int
) -> Mapping[str, list[str]]:
    """One label's videos, given as (key, seconds), for each temporal split.

    Of the short and the long videos equally many are taken, by hash order. Under budget `F2` the
    splits hold equally many minutes instead: `long` keeps only as many of its videos as have the
    minutes of its centres, at least one if there is any.
    """
    short = _ordered([key for key, s in videos if rules.is_short(s)], "short", rng_seed)
    long = _ordered([key for key, s in videos if rules.is_long(s)], "long", rng_seed)
    count = min(len(short), len(long))
    chosen = {"short": short[:count], "long": long[:count], "long_center": long[:count]}
    if rules.budget == "F2" and count:
        lengths = dict(videos)
        mean_s = sum(lengths[key] for key in long[:count]) / count
        chosen["long"] = long[: max(1, int(count * rules.center_s / mean_s))]
    return chosen


def choose_by_hash(keys: Sequence[str], count: int, *, rng_seed: int) -> list[str]:
    """The first `count` keys in hash order; a smaller count gives a subset of a larger one's."""
    return _ordered(list(keys), "subset", rng_seed)[:count]


def _ordered(keys: list[str], purpose: str, rng_seed: int) -> list[str]:
    return sorted(keys, key=lambda key: (hash_order(key, rng_seed=rng_seed, purpose=purpose), key))
