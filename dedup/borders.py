"""Bars around a video's picture: solid ones, and ones that carry text or a logo.

A bar stays where it is through a video, so it is looked for in all frames at once, from each edge
inwards, line by line: a video without bars costs four lines.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.hashing import Box, Frames

COLOUR_TOLERANCE = 14
"""Luma by which a pixel of a bar may differ from the bar's colour."""
_SOLID = 0.98
_WRITTEN_ON = 0.25
_ENDS_AT = 0.85
_MIN_PICTURE = 0.2
"""A picture smaller than this share of a side is none: the bars found were the picture."""


class _Lines(NamedTuple):
    """The picture's first and last line + 1, downwards and across."""

    top: int
    bottom: int
    left: int
    right: int


def solid_box(gray_THW: Frames) -> Box:
    """The picture without solid bars; the whole frame if there are none. Frames of any shape.

    A bar's line has 98 % of its pixels, over all frames, within 14 of the bar's colour.
    """
    _, height, width = gray_THW.shape
    lines = _solid_lines(gray_THW)
    return Box(lines.top / height, lines.bottom / height, lines.left / width, lines.right / width)


def written_box(gray_THW: Frames) -> Box:
    """The picture without bars that may carry text or a logo; the whole frame if there are none.

    A bar's lines have 25 % of its colour, and it ends at a line with 85 %.
    """
    solid = _solid_lines(gray_THW)
    side = gray_THW.shape[1]
    rows = gray_THW[:, :, solid.left : solid.right].transpose(1, 0, 2)
    columns = gray_THW[:, solid.top : solid.bottom].transpose(2, 0, 1)
    top, bottom = _picture(_written_depth(rows), _written_depth(rows[::-1]), side, side)
    left, right = _picture(_written_depth(columns), _written_depth(columns[::-1]), side, side)
    return Box(*(line / side for line in (top, bottom, left, right)))


def _solid_lines(gray_THW: Frames) -> _Lines:
    """What is left once no side has a bar: the same for bars in bars, whichever came first."""
    _, height, width = gray_THW.shape
    lines = _Lines(0, height, 0, width)
    while (inner := _inside_bars(gray_THW, lines)) != lines:
        lines = inner
    return lines


def _inside_bars(gray_THW: Frames, lines: _Lines) -> _Lines:
    """The picture between these lines without one bar on each side."""
    _, height, width = gray_THW.shape
    rows = gray_THW[:, lines.top : lines.bottom, lines.left : lines.right].transpose(1, 0, 2)
    first, end = _picture(_solid_depth(rows), _solid_depth(rows[::-1]), len(rows), height)
    top, bottom = lines.top + first, lines.top + end
    columns = gray_THW[:, top:bottom, lines.left : lines.right].transpose(2, 0, 1)
    first, end = _picture(_solid_depth(columns), _solid_depth(columns[::-1]), len(columns), width)
    return _Lines(top, bottom, lines.left + first, lines.left + end)


def _picture(before: int, after: int, lines: int, side: int) -> tuple[int, int]:
    """First line and end of the picture between two bars, or all lines if next to none is left."""
    # The line where bar and picture meet is a blend of both: it goes with the bar.
    start, stop = before + (before > 0), lines - after - (after > 0)
    return (start, stop) if stop - start >= _MIN_PICTURE * side else (0, lines)


def _solid_depth(lines: Frames) -> int:
    """How many lines, from the first on, are one colour."""
    for depth, share in enumerate(_bar_shares(lines)):
        if share < _SOLID:
            return depth
    return len(lines)


def _written_depth(lines: Frames) -> int:
    """How many lines, from the first on, may be a bar with something on it."""
    end = 0
    for depth, share in enumerate(_bar_shares(lines)):
        if share < _WRITTEN_ON:
            return end
        if share >= _ENDS_AT:
            end = depth + 1
    return end


def _bar_shares(lines: npt.NDArray[np.uint8]) -> Iterator[float]:
    """The share of each line's pixels that have the colour of the first line."""
    first = lines[0].ravel()
    colour = int(np.partition(first, len(first) // 2)[len(first) // 2])
    low, high = max(colour - COLOUR_TOLERANCE, 0), min(colour + COLOUR_TOLERANCE, 255)
    for line in lines:
        yield np.count_nonzero((line >= low) & (line <= high)) / line.size
