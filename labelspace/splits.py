"""The temporal splits: which seconds of which video, and how many videos of each label (4.3.1).

`short` and `long` are whole videos of 1-5 s and 55-60 s; `long_center` is the centre 4 s of videos
of `long`. The label space is the same in all three, and so are the videos per label (budget F1) or,
as closely as whole videos allow, the minutes per label (budget F2).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate

from labelspace.sampling import hash_order, tail_preserving_quotas

SPLITS = ("all", "short", "long", "long_center", "frames")
BUDGETS = ("F1", "F2")


@dataclass(frozen=True)
class SplitRule:
    """Lengths in seconds, bounds included."""

    short_s: tuple[float, float] = (1.0, 5.0)
    long_s: tuple[float, float] = (55.0, 60.5)
    center_s: float = 4.0

    def __post_init__(self) -> None:
        for name, (begin, end) in (("short_s", self.short_s), ("long_s", self.long_s)):
            if not begin > 0:
                raise ValueError(f"{name} must begin above 0, got {begin}")
            if not begin <= end:
                raise ValueError(f"{name} must not end before it begins, got {begin} to {end}")
        if not self.short_s[1] < self.long_s[0]:
            raise ValueError(f"short_s must lie below long_s, got {self.short_s} and {self.long_s}")
        if not 0 < self.center_s <= self.long_s[0]:
            raise ValueError(f"center_s must fit into every long video, got {self.center_s}")


@dataclass(frozen=True)
class LabelLengths:
    """What one label has to fill the splits with."""

    short_videos: int = 0
    long_videos: int = 0
    short_ms: int = 0
    """All short videos together, in milliseconds: whole numbers add up the same in any order."""
    long_ms: int = 0


@dataclass(frozen=True)
class LabelQuota:
    """How many videos of one label each split takes, and what kept it from taking more."""

    label: str
    short: int
    long: int
    long_center: int
    unused_short: int
    """Short videos that found no long counterpart (or no room in `max_videos`)."""
    unused_long: int
    budget_ms: int = 0
    """F2: how much footage of the label each split takes, in milliseconds; the numbers of videos
    are then those that the label's mean lengths make of it."""

    def of(self, split: str) -> int:
        """The quota of `short`, `long` or `long_center`."""
        return {"short": self.short, "long": self.long, "long_center": self.long_center}[split]


@dataclass(frozen=True)
class SplitPlan:
    """The quotas of every label in the splits' common label space, and the labels outside it."""

    quotas: tuple[LabelQuota, ...]
    """By label."""
    unfilled: tuple[LabelQuota, ...]
    """Labels without a short or a long video, or without room: in none of the three splits."""


def length_class(duration_s: float, rule: SplitRule) -> str | None:
    """`short`, `long`, or None for the lengths between and beyond."""
    for name, (shortest, longest) in (("short", rule.short_s), ("long", rule.long_s)):
        if shortest <= duration_s <= longest:
            return name
    return None


def clip_span(split: str, duration_s: float, rule: SplitRule) -> tuple[float, float] | None:
    """Start and end in seconds of the piece that a split takes of a video; None if it takes none.

    `frames` takes no piece, see `frame_numbers`.

    >>> clip_span("long_center", 58.0, SplitRule())
    (27.0, 31.0)

    Raises:
        ValueError: an unknown split.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    if split == "all":
        return (0.0, duration_s)
    if split == "frames":
        return None
    if length_class(duration_s, rule) != split.removesuffix("_center"):
        return None
    if split == "long_center":
        start_s = (duration_s - rule.center_s) / 2
        return (start_s, start_s + rule.center_s)
    return (0.0, duration_s)


def frame_numbers(
    key: str, there: int, wanted: int, *, at_random: bool, rng_seed: int
) -> list[int]:
    """The frames of a video, from 0 and ascending, that an image set takes (paper 4.3.2).

    One in each of `wanted` equal pieces of the video's frames, at random or in the middle; all
    frames where there are fewer than `wanted`.

    >>> frame_numbers("v1", 80, 2, at_random=False, rng_seed=0)
    [20, 60]
    """
    pieces = min(wanted, there)
    if not at_random:
        return [(2 * piece + 1) * there // (2 * pieces) for piece in range(pieces)]
    numbers = []
    for piece in range(pieces):
        first, end = piece * there // pieces, (piece + 1) * there // pieces
        order = hash_order(f"{key}\0{piece}", rng_seed=rng_seed, purpose="frame")
        numbers.append(first + order * (end - first) // 2**64)
    return numbers


def plan_splits(
    lengths_by_label: Mapping[str, LabelLengths],
    rule: SplitRule,
    *,
    budget: str = "F1",
    max_videos: int = 0,
    max_ms: int = 0,
) -> SplitPlan:
    """How many videos of each label `short`, `long` and `long_center` take.

    F1, equal videos: as many as the label has of both lengths, the same in all three splits.
    F2, equal minutes: of that many, each split takes what fits into the shortest of the three by
    the label's mean lengths, rounded to the nearest video and at least one. So `long` holds far
    fewer videos than the other two.

    Which videos: the first in the random order of `random_subset`, in each length on its own.
    `long` and `long_center` so share their videos (F1), or the fewer are among the more (F2).

    Args:
        lengths_by_label: what there is.
        rule: lengths.
        budget: `F1` or `F2`.
        max_videos: per split before F2's minutes, tail labels kept whole; 0 = all.
        max_ms: F2's milliseconds per split, tail labels kept whole; 0 = all. Where it does not hold
            one long video of every label, the labels with the most footage get one each.

    Raises:
        ValueError: an unknown budget.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget must be F1 or F2, got {budget!r}")
    pairs = {lb: min(n.short_videos, n.long_videos) for lb, n in lengths_by_label.items()}
    if max_videos:
        pairs = tail_preserving_quotas(pairs, max_videos)
    budgets_ms = dict.fromkeys(pairs, 0)
    if budget == "F2":
        budgets_ms = {lb: _budget_ms(lengths_by_label[lb], n, rule) for lb, n in pairs.items()}
        if max_ms:
            budgets_ms = _share_ms(budgets_ms, lengths_by_label, max_ms)
        pairs = {lb: n if budgets_ms[lb] else 0 for lb, n in pairs.items()}
    quotas = [
        _label_quota(label, lengths_by_label[label], videos, (budgets_ms[label], rule))
        for label, videos in sorted(pairs.items())
    ]
    return SplitPlan(
        quotas=tuple(quota for quota in quotas if quota.short),
        unfilled=tuple(quota for quota in quotas if not quota.short),
    )


def _budget_ms(lengths: LabelLengths, videos: int, rule: SplitRule) -> int:
    """Milliseconds that each of the splits can hold of a label that has so many pairs."""
    if not videos:
        return 0
    return round(
        min(
            lengths.short_ms * videos / lengths.short_videos,
            lengths.long_ms * videos / lengths.long_videos,
            rule.center_s * 1000 * videos,
        )
    )


def _share_ms(
    budgets_ms: Mapping[str, int], lengths_by_label: Mapping[str, LabelLengths], max_ms: int
) -> dict[str, int]:
    """The milliseconds of each label that fit into a total, 0 for labels without room.

    A label costs `long` one whole video, however little else it has.
    """
    filled = sorted((-ms, label) for label, ms in budgets_ms.items() if ms)
    lengths = {label: lengths_by_label[label] for _, label in filled}
    floors = {label: round(n.long_ms / n.long_videos) for label, n in lengths.items()}
    room = [total <= max_ms for total in accumulate(floors.values())]
    if all(room):
        needs = {lb: max(budgets_ms[lb], floor) for lb, floor in floors.items()}
        shares = tail_preserving_quotas(needs, max_ms)
    else:
        shares = {lb: floor for (lb, floor), fits in zip(floors.items(), room, strict=True) if fits}
    return {lb: min(ms, shares.get(lb, 0)) for lb, ms in budgets_ms.items()}


def _label_quota(
    label: str, lengths: LabelLengths, videos: int, minutes: tuple[int, SplitRule]
) -> LabelQuota:
    short = long = long_center = videos
    budget_ms, rule = minutes
    if budget_ms:
        short = _videos_in(budget_ms * lengths.short_videos, lengths.short_ms)
        long = _videos_in(budget_ms * lengths.long_videos, lengths.long_ms)
        long_center = _videos_in(budget_ms, rule.center_s * 1000)
    return LabelQuota(
        label,
        short,
        long,
        long_center,
        unused_short=lengths.short_videos - short,
        unused_long=lengths.long_videos - max(long, long_center),
        budget_ms=budget_ms,
    )


def _videos_in(budget: float, length: float) -> int:
    return max(1, round(budget / length))
