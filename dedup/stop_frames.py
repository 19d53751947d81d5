"""Stop frames: target frames that many unrelated source videos show in passing.

A title card, a test picture or a "subscribe" screen in one target video matches every source video
that has it too, though these share nothing else with the target. Such a frame tells as little as a
stop word does in a text.
"""

import math
from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

MOST_SHARE = Fraction(1, 10_000)
MOST_SOURCES = 100
"""So many source videos may show any frame in passing: a small run has no stop frames."""


class TargetFrame(NamedTuple):
    """A frame of a target video, whatever its variant."""

    target: str
    target_video_id: str
    second: float


def most_in_passing(sources: int) -> int:
    """How many of so many source videos may show a target frame in passing.

    >>> most_in_passing(4_000), most_in_passing(65_000_000)
    (100, 6500)
    """
    return max(MOST_SOURCES, math.floor(sources * MOST_SHARE))


def stop_frames(in_passing: Mapping[TargetFrame, int], sources: int) -> frozenset[TargetFrame]:
    """The frames that more source videos show in passing than may.

    Args:
        in_passing: By target frame, the source videos whose closest frame it is and whose
            `Duplicate.in_passing` is true. Re-posts of the target show more than one of its frames,
            or are full of it, so they are not among them and stay duplicates.
        sources: The source videos compared.
    """
    most = most_in_passing(sources)
    return frozenset(frame for frame, count in in_passing.items() if count > most)
