"""How people alter a video that is not theirs before they post it again."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps

from pipelines.world.scenes import Film, film_frames

Frames = Iterator[NDArray[np.uint8]]


@dataclass(frozen=True)
class Recording:
    """Frames to be encoded, all of one size."""

    frames_THWC: Frames
    fps: float
    crf: int = 30


EDITS = (
    "reencoded", "scaled_down", "cropped", "mirrored", "captioned", "letterboxed", "pillarboxed",
    "trimmed", "sped_up", "brightened", "portrait", "portrait_blurred", "spliced",
    "mirrored+cropped", "captioned+brightened+reencoded", "trimmed+letterboxed",
)  # fmt: skip
"""The edits that occur; those of one post are joined by '+' and done in that order."""


def reuploaded(film: Film, edit: str, *, rng_seed: int) -> Recording:
    """The film as somebody else posts it again.

    Raises:
        KeyError: an edit's name is unknown.
    """
    recording = Recording(film_frames(film, rng_seed=rng_seed), film.fps)
    for name in edit.split("+"):
        if name == "spliced":
            recording = _spliced(recording, film, rng_seed)
        elif name in _TIME_EDITS:
            recording = _TIME_EDITS[name](recording, film)
        else:
            recording = replace(
                recording, frames_THWC=_each(recording.frames_THWC, _FRAME_EDITS[name])
            )
    return recording


def _each(frames_THWC: Frames, alter: Callable[[Image.Image], Image.Image]) -> Frames:
    for frame_HWC in frames_THWC:
        yield np.asarray(alter(Image.fromarray(frame_HWC)))


def _spliced(recording: Recording, film: Film, rng_seed: int) -> Recording:
    """Three seconds of something else come first."""
    other = replace(film, film_id=f"{film.film_id}-before", actions=(), frames=3 * film.fps)
    before = film_frames(other, rng_seed=rng_seed)
    return replace(recording, frames_THWC=chain(before, recording.frames_THWC))


def _reencoded(recording: Recording, film: Film) -> Recording:
    return replace(recording, crf=40)


def _trimmed(recording: Recording, film: Film) -> Recording:
    """Without a fifth at either end."""
    cut = film.frames // 5
    return replace(recording, frames_THWC=islice(recording.frames_THWC, cut, film.frames - cut))


def _sped_up(recording: Recording, film: Film) -> Recording:
    return replace(recording, fps=recording.fps * 1.25)


def _scaled_down(picture: Image.Image) -> Image.Image:
    return picture.resize(_even(picture.width * 0.6, picture.height * 0.6))


def _cropped(picture: Image.Image) -> Image.Image:
    """Ten per cent off either axis, a little off the centre, at the old size."""
    wide, high = picture.width, picture.height
    box = (0.07 * wide, 0.04 * high, 0.97 * wide, 0.94 * high)
    return picture.resize(picture.size, Image.Resampling.BILINEAR, box)


def _captioned(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    size = max(10, picture.height // 9)
    draw = ImageDraw.Draw(picture)
    draw.text(
        (picture.width / 2, picture.height * 0.86),
        "WAIT FOR IT",
        fill=(255, 255, 255),
        font=ImageFont.load_default(size),
        anchor="mm",
        stroke_width=2,
        stroke_fill=(0, 0, 0),
    )
    return picture


def _letterboxed(picture: Image.Image) -> Image.Image:
    return _padded(picture, *_even(picture.width, picture.height * 1.3))


def _pillarboxed(picture: Image.Image) -> Image.Image:
    return _padded(picture, *_even(picture.width * 1.35, picture.height))


def _portrait(picture: Image.Image) -> Image.Image:
    return _padded(picture, *_even(picture.width, picture.width * 16 / 9))


def _portrait_blurred(picture: Image.Image) -> Image.Image:
    size = _even(picture.width, picture.width * 16 / 9)
    behind = ImageOps.fit(picture, size).filter(ImageFilter.BoxBlur(9))
    behind.paste(picture, (0, (size[1] - picture.height) // 2))
    return behind


def _brightened(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Contrast(ImageEnhance.Brightness(picture).enhance(1.25)).enhance(1.2)


def _padded(picture: Image.Image, width: int, height: int) -> Image.Image:
    canvas = Image.new("RGB", (width, height))
    canvas.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return canvas


def _even(width: float, height: float) -> tuple[int, int]:
    return 2 * round(width / 2), 2 * round(height / 2)


_TIME_EDITS: Mapping[str, Callable[[Recording, Film], Recording]] = MappingProxyType(
    {"reencoded": _reencoded, "trimmed": _trimmed, "sped_up": _sped_up}
)
_FRAME_EDITS: Mapping[str, Callable[[Image.Image], Image.Image]] = MappingProxyType(
    {
        "scaled_down": _scaled_down,
        "cropped": _cropped,
        "mirrored": ImageOps.mirror,
        "captioned": _captioned,
        "letterboxed": _letterboxed,
        "pillarboxed": _pillarboxed,
        "brightened": _brightened,
        "portrait": _portrait,
        "portrait_blurred": _portrait_blurred,
    }
)
