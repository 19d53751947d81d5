"""The ways a re-upload alters a picture: what of a frame each one keeps, and how it is turned.

Frames are squashed to a square, so the aspect ratio comes with them: `width / height` of the video.
"""

import re
from collections.abc import Iterator

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
_CENTRE_CROPS = {"crop92": 0.92, "crop85": 0.85, "crop77": 0.77, "crop70": 0.70, "crop64": 0.64}
_ASPECT_CROPS = {"square": 1.0, "4:5": 4 / 5, "9:16": 9 / 16, "16:9": 16 / 9}
_BANDS = {"band16:9": 16 / 9, "band4:3": 4 / 3}
_PLACES = {
    **{"topleft": (0.0, 0.0), "top": (0.0, 0.5), "topright": (0.0, 1.0)},
    **{"left": (0.5, 0.0), "right": (0.5, 1.0)},
    **{"bottomleft": (1.0, 0.0), "bottom": (1.0, 0.5), "bottomright": (1.0, 1.0)},
}
"""Where a crop off the centre lies: 0 at the top and left, 1 at the bottom and right."""
_OFF_CENTRE = {"": 0.8, "87": 0.87}
"""Measured on 25 videos cut to 80 % at two places: 20 % are found by the corners of 80 %, 46 % by
the eight windows of 80 % alone, 76 % by both sets, which are 24 hashes a frame more; 82 % by
24 windows of 80 %, which are 40 more but miss 90 % of the picture at a corner (54 % to 96 %).
"""
_QUARTER_TURNS = ("rot90", "rot270")
_TILTS_DEGREES = {"rot+5": 5.0, "rot-5": -5.0}
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


def turn_of(variant: str) -> str:
    """How a target's variant is turned, whatever part of the frame it holds.

    >>> turn_of("crop85+mirror"), turn_of("rot90"), turn_of("rot+5"), turn_of("full")
    ('+mirror', 'rot90', '', '')
    """
    name = variant.removesuffix(MIRROR)
    return (name if name in _QUARTER_TURNS else "") + variant[len(name) :]


def target_boxes(gray_THW: Frames, aspect: float) -> dict[str, Box]:
    """The parts of a target video's frames that a re-upload may keep, by variant.

    `full` is the picture without solid bars, and what the crops are cut from.
    """
    full = solid_box(gray_THW)
    picture_aspect = aspect * (full.right - full.left) / (full.bottom - full.top)
    boxes = {"full": full} | _centre_boxes(full, picture_aspect) | _off_centre_boxes(full)
    if full != WHOLE:
        # Who crops a picture with bars keeps more of it on their side than on the other.
        crops = _centre_boxes(WHOLE, aspect) | _off_centre_boxes(WHOLE)
        boxes |= {f"barred-{name}": _common(box, full) for name, box in crops.items()}
    boxes |= {"unstripped": WHOLE, "written": written_box(gray_THW)}
    return _without_repeats(boxes)


def target_coefficients(gray_THW: Frames, aspect: float) -> Iterator[tuple[str, Coefficients]]:
    """Each variant of a target video's frames, as it is and then mirrored, as coefficients."""
    for name, box in target_boxes(gray_THW, aspect).items():
        coefficients = dct_coefficients(gray_THW, box)
        yield name, coefficients
        yield name + MIRROR, mirrored(coefficients)
        if name == "full":
            full_box, full = box, coefficients
    left = quarter_turned(full)
    # A transposed frame, mirrored, is the frame turned by 90 degrees clockwise.
    right = mirrored(full.transpose(0, 2, 1))
    for name, coefficients in zip(_QUARTER_TURNS, (left, right), strict=True):
        yield name, coefficients
        yield name + MIRROR, mirrored(coefficients)
    for name, degrees in _TILTS_DEGREES.items():
        coefficients = dct_coefficients(tilt(gray_THW, degrees, aspect), full_box)
        yield name, coefficients
        yield name + MIRROR, mirrored(coefficients)


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
    """Crops that touch a side: 80 % to meet those who cut as much, 87 % for what lies between."""
    height, width = box.bottom - box.top, box.right - box.left
    boxes = {}
    for suffix, kept in _OFF_CENTRE.items():
        for place, (down, across) in _PLACES.items():
            top = box.top + height * (1 - kept) * down
            left = box.left + width * (1 - kept) * across
            boxes[place + suffix] = Box(top, top + height * kept, left, left + width * kept)
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
