"""The ways a re-upload alters a picture: what of a frame each one keeps, and how it is turned.

Frames are squashed to a square, so the aspect ratio comes with them: `width / height` of the video.
"""

import re
from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from dedup.borders import solid_box, written_box
from dedup.hashing import (
    WHOLE,
    Box,
    Coefficients,
    Frames,
    dct_coefficients,
    mirrored,
    quarter_turned,
)
from dedup.insets import cut, inset_boxes

MIRROR = "+mirror"
FRAMED = "framed-"
"""Before the name of what is taken of a frame with its bars, as if they were none."""
_CENTRE_CROPS = {"crop92": 0.92, "crop85": 0.85, "crop77": 0.77, "crop70": 0.70, "crop64": 0.64}
_ASPECT_CROPS = {"square": 1.0, "4:5": 4 / 5, "9:16": 9 / 16, "16:9": 16 / 9}
_BANDS = {"band16:9": 16 / 9, "band4:3": 4 / 3}
OFF_CENTRE = 0.82
"""Of each side; in five places down and across, so that one is never far.

Measured on 66 videos cut at random places off the centre, under one vote: of those that keep 80,
85, 90 and 75 % of each side, 98, 99, 94 and 70 % are found; by eight windows each of 80 and of
87 %, which are 16 hashes a frame fewer, 80, 94, 89 and 62 %; with another eight of 90 %, 16 hashes
more, 98, 99, 99 and 70 %.
"""
_PLACES = 5
_QUARTER_TURNS = ("rot90", "rot270")
_TILTS_DEGREES = {"rot+5": 5.0, "rot-5": -5.0}
_EVERY_FRAME = ("full", "unstripped")
_SAME = 0.97
"""A crop that keeps this share of the picture is the picture."""
_MIN_KEPT = 0.25
_ALIKE = 2.5 / 128


def source_boxes(gray_THW: Frames, aspect: float) -> dict[str, Box]:
    """The parts of a source video's frames that may be somebody's whole picture, by version.

    `raw` is the frame; `stripped` and `written` are it without solid bars and without bars that
    carry something; an upright video may hold a wide one between blurred bars (`band...`); and
    another video may be set into the picture or beside it (`inset...`, with its place).
    """
    boxes = {"raw": WHOLE, "stripped": solid_box(gray_THW), "written": written_box(gray_THW)}
    if aspect < 1.0:
        boxes |= {name: centre_box(WHOLE, 1.0, aspect / wide) for name, wide in _BANDS.items()}
    for inset in inset_boxes(gray_THW, aspect):
        box = _within(inset, solid_box(cut(gray_THW, inset)))
        if not any(_are_alike(box, other) for other in boxes.values()):
            boxes["inset{:.0%}-{:.0%},{:.0%}-{:.0%}".format(*box).replace("%", "")] = box
    return _without_repeats(boxes)


def inset_box(version: str) -> Box | None:
    """Where in the frame an `inset...` version lies, to a percent; None for other versions.

    >>> inset_box("inset5-55,40-90"), inset_box("raw")
    (Box(top=0.05, bottom=0.55, left=0.4, right=0.9), None)
    """
    named = re.fullmatch(r"inset(\d+)-(\d+),(\d+)-(\d+)", version)
    return Box(*(int(edge) / 100 for edge in named.groups())) if named else None


def frames_of(variant: str) -> slice:
    """Which of a target video's frames this variant is taken of.

    The whole picture is taken twice as often: a re-upload of another phase, a trimmed one, is up
    to half a sample away.

    >>> frames_of("full+mirror"), frames_of("crop85")
    (slice(None, None, 1), slice(None, None, 2))
    """
    return slice(None, None, 1 if variant.removesuffix(MIRROR) in _EVERY_FRAME else 2)


def target_boxes(gray_THW: Frames, aspect: float) -> dict[str, Box]:
    """The parts of a target video's frames that a re-upload may keep, by variant.

    `full` is the picture without solid bars, and what the crops are cut from.
    """
    full = solid_box(gray_THW)
    picture_aspect = aspect * (full.right - full.left) / (full.bottom - full.top)
    boxes = {"full": full} | _centre_boxes(full, picture_aspect) | _off_centre_boxes(full)
    if full != WHOLE:
        # Who crops a picture with bars keeps more of it on their side than on the other.
        crops = _centre_boxes(WHOLE, aspect)
        boxes |= {f"barred-{name}": _common(box, full) for name, box in crops.items()}
        # What is dark at a side for a while is a bar in one stretch of the video alone.
        crops |= _off_centre_boxes(WHOLE)
        boxes |= {FRAMED + name: box for name, box in crops.items()}
    boxes |= {"unstripped": WHOLE, "written": written_box(gray_THW)}
    return _without_repeats(boxes)


def target_coefficients(gray_THW: Frames, aspect: float) -> Iterator[tuple[str, Coefficients]]:
    """Each variant of a target video's frames (`frames_of`), as it is and then mirrored."""
    for name, box in target_boxes(gray_THW, aspect).items():
        coefficients = dct_coefficients(gray_THW[frames_of(name)], box)
        yield name, coefficients
        yield name + MIRROR, mirrored(coefficients)
        if name in _EVERY_FRAME:
            for turned, part in _turned(gray_THW[::2], aspect, box):
                prefix = FRAMED * (name != "full")
                yield prefix + turned, part
                yield prefix + turned + MIRROR, mirrored(part)


def _turned(gray_THW: Frames, aspect: float, box: Box) -> Iterator[tuple[str, Coefficients]]:
    """What the box holds of the frames, turned by quarters and tilted."""
    upright = dct_coefficients(gray_THW, box)
    # A transposed frame, mirrored, is the frame turned by 90 degrees clockwise.
    turns = quarter_turned(upright), mirrored(upright.transpose(0, 2, 1))
    yield from zip(_QUARTER_TURNS, turns, strict=True)
    for name, degrees in _TILTS_DEGREES.items():
        yield name, dct_coefficients(tilt(gray_THW, degrees, aspect), box)


def tilt(gray_THW: Frames, degrees: float, aspect: float) -> Frames:
    """The frames turned clockwise about their centre as they look unsquashed, corners black."""
    side = gray_THW.shape[1]
    y, x = np.mgrid[0:side, 0:side] - (side - 1) / 2
    turn = np.deg2rad(degrees)
    from_x = np.cos(turn) * x + np.sin(turn) * y / aspect
    from_y = np.cos(turn) * y - np.sin(turn) * x * aspect
    return _sample(gray_THW, from_y + (side - 1) / 2, from_x + (side - 1) / 2)


def centre_box(box: Box, across: float, down: float) -> Box:
    """The middle of a box, `across` of its width and `down` of its height.

    >>> centre_box(Box(0.0, 1.0, 0.0, 1.0), 0.5, 0.25)
    Box(top=0.375, bottom=0.625, left=0.25, right=0.75)
    """
    trim_y = (box.bottom - box.top) * (1 - down) / 2
    trim_x = (box.right - box.left) * (1 - across) / 2
    return Box(box.top + trim_y, box.bottom - trim_y, box.left + trim_x, box.right - trim_x)


def _centre_boxes(box: Box, aspect: float) -> dict[str, Box]:
    """Crops from the middle: smaller ones of the box's own aspect ratio, then of others."""
    boxes = {name: centre_box(box, kept, kept) for name, kept in _CENTRE_CROPS.items()}
    for name, wanted in _ASPECT_CROPS.items():
        across = min(wanted / aspect, 1.0)
        down = min(aspect / wanted, 1.0)
        if _MIN_KEPT <= across * down < _SAME:
            boxes[name] = centre_box(box, across, down)
    return boxes


def _off_centre_boxes(box: Box) -> dict[str, Box]:
    """Crops of one size in a grid of places, named by percents of the way down and across."""
    height, width = box.bottom - box.top, box.right - box.left
    last = _PLACES - 1
    boxes = {}
    for down, across in product(range(_PLACES), repeat=2):
        if 2 * down == 2 * across == last:
            continue  # Those at the centre are finer.
        top = box.top + height * (1 - OFF_CENTRE) * down / last
        left = box.left + width * (1 - OFF_CENTRE) * across / last
        name = f"part{100 * down // last}-{100 * across // last}"
        boxes[name] = Box(top, top + height * OFF_CENTRE, left, left + width * OFF_CENTRE)
    return boxes


def _common(box: Box, other: Box) -> Box:
    """What lies in both boxes, which do overlap."""
    top, left = max(box.top, other.top), max(box.left, other.left)
    return Box(top, min(box.bottom, other.bottom), left, min(box.right, other.right))


def _within(box: Box, part: Box) -> Box:
    """The place in the frame of a part of a box."""
    height, width = box.bottom - box.top, box.right - box.left
    return Box(
        box.top + height * part.top,
        box.top + height * part.bottom,
        box.left + width * part.left,
        box.left + width * part.right,
    )


def _are_alike(box: Box, other: Box) -> bool:
    """Whether two boxes differ by less than their hashes would show."""
    return all(abs(one - two) <= _ALIKE for one, two in zip(box, other, strict=True))


def _without_repeats(boxes: dict[str, Box]) -> dict[str, Box]:
    """The first name of each box."""
    names: dict[Box, str] = {}
    for name, box in boxes.items():
        names.setdefault(box, name)
    return {name: box for box, name in names.items()}


def _sample(gray_THW: Frames, y: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> Frames:
    """Each frame at fractional places, bilinearly; black outside. Weights are whole 256ths."""
    side = gray_THW.shape[1]
    padded = np.pad(gray_THW, ((0, 0), (1, 2), (1, 2)))
    fixed_y = np.clip(np.rint(y * 256), -256, side * 256).astype(np.int64) + 256
    fixed_x = np.clip(np.rint(x * 256), -256, side * 256).astype(np.int64) + 256
    (row, part_y), (column, part_x) = np.divmod(fixed_y, 256), np.divmod(fixed_x, 256)
    total = np.zeros(gray_THW.shape, np.int32)
    for step_y, weight_y in ((0, 256 - part_y), (1, part_y)):
        for step_x, weight_x in ((0, 256 - part_x), (1, part_x)):
            weight = (weight_y * weight_x).astype(np.int32)
            total += padded[:, row + step_y, column + step_x] * weight
    return ((total + 2**15) >> 16).astype(np.uint8)
