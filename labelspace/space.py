"""The label space: the labels that enough videos carry, in a fixed order (paper 3.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class LabelSpace:
    """Labels in the order of their `label_id`, with the videos that carry each."""

    labels: tuple[str, ...]
    videos: tuple[int, ...]

    @classmethod
    def from_counts(
        cls, counts: Mapping[str, int], *, min_videos: int, max_labels: int = 0
    ) -> "LabelSpace":
        """Labels with at least `min_videos`, by name; with a cap, those with most videos.

        >>> LabelSpace.from_counts({"b": 3, "a": 2, "c": 1}, min_videos=2)
        LabelSpace(labels=('a', 'b'), videos=(2, 3))
        """
        kept = [label for label, count in counts.items() if count >= min_videos]
        if max_labels:
            kept = sorted(kept, key=lambda label: (-counts[label], label))[:max_labels]
        ordered = tuple(sorted(kept))
        return cls(ordered, tuple(counts[label] for label in ordered))

    def __contains__(self, label: object) -> bool:
        """Whether the label survived."""
        return label in self._ids

    def label_id(self, label: str) -> int:
        """The label's position."""
        return self._ids[label]

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {label: number for number, label in enumerate(self.labels)}
