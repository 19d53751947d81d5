"""One frame of a video for people to look at, with the frames around it as they are hashed."""

from dataclasses import dataclass

from formats.acceptance import DecodeError
from formats.decoding import Frames, private_folder, run_clean, whole_frames
from formats.encoding import GRAY_EDGE, PICTURE, VideoOptions, snapshot_args
from formats.tables import Reason

_FROM_START_S = 30.0
_BEFORE_S, _AFTER_S = 10.0, 5.0


@dataclass(frozen=True)
class Snapshot:
    """The frame on show at a second, and what is around it."""

    jpeg: bytes
    gray_THW: Frames
    """uint8 [T, 128, 128], aspect ratio ignored: where bars are, they are in all of them."""


def take_snapshot(
    source_path: str, *, second: float, height: int, options: VideoOptions
) -> Snapshot:
    """The frame that was hashed at a second, counted from the first frame, as a JPEG.

    Up to 30 s it is that very frame; further on the file is not decoded from its start, and it may
    be the next one.

    Raises:
        DecodeError: the file is not an undamaged video, or has no frame there.
        FileNotFoundError: there is no such file.
    """
    tick = round(second * options.hash_fps)
    start = tick - round(_BEFORE_S * options.hash_fps)
    start = start if second > _FROM_START_S else 0
    with private_folder(source_path) as folder:
        args = snapshot_args(
            options,
            start_s=start / options.hash_fps,
            length_s=(tick - start) / options.hash_fps + _AFTER_S,
            tick=tick - start,
            height=height,
        )
        completed = run_clean(args, folder, options)
        gray_THW = whole_frames(completed.stdout, (GRAY_EDGE, GRAY_EDGE))
        picture = folder / PICTURE
        if not picture.exists() or not len(gray_THW):
            raise DecodeError(Reason.TOO_SHORT, f"no frame at {second} s")
        return Snapshot(picture.read_bytes(), gray_THW)
