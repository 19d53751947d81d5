"""A frame as it was compared: which part of it, and how it was turned, drawn as SVG.

What was left out is dimmed and what was kept is outlined, so that source and target can be held
against each other with the rest of the picture still in sight.
"""

import base64
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from PIL import Image

from dedup.hashing import WHOLE, Box
from dedup.variants import FRAMED, MIRROR, OFF_CENTRE, inset_box, source_boxes, target_boxes
from formats.snapshots import Snapshot

_TURNS_DEGREES = {"rot90": -90, "rot270": 90}
"""Clockwise."""
_TILTS_DEGREES = {"rot+5": 5, "rot-5": -5}


@dataclass(frozen=True)
class View:
    """What a comparison took of a frame: the box of it, then turned clockwise, then mirrored."""

    box: Box = WHOLE
    turn_degrees: int = 0
    """-90, 0 or 90."""
    tilt_degrees: int = 0
    """Of the frame below the box."""
    mirror: bool = False


class _Size(NamedTuple):
    width: int
    height: int


def source_view(version: str, frame: Snapshot) -> View:
    """The part of a source frame that a version of it is; the whole of it if that is unknown.

    In a comparison of source videos one of the two may be mirrored.
    """
    name = version.removesuffix(MIRROR)
    # One frame does not show what lasts: the place of an inset is in its name.
    boxes = source_boxes(frame.gray_THW, _aspect(frame))
    return View(inset_box(name) or boxes.get(name, WHOLE), mirror=version.endswith(MIRROR))


def target_view(variant: str, frame: Snapshot) -> View:
    """What a variant does to a target frame; nothing if the variant is unknown."""
    name = variant.removesuffix(MIRROR)
    turned = name.removeprefix(FRAMED)
    turn, tilt = _TURNS_DEGREES.get(turned, 0), _TILTS_DEGREES.get(turned, 0)
    boxes = target_boxes(frame.gray_THW, _aspect(frame))
    # What is turned with its bars on is the whole frame.
    part = "full" if (turn or tilt) and turned == name else name
    box = boxes.get(part, WHOLE)
    return View(box, turn, tilt, mirror=variant.endswith(MIRROR))


def say_view(name: str) -> str:
    """A version or variant in words; a name that is not known stays as it is.

    >>> say_view("crop85+mirror"), say_view("rot270"), say_view("raw")
    ('centre 85 %, mirrored', 'turned right', 'whole frame')
    """
    base = name.removesuffix(MIRROR)
    if inset_box(base):
        return "picture in the picture"
    part = base.removeprefix("barred-").removeprefix(FRAMED)
    crop = re.fullmatch(r"crop(\d+)", part)
    place = re.fullmatch(r"part(\d+)-(\d+)", part)
    words = f"centre {crop[1]} %" if crop else _WORDS.get(part, part)
    if place:
        words = f"{100 * OFF_CENTRE:.0f} %, {_PLACES_DOWN[place[1]]}, {_PLACES_ACROSS[place[2]]}"
    words += " of picture and bars" * base.startswith("barred-")
    words += ", bars left on" * base.startswith(FRAMED)
    return f"{words}, mirrored" if name.endswith(MIRROR) else words


_WORDS: Mapping[str, str] = {
    "raw": "whole frame",
    "unstripped": "whole frame",
    "full": "whole picture",
    "stripped": "without its bars",
    "written": "without bars with text",
    "rot90": "turned left",
    "rot270": "turned right",
    "rot+5": "tilted right",
    "rot-5": "tilted left",
}
_PLACES_DOWN = {"0": "top", "25": "above the middle", "50": "middle"}
_PLACES_DOWN |= {"75": "below the middle", "100": "bottom"}
_PLACES_ACROSS = {"0": "left", "25": "left of the centre", "50": "centre"}
_PLACES_ACROSS |= {"75": "right of the centre", "100": "right"}


def draw_frame(frame: Snapshot, view: View, words: str) -> str:
    """The frame as inline SVG, without a reference to anything outside; `words` are HTML text."""
    size = _size(frame)
    shown = _Size(size.height, size.width) if view.turn_degrees else size
    data = base64.b64encode(frame.jpeg).decode()
    image = (
        f'<image href="data:image/jpeg;base64,{data}" width="{size.width}" height="{size.height}"'
        f'{_tilt(view, size)} preserveAspectRatio="none"/>'
    )
    return (
        f'<svg class="view" viewBox="0 0 {shown.width} {shown.height}" role="img" '
        f'aria-label="{words}"><g{_orientation(view, size, shown)}>{image}{_outline(view, size)}'
        "</g></svg>"
    )


def _tilt(view: View, size: _Size) -> str:
    if not view.tilt_degrees:
        return ""
    return f' transform="rotate({view.tilt_degrees} {size.width / 2:g} {size.height / 2:g})"'


def _orientation(view: View, size: _Size, shown: _Size) -> str:
    """SVG applies the last one of a list first: turned, then mirrored as it is shown."""
    steps = []
    if view.mirror:
        steps.append(f"translate({shown.width} 0) scale(-1 1)")
    if view.turn_degrees > 0:
        steps.append(f"translate({size.height} 0) rotate(90)")
    if view.turn_degrees < 0:
        steps.append(f"translate(0 {size.width}) rotate(-90)")
    return f' transform="{" ".join(steps)}"' if steps else ""


def _outline(view: View, size: _Size) -> str:
    if view.box == WHOLE:
        return ""
    left, right = view.box.left * size.width, view.box.right * size.width
    top, bottom = view.box.top * size.height, view.box.bottom * size.height
    kept = f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"
    whole = f"M0 0H{size.width}V{size.height}H0Z"
    return f'<path class="cut" d="{whole}{kept}"/><path class="kept" d="{kept}"/>'


def _aspect(frame: Snapshot) -> float:
    size = _size(frame)
    return size.width / size.height


def _size(frame: Snapshot) -> _Size:
    with Image.open(io.BytesIO(frame.jpeg)) as picture:
        return _Size(*picture.size)
