"""The label space: which labels survive, in which order; its overlap with a target; its skew."""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from labelspace.hashtags import ARTICLES, label_words, stem_word


@dataclass(frozen=True)
class LabelSpace:
    """The labels that survived, in order; a label's position is its `label_id`."""

    labels: tuple[str, ...]
    videos: tuple[int, ...]
    """Of each label."""
    dropped: tuple[tuple[str, int], ...] = ()
    """Labels left out and their videos, in the same order."""
    _ids: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        ids = {label: label_id for label_id, label in enumerate(self.labels)}
        object.__setattr__(self, "_ids", ids)

    def label_id(self, label: str) -> int | None:
        """The label's position, or None if it did not survive."""
        return self._ids.get(label)


@dataclass(frozen=True)
class Overlap:
    """Which of a target's labels a label space covers, by ever looser definitions.

    Report the definition with the number: the paper's 62% and 42% come without one.
    """

    targets: tuple[str, ...]
    """The target's labels, sorted."""
    exact: tuple[str, ...]
    """The label without spaces, case and articles is one of ours."""
    stems: tuple[str, ...]
    """... or has the same stems as one of ours, in any order."""
    head: tuple[str, ...]
    """... or its first word alone has (of `take-off`: take; of `spoon:wooden`: spoon)."""
    members: tuple[str, ...]
    """The label or one of its synonyms has the same stems as one of ours, in any order."""
    member_heads: tuple[str, ...]
    """... or the first word of the label or a synonym has."""

    def fractions(self) -> dict[str, float]:
        """Share of the target's labels covered, by definition; 0 for a target without labels."""
        total = max(len(self.targets), 1)
        names = ("exact", "stems", "head", "members", "member_heads")
        return {name: len(getattr(self, name)) / total for name in names}


def build_label_space(
    videos_by_label: Mapping[str, int], *, min_videos: int = 50, max_labels: int = 0
) -> LabelSpace:
    """Labels with at least `min_videos` videos, at most `max_labels` of them (0 = all).

    Most videos first, equal ones by label, so that `label_id` 0 is the head, a smaller `max_labels`
    is a prefix of a larger one, and the order of the counts does not matter (paper 3.1).

    >>> build_label_space({"yoga": 70, "archery": 70, "zumba": 90, "lunge": 4}).labels
    ('zumba', 'archery', 'yoga')
    """
    ranked = sorted(videos_by_label.items(), key=lambda item: (-item[1], item[0]))
    enough = sum(videos >= min_videos for _, videos in ranked)
    size = min(enough, max_labels) if max_labels else enough
    labels = tuple(label for label, _ in ranked[:size])
    return LabelSpace(labels, tuple(videos for _, videos in ranked[:size]), tuple(ranked[size:]))


def overlap(
    labels: Iterable[str], target_labels: Mapping[str, Collection[str]] | Iterable[str]
) -> Overlap:
    """How much of a target's labels ours cover (paper 4.2.1).

    Args:
        labels: our label space.
        target_labels: the target's labels, or of each its synonyms (the members of an EPIC class).

    Raises:
        LabelError: a label or synonym holds no letter or digit.

    >>> found = overlap(["catch", "make tea"], {"catching": [], "tea:make": [], "put": ["catch"]})
    >>> found.stems, found.members
    (('catching', 'tea:make'), ('catching', 'put', 'tea:make'))
    """
    with_synonyms = (
        target_labels if isinstance(target_labels, Mapping) else dict.fromkeys(target_labels, ())
    )
    ours = [_content_words(label) for label in labels]
    spelled = {"".join(words) for words in ours}
    bags = {_stems(words) for words in ours}
    covered: dict[str, list[str]] = {name: [] for name in Overlap(*[()] * 6).fractions()}
    for target in sorted(with_synonyms):
        words = _content_words(target)
        members = [words, *map(_content_words, with_synonyms[target])]
        exact = "".join(words) in spelled
        stems = exact or _stems(words) in bags
        head = stems or _stems(words[:1]) in bags
        member = stems or any(_stems(member) in bags for member in members)
        member_head = head or member or any(_stems(member[:1]) in bags for member in members)
        for name, is_covered in zip(
            covered, (exact, stems, head, member, member_head), strict=True
        ):
            if is_covered:
                covered[name].append(target)
    return Overlap(tuple(sorted(with_synonyms)), *(tuple(found) for found in covered.values()))


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


def _content_words(label: str) -> tuple[str, ...]:
    words = label_words(label)
    return tuple(word for word in words if word not in ARTICLES) or words


def _stems(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(map(stem_word, words)))
