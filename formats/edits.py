"""The edits that a re-upload is put through to measure whether it is still recognised.

Each takes a video in its *master* form (`master_options`: short side 240, square pixels, constant
frame rate) and a second master to go with it, and leaves an H.264 file such as people post.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import radians
from pathlib import Path
from typing import Any

import ffmpeg

from formats.decoding import private_folder, run_clean
from formats.encoding import PLAIN, VideoOptions, compile_run, guarded_source
from formats.mp4 import read_facts
from formats.overlays import draw_overlay

MAX_SECONDS = 8.0
"""Of a longer target video the re-upload shows its first seconds."""
_SHORT_EDGE = 240
_AROUND_S = 8.0
_TRIM_S = 4.0
_MIN_PIECE = 0.6
_OTHER, _PICTURE, _EDITED = "other", "overlay.png", "edited.mp4"
_UPRIGHT = (270, 480)
_QUALITY = 20


@dataclass(frozen=True)
class Material:
    """What an edit may look at: the video's own facts, and how to get at the rest."""

    width: int
    height: int
    fps: float
    seconds: float
    options: VideoOptions
    folder: Path

    def other(self, seconds: float) -> Any:
        """So many seconds of the second video, repeated if need be, filling the same frame."""
        stream = guarded_source(self.options, _OTHER, stream_loop=-1, t=seconds)
        return self.alike(_covering(stream, self.width, self.height))

    def alike(self, stream: Any) -> Any:
        """The stream at the frame rate of the video: what is joined must be of one form."""
        return stream.filter("fps", fps=self.fps).filter("setsar", 1).filter("format", "yuv420p")

    def overlay(self, stream: Any, name: str, width: int, height: int) -> Any:
        """A stream of this size with a drawn picture laid over it."""
        draw_overlay(name, (width, height)).save(self.folder / _PICTURE)
        picture = ffmpeg.input(f"file:{_PICTURE}", format="png_pipe")
        return ffmpeg.overlay(stream, picture, format="auto")


Change = Callable[[Any, Material], Any]
Filter = tuple[Any, ...]


@dataclass(frozen=True)
class Edit:
    """One way to alter a video."""

    says: str
    """One line, for people."""
    change: Change
    crf: int = _QUALITY
    holds_other: bool = False
    """The second video is in it, too."""


def master_options(options: VideoOptions) -> VideoOptions:
    """How a target video is decoded to be edited."""
    return replace(options, stored_short_edge=_SHORT_EDGE, crf=16, min_duration_s=0.0)


def edit_video(source: str, other: str, edited: str, name: str, options: VideoOptions) -> None:
    """Write the edited form of a master; the same masters give the same bytes.

    Raises:
        DecodeError: a master does not decode.
        KeyError: there is no such edit.
    """
    edit = EDITS[name]
    facts = read_facts(source)
    seconds = min(facts.duration_s, MAX_SECONDS)
    with private_folder(source, beside=edited) as folder:
        # A name of the folder's own: a link would lead out of what the decoder may read.
        os.link(other, folder / _OTHER)
        material = Material(facts.width, facts.height, facts.fps, seconds, options, folder)
        frames = edit.change(guarded_source(options, t=seconds), material)
        run_clean(_encoded(frames, edit.crf), folder, options)
        (folder / _EDITED).replace(edited)


def _encoded(stream: Any, crf: int) -> list[str]:
    even = stream.filter("crop", "2*floor(iw/2)", "2*floor(ih/2)").filter("setsar", 1)
    return compile_run(
        even.filter("format", "yuv420p").output(
            f"file:{_EDITED}",
            vcodec="libx264",
            preset="superfast",
            crf=crf,
            threads=1,
            fps_mode="cfr",
            **PLAIN,
        )
    )


def _then(*filters: Filter) -> Change:
    """One filter after the other: (name, arguments ...); the last may be a dict of named ones."""

    def change(stream: Any, _material: Material) -> Any:
        for name, *words in filters:
            last = words[-1] if words else None
            named = last if isinstance(last, dict) else {}
            stream = stream.filter(name, *words[: len(words) - bool(named)], **named)
        return stream

    return change


def _crop(kept: float, x: float = 0.5, y: float = 0.5) -> Filter:
    """What is kept of width and height, and where it lies in the rest, from 0 to 1."""
    return ("crop", f"iw*{kept}", f"ih*{kept}", f"(iw-ow)*{x}", f"(ih-oh)*{y}")


def _covering(stream: Any, width: int, height: int) -> Any:
    whole = stream.filter("scale", width, height, force_original_aspect_ratio="increase")
    return whole.filter("crop", width, height)


def _within(stream: Any, width: int, height: int) -> Any:
    return stream.filter("scale", width, height, force_original_aspect_ratio="decrease")


def _portrait_black(stream: Any, _material: Material) -> Any:
    width, height = _UPRIGHT
    return _within(stream, width, height).filter("pad", width, height, "(ow-iw)/2", "(oh-ih)/2")


def _portrait_blur(stream: Any, _material: Material) -> Any:
    width, height = _UPRIGHT
    pieces = stream.filter_multi_output("split", 2)
    behind = _covering(pieces[0], width, height).filter("gblur", sigma=12)
    return behind.overlay(_within(pieces[1], width, height), x="(W-w)/2", y="(H-h)/2")


def _portrait_text(stream: Any, material: Material) -> Any:
    return material.overlay(_portrait_black(stream, material), "big_text", *_UPRIGHT)


def _caption_bar(stream: Any, material: Material) -> Any:
    width, height = material.width, 2 * round(material.height * 1.25 / 2)
    bar = stream.filter("pad", width, height, 0, height - material.height, color="white")
    return material.overlay(bar, "bar_text", width, height)


def _with(name: str) -> Change:
    """The picture of this name over all of the frame."""
    return lambda stream, m: m.overlay(stream, name, m.width, m.height)


def _trim(stream: Any, material: Material) -> Any:
    length = min(_TRIM_S, material.seconds * _MIN_PIECE)
    start = (material.seconds - length) / 2
    piece = stream.filter("trim", start=f"{start:.3f}", duration=f"{length:.3f}")
    return piece.filter("setpts", "PTS-STARTPTS")


def _inside(stream: Any, material: Material) -> Any:
    pieces = material.other(2 * _AROUND_S).filter_multi_output("split", 2)
    before = pieces[0].filter("trim", end=_AROUND_S)
    after = pieces[1].filter("trim", start=_AROUND_S).filter("setpts", "PTS-STARTPTS")
    return ffmpeg.concat(before, material.alike(stream), after)


def _beside(share: float) -> Change:
    """The video small, so wide, over the second one."""

    def change(stream: Any, material: Material) -> Any:
        small = material.alike(stream.filter("scale", f"iw*{share}", f"ih*{share}"))
        behind = material.other(material.seconds)
        return behind.overlay(small, x="(W-w)*0.6", y="(H-h)*0.35", shortest=1)

    return change


_SEPIA = {
    **{"rr": 0.393, "rg": 0.769, "rb": 0.189},
    **{"gr": 0.349, "gg": 0.686, "gb": 0.168},
    **{"br": 0.272, "bg": 0.534, "bb": 0.131},
}
_TILT = {"fillcolor": "black"}
_GREY = ("hue", {"s": 0})
_LETTERBOX = ("pad", "iw", "2*ceil(ih*4/6)", "0", "(oh-ih)/2")
_PILLARBOX = ("pad", "2*ceil(iw*4/6)", "ih", "(ow-iw)/2", "0")
_SQUARE = ("crop", "min(iw,ih)", "min(iw,ih)")

AS_IS = "as_is"
PICTURE_IN_PICTURE = ("pip50", "pip75")
EDITS: Mapping[str, Edit] = {
    AS_IS: Edit("written anew, nothing else; not counted below", _then(("null",))),
    "reencode40": Edit("x264 at CRF 40", _then(("null",)), crf=40),
    "scale96": Edit("96 lines, CRF 32", _then(("scale", -2, 96)), crf=32),
    "crop05": Edit("centre, 95 % of each side", _then(_crop(0.95))),
    "crop10": Edit("centre, 90 % of each side", _then(_crop(0.9))),
    "crop20": Edit("centre, 80 % of each side", _then(_crop(0.8))),
    "crop35": Edit("centre, 65 % of each side", _then(_crop(0.65))),
    "crop20off": Edit("80 % of each side, off the centre", _then(_crop(0.8, 0.85, 0.2))),
    "square": Edit("centre square", _then(_SQUARE)),
    "letterbox": Edit("black bars above and below, a quarter of the height", _then(_LETTERBOX)),
    "pillarbox": Edit("black bars left and right, a quarter of the width", _then(_PILLARBOX)),
    "portrait_black": Edit("9:16, black around it", _portrait_black),
    "portrait_blur": Edit("9:16, itself blurred around it", _portrait_blur),
    "caption_bar": Edit("white bar with text above, a fifth of the height", _caption_bar),
    "logo": Edit("logo in a corner, 14 % wide", _with("logo")),
    "big_text": Edit("two lines of large text", _with("big_text")),
    "sticker28": Edit("sticker, 28 % wide", _with("sticker")),
    "mirror": Edit("left and right swapped", _then(("hflip",))),
    "bright": Edit("brightness + 0.2", _then(("eq", {"brightness": 0.2}))),
    "contrast": Edit("contrast x 1.5", _then(("eq", {"contrast": 1.5}))),
    "gamma": Edit("gamma 1.6", _then(("eq", {"gamma": 1.6}))),
    "gray": Edit("no colour", _then(_GREY)),
    "sepia": Edit(
        "sepia with dark corners", _then(("colorchannelmixer", _SEPIA), ("vignette", "PI/4.5"))
    ),
    "fps12": Edit("12 frames a second", _then(("fps", {"fps": 12}))),
    "slow08": Edit("0.8 x speed", _then(("setpts", "PTS/0.8"))),
    "fast125": Edit("1.25 x speed", _then(("setpts", "PTS/1.25"))),
    "fast2": Edit("2 x speed", _then(("setpts", "PTS/2"))),
    "trim4": Edit("the middle 4 s, of a short video its middle 60 %", _trim),
    "inside": Edit("between twice 8 s of another video", _inside, holds_other=True),
    "rotate5": Edit("turned by 5 degrees, black corners", _then(("rotate", radians(5), _TILT))),
    "rotate90": Edit("turned by 90 degrees", _then(("transpose", 1))),
    "blur": Edit("blurred, sigma 1/90 of the short side", _then(("gblur", {"sigma": 240 / 90}))),
    "noise": Edit("noise of strength 30", _then(("noise", {"alls": 30, "allf": "t"})), 30),
    "mirror_crop_contrast": Edit(
        "mirrored, 88 % of each side, contrast x 1.3",
        _then(("hflip",), _crop(0.88), ("eq", {"contrast": 1.3})),
    ),
    "portrait_text": Edit("9:16, black around it, two lines of text", _portrait_text),
    "crop_tilt_gamma_fast": Edit(
        "92 % of each side, turned by 1.5 degrees, gamma 1.25, 1.1 x speed",
        _then(
            _crop(0.92),
            ("rotate", radians(1.5), _TILT),
            ("eq", {"gamma": 1.25}),
            ("setpts", "PTS/1.1"),
        ),
    ),
    "pip50": Edit("half as wide, over another video", _beside(0.5), holds_other=True),
    "pip75": Edit("three quarters as wide, over another video", _beside(0.75), holds_other=True),
}
"""By name; the one that changes nothing comes first and says whom the video is like anyway."""
