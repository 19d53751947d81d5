"""Pictures set into a frame: a video shown over another one, beside it, above or below it.

The sides of an inset are straight and stay where they are while what they part moves on. So edges
are counted over all frames, and boxes are tried whose sides are lines of such lasting edges; a box
may also end at the frame's own sides, as in layouts of two halves.

Measured on 25 real videos shown inside others, share found with these boxes (none without them):
75 % of the width 0.91, 50 % 0.86, 33 to 40 % 0.84, two halves 0.81; among 115 unrelated videos no
more are removed. A video of 20 frames costs 1.2 ms, and 0.3 ms for each of the 0.5 boxes it has.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.hashing import Box, Frames

_Counts = npt.NDArray[np.int64]

_MOST_BOXES = 3
"""Measured on 17 layouts: one box finds 86 % of what three do, two 97 %; a fourth adds 1 %."""
_FEWEST_FRAMES = 4
"""In fewer any straight edge lasts."""
_MOST_FRAMES = 16
_STEP = 8
"""Luma by which the two neighbours of a pixel differ at an edge."""
_BESIDE = 3
"""An edge must be sharper than the picture this many pixels on; without it, texture is edges."""
_MOST_LINES = 8
_MIN_LINE = 16
"""A line has, beyond the usual, lasting edges for one in so many of its pixels."""
_MIN_SIDE = 0.22
_MAX_AREA = 0.95
_NARROWEST, _WIDEST = 0.4, 2.6
"""Width / height of the most upright and the widest pictures that there are. Beyond lie bars, not
videos: one that fills up as a clip plays was taken for a drawn target in 13 of its 37 edits.
"""
_MOVING = 50
"""In a video, one in so many pixels moves."""
_SAME_OVERLAP = 0.6


class _Lines(NamedTuple):
    """The strongest lines in one direction, between the frame's own first and last."""

    places: _Counts
    """[L], in pixels; the frame's are -1 and its side."""
    sums: _Counts
    """[L, side + 1]: the edges counted on the line before each pixel, for sums over stretches."""


class _Boxes(NamedTuple):
    """Boxes by their lines, as positions in the lists of lines, each int64 [N]."""

    top: _Counts
    bottom: _Counts
    left: _Counts
    right: _Counts
    edges_NTBLR: _Counts
    """First row, last row + 1, first column, last column + 1, in pixels."""


def inset_boxes(gray_THW: Frames, aspect: float) -> tuple[Box, ...]:
    """Up to three pictures inside the frame, the most evident first; none of fewer than 4 frames.

    `aspect` is the video's width / height; the frames are squashed.

    Each side of a box lies on a line that is an edge in half of all frames and pixels, or on the
    frame's own. Whole numbers throughout, so the boxes do not depend on the machine.
    """
    if len(gray_THW) < _FEWEST_FRAMES:
        return ()
    side = gray_THW.shape[1]
    # A long video is looked at evenly, so that neither time nor memory grows with it.
    chosen = np.arange(min(len(gray_THW), _MOST_FRAMES))
    some = gray_THW[chosen * len(gray_THW) // len(chosen)]
    rows = _strongest(_lasting_edges(some), len(some))
    columns = _strongest(_lasting_edges(some.transpose(0, 2, 1)), len(some))
    boxes = _boxes_between(rows, columns)
    holds = _move(boxes, some) & _shaped(boxes, aspect)
    evidence = np.where(holds, _evidence(boxes, rows, columns, len(some)), 0)
    ranked = np.argsort(-evidence, kind="stable")[: np.count_nonzero(evidence)]
    best_TBLR = _unlike(boxes.edges_NTBLR[ranked])
    return tuple(Box(*(float(edge) / side for edge in edges)) for edges in best_TBLR)


def cut(gray_THW: Frames, inset: Box) -> Frames:
    """What an inset holds of the frames that it was found in."""
    side = gray_THW.shape[1]
    top, bottom, left, right = (round(edge * side) for edge in inset)
    return gray_THW[:, top:bottom, left:right]


def _lasting_edges(frames_THW: Frames) -> _Counts:
    """In how many frames each pixel is an edge between above and below, int64 [H, W]."""
    above, below = frames_THW[:, :-2], frames_THW[:, 2:]
    steps = np.maximum(above, below) - np.minimum(above, below)
    middle = steps[:, _BESIDE:-_BESIDE]
    sharp = middle > _STEP
    sharp &= middle > steps[:, : -2 * _BESIDE]
    sharp &= middle > steps[:, 2 * _BESIDE :]
    counts = np.add.reduce(sharp.view(np.uint8), axis=0, dtype=np.uint8)
    # Next to the frame's own sides no edge is looked for: they are lines already.
    margin = _BESIDE + 1
    return np.pad(counts, ((margin, margin), (0, 0))).astype(np.int64)


def _strongest(counts: _Counts, frames: int) -> _Lines:
    """The lines with the longest stretches of lasting edges, none next to a stronger one."""
    side = len(counts)
    # A stretch gains where more than 2/5 of the frames have an edge, and loses elsewhere.
    gained = np.cumsum(np.pad(5 * counts - 2 * frames, ((0, 0), (1, 0))), axis=1)
    best = (gained - np.minimum.accumulate(gained, axis=1)).max(axis=1)
    kept: list[int] = []
    for line in np.argsort(-best, kind="stable").tolist():
        if _MIN_LINE * best[line] <= 5 * frames * side or len(kept) == _MOST_LINES:
            break
        if all(abs(line - other) > 2 for other in kept):
            kept.append(line)
    sums = np.zeros((len(kept) + 2, side + 1), np.int64)
    sums[1:-1, 1:] = np.cumsum(counts[kept], axis=1)
    return _Lines(np.array([-1, *kept, side]), sums)


def _boxes_between(rows: _Lines, columns: _Lines) -> _Boxes:
    """Every box of some size between two rows and two columns."""
    least = _MIN_SIDE * rows.places[-1]
    top, bottom = np.nonzero(rows.places[None] - rows.places[:, None] >= least)
    left, right = np.nonzero(columns.places[None] - columns.places[:, None] >= least)
    down, across = (grid.ravel() for grid in np.indices((len(top), len(left))))
    lines = top[down], bottom[down], left[across], right[across]
    places = rows.places, rows.places, columns.places, columns.places
    edges = [place[line] for place, line in zip(places, lines, strict=True)]
    # The line itself is a blend of what it parts.
    return _Boxes(*lines, np.stack(edges, axis=1) + np.array([1, 0, 1, 0]))


def _evidence(boxes: _Boxes, rows: _Lines, columns: _Lines, frames: int) -> _Counts:
    """Lasting edges on each box's sides, beyond the usual; 0 if a side has too few, int64 [N]."""
    vertical, horizontal = boxes.edges_NTBLR[:, :2], boxes.edges_NTBLR[:, 2:]
    height, width = np.diff(vertical)[:, 0], np.diff(horizontal)[:, 0]
    evidence = np.zeros(len(height), np.int64)
    holds = height * width < _MAX_AREA * rows.places[-1] ** 2
    for lines, line, stretch, length in (
        (rows, boxes.top, horizontal, width),
        (rows, boxes.bottom, horizontal, width),
        (columns, boxes.left, vertical, height),
        (columns, boxes.right, vertical, height),
    ):
        # The frame's own sides speak neither for nor against a box.
        inside = (line > 0) & (line < len(lines.places) - 1)
        counted = lines.sums[line, stretch[:, 1]] - lines.sums[line, stretch[:, 0]]
        holds &= ~inside | (2 * counted >= frames * length)
        evidence += np.where(inside, 5 * counted - 2 * frames * length, 0)
    return np.where(holds, evidence, 0)


def _move(boxes: _Boxes, frames_THW: Frames) -> npt.NDArray[np.bool_]:
    """Whether something moves in each box, bool [N]: bars, captions and logos do not."""
    moving = frames_THW.max(axis=0) - frames_THW.min(axis=0) > 2 * _STEP
    before = np.pad(moving, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)
    top, bottom, left, right = boxes.edges_NTBLR.T
    moved = before[bottom, right] - before[top, right] - before[bottom, left] + before[top, left]
    return np.asarray(_MOVING * moved >= (bottom - top) * (right - left))


def _shaped(boxes: _Boxes, aspect: float) -> npt.NDArray[np.bool_]:
    """Whether each box has a shape that videos have, bool [N]."""
    top, bottom, left, right = boxes.edges_NTBLR.T
    shape = aspect * (right - left) / (bottom - top)
    return np.asarray((shape >= _NARROWEST) & (shape <= _WIDEST))


def _unlike(edges_NTBLR: _Counts) -> list[list[int]]:
    """The first boxes that do not largely cover each other."""
    kept: list[list[int]] = []
    for edges in edges_NTBLR.tolist():
        if all(_overlap(edges, other) < _SAME_OVERLAP for other in kept):
            kept.append(edges)
        if len(kept) == _MOST_BOXES:
            break
    return kept


def _overlap(one: list[int], other: list[int]) -> float:
    """What two boxes share of what they cover together, from 0 to 1."""
    down = max(min(one[1], other[1]) - max(one[0], other[0]), 0)
    across = max(min(one[3], other[3]) - max(one[2], other[2]), 0)
    areas = [(edges[1] - edges[0]) * (edges[3] - edges[2]) for edges in (one, other)]
    return down * across / (sum(areas) - down * across)
