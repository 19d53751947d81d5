"""The label space: which labels survive, in which order; its skew."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from labelspace.sampling import label_subset


@dataclass(frozen=True)
class LabelSpace:
    """The labels that survived, in order; a label's position is its `label_id`."""

    labels: tuple[str, ...]
    videos: tuple[int, ...]
    """Of each label."""
    dropped: tuple[tuple[str, int, str], ...] = ()
    """Labels left out, in the same order: their videos, and which limit left them out."""
    _ids: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {label: label_id for label_id, label in enumerate(self.labels)}
        object.__setattr__(self, "_ids", ids)

    def label_id(self, label: str) -> int | None:
        """The label's position, or None if it did not survive."""
        return self._ids.get(label)


def build_label_space(
    videos_by_label: Mapping[str, int],
    *,
    min_videos: int = 50,
    max_labels: int = 0,
    subset: int = 0,
    rng_seed: int = 0,
) -> LabelSpace:
    """Labels with at least `min_videos` videos, at most `max_labels`, of them a random `subset`.

    Most videos first, equal ones by label, so that `label_id` 0 is the head, a smaller `max_labels`
    is a prefix of a larger one, and the order of the counts does not matter (paper 3.1). A smaller
    subset lies inside a larger one (4.2.2). 0 is no limit.

    >>> build_label_space({"yoga": 70, "archery": 70, "zumba": 90, "lunge": 4}).labels
    ('zumba', 'archery', 'yoga')
    """
    ranked = sorted(videos_by_label.items(), key=lambda item: (-item[1], item[0]))
    enough = [label for label, videos in ranked if videos >= min_videos]
    most = enough[:max_labels] if max_labels else enough
    chosen = label_subset(most, subset, rng_seed=rng_seed) if subset else most
    limits = {"min_videos": set(enough), "max_labels": set(most), "label_subset": set(chosen)}
    kept: list[tuple[str, int]] = []
    dropped: list[tuple[str, int, str]] = []
    for label, videos in ranked:
        limit = next((name for name, passed in limits.items() if label not in passed), None)
        if limit is None:
            kept.append((label, videos))
        else:
            dropped.append((label, videos, limit))
    return LabelSpace(
        tuple(label for label, _ in kept), tuple(videos for _, videos in kept), tuple(dropped)
    )


def gini(videos: Iterable[int]) -> float:
    """How unequal videos are spread over labels: 0 = all equal, towards 1 = one label has all.

    >>> gini([5, 5, 5, 5]), gini([0, 0, 0, 20])
    (0.0, 0.75)

    Raises:
        ValueError: no video at all.
    """
    ordered = sorted(videos)
    total = sum(ordered)
    if total == 0:
        raise ValueError("the Gini coefficient needs at least one video")
    weighted = sum(rank * count for rank, count in enumerate(ordered, start=1))
    return (2 * weighted - (len(ordered) + 1) * total) / (len(ordered) * total)


def cumulative_curve(videos: Iterable[int], *, points: int = 101) -> list[tuple[float, float]]:
    """Share of all videos that the most frequent share of labels holds (paper Fig. 3).

    Returns:
        (share of labels, share of videos) from (0, 0) to (1, 1): one pair per label, or `points`
        of them if there are more labels than that.

    >>> cumulative_curve([10, 60, 30])[:2]
    [(0.0, 0.0), (0.3333333333333333, 0.6)]

    Raises:
        ValueError: no video at all, or fewer than two points.
    """
    ordered = sorted(videos, reverse=True)
    if sum(ordered) == 0 or points < 2:
        raise ValueError("a curve needs at least one video and two points")
    running = [0]
    for count in ordered:
        running.append(running[-1] + count)
    steps = min(len(ordered), points - 1)
    ranks = [math.ceil(step * len(ordered) / steps) for step in range(steps + 1)]
    return [(rank / len(ordered), running[rank] / running[-1]) for rank in ranks]
