"""Source and target videos: checked, stored, cut and turned into frames.

Every function decodes a local file in a confined child with a folder of its own. The decoder is
never given a URL, a name from outside, or a say in whether it succeeded.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from formats.acceptance import Decoded, DecodeError, check_run, check_whole, read_decoded
from formats.decoding import (
    Frames,
    check_disk,
    decode,
    limits_of,
    private_folder,
    run_clean,
    whole_frames,
)
from formats.encoding import (
    CODECS,
    FRAME_TIMES,
    GRAY_EDGE,
    PACKET_HASH,
    SOURCE,
    STORED,
    VideoOptions,
    cut_args,
    encode_args,
    gray_args,
    normalise_args,
    pictures_args,
    rgb_args,
    thumbnail_args,
)
from formats.mp4 import Mp4Error, Mp4Facts, read_facts
from formats.sandbox import Completed, run_confined
from formats.storage import scratch_folder
from formats.tables import Reason

__all__ = [
    "DecodeError",
    "Normalised",
    "VideoOptions",
    "cut",
    "decode_gray",
    "decode_rgb",
    "encode_frames",
    "encode_pictures",
    "normalise",
    "thumbnail_jpeg",
]

Seconds = npt.NDArray[np.float32]

_DENSE_S = 60.0
_TOLERANCE_S = 1e-3
_DEFAULTS = VideoOptions()


@dataclass(frozen=True)
class Normalised:
    """Facts of a stored video, read off itself, and the frames to hash."""

    duration_s: float
    width: int
    height: int
    fps: float
    frames: int
    gray_THW: Frames
    """uint8 [T, 128, 128], aspect ratio ignored."""
    seconds_T: Seconds
    """float32; counted from the first frame, as in the stored video."""
    packets_sha256: str
    """Of the source's coded packets: the same in another container, or with other tags."""


def normalise(
    source_path: str,
    stored_path: str,
    options: VideoOptions,
    piece: tuple[float, float] | None = None,
) -> Normalised:
    """Check a source video, write its stored form and sample it for hashing, in one decode.

    Stored: upright, short edge scaled down, even sides, at most `max_fps`, no sound, no metadata;
    the same source gives the same bytes. Nothing is at `stored_path` unless the video is accepted.
    Of a `piece` (its first second, and the one that it ends before) nothing else is decoded, and
    nothing else is checked; its packets are not its own, so their hash is empty.

    Raises:
        DecodeError: with `empty`, `not_video`, `damaged`, `too_few_frames`, `too_short`,
            `too_long`, `too_many_pixels`, `decoder_timeout`, `decoder_memory`, `decoder_crashed`.
    """
    with private_folder(source_path, beside=stored_path) as folder:
        completed = decode(partial(normalise_args, piece=piece), folder, options)
        decoded = read_decoded(completed, folder / FRAME_TIMES)
        check_run(completed, decoded, min_frames=options.min_frames)
        _check_length(decoded.end_s - decoded.start_s, options)
        if piece is not None and decoded.claim_s is not None:
            decoded = replace(decoded, claim_s=min(decoded.claim_s, piece[1]) - piece[0])
        check_whole(decoded)
        facts = _facts(folder / STORED)
        gray_THW, seconds_T = _gray_frames(completed, options)
        packets = (folder / PACKET_HASH).read_text().strip().rpartition("SHA256=")[2]
        packets = "" if piece is not None else packets
        (folder / STORED).replace(stored_path)
    return Normalised(
        facts.duration_s,
        facts.width,
        facts.height,
        facts.fps,
        facts.frames,
        gray_THW,
        seconds_T,
        packets,
    )


def decode_gray(source_path: str, options: VideoOptions) -> tuple[Frames, Seconds, int, int]:
    """Sample a target video of any length for hashing, after the checks of a source video.

    Returns:
        uint8 frames [T, 128, 128], their seconds from the first frame as float32 [T], and the
        upright width and height of the video.

    Raises:
        DecodeError: as `normalise`, but never `too_short`; `too_long` only beyond some hours.
    """
    with private_folder(source_path) as folder:
        completed = decode(gray_args, folder, options)
        decoded = read_decoded(completed, folder / FRAME_TIMES)
        check_run(completed, decoded, min_frames=1)
        check_whole(decoded)
    return *_gray_frames(completed, options), decoded.width, decoded.height


def cut(
    source_path: str, destination_path: str, *, start_s: float, end_s: float, options: VideoOptions
) -> None:
    """Write the frames of a stored video that are shown in [start_s, end_s), re-encoded.

    The first frame is the one nearest to `start_s`; the piece has round((end_s - start_s) * fps)
    frames, give or take the rounding of its two ends, or fewer where the video ends.

    Raises:
        DecodeError: `damaged` if the source is not a stored video or does not decode, `too_short`
            if it has no frame there.
        ValueError: the piece is empty or begins before the video.
    """
    if not 0 <= start_s < end_s:
        raise ValueError(f"no piece from {start_s} to {end_s} s")
    with private_folder(source_path, beside=destination_path) as folder:
        facts = _facts(folder / SOURCE)
        first = round(start_s * facts.fps)
        frames = min(round(end_s * facts.fps), facts.frames) - first
        if frames < 1:
            raise DecodeError(Reason.TOO_SHORT, f"{facts.duration_s:.3f} s, cut at {start_s} s")
        # Half a frame early, so that no rounding of a timestamp can lose or add one.
        seek_s = max(0.0, (first - 0.5) / facts.fps)
        run_clean(cut_args(options, seek_s=seek_s, frames=frames), folder, options)
        written = _facts(folder / STORED).frames
        if written != frames:
            raise DecodeError(Reason.DAMAGED, f"{written} of {frames} frames could be cut")
        (folder / STORED).replace(destination_path)


def decode_rgb(path: str, *, fps: float | None, height: int, width: int) -> Frames:
    """Decode a whole video at a fixed size, ignoring its aspect ratio; `fps` None = as it is.

    Returns:
        uint8 RGB frames [T, height, width, 3], T >= 1.

    Raises:
        DecodeError: the file is not an undamaged video or holds no frame.
    """
    with private_folder(path) as folder:
        args = rgb_args(_DEFAULTS, fps=fps, height=height, width=width)
        content = run_clean(args, folder, _DEFAULTS).stdout
    frames_THWC = whole_frames(content, (height, width, 3))
    if not len(frames_THWC):
        raise DecodeError(Reason.TOO_FEW_FRAMES, "no frame decoded")
    return frames_THWC


def thumbnail_jpeg(source_path: str, *, second: float, height: int) -> bytes:
    """The frame at a second as a JPEG of that height.

    Raises:
        DecodeError: the file is not an undamaged video, or has no frame there (`too_short`).
    """
    with private_folder(source_path) as folder:
        args = thumbnail_args(_DEFAULTS, second=second, height=height)
        picture = run_clean(args, folder, _DEFAULTS).stdout
    if not picture:
        raise DecodeError(Reason.TOO_SHORT, f"no frame at {second} s")
    return picture


def encode_frames(
    path: str, frames: Iterable[Frames], *, fps: float, codec: str = "h264", crf: int = 23
) -> None:
    """Write a video of RGB frames [H, W, 3], all of one size, one frame in memory at a time.

    The container follows from the path's suffix. The same frames give the same bytes.

    Raises:
        ValueError: no frame, an unknown codec, an odd side (4:2:0 cannot hold it; GIF can), or a
            frame of another size or type.
        RuntimeError: the encoder failed, e.g. because the container cannot hold the codec.
        StorageError: the disk refused.
    """
    if codec not in CODECS:
        raise ValueError(f"codec must be one of {', '.join(CODECS)}, got {codec!r}")
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError(f"{path}: no frames")
    height, width = first.shape[:2]
    if codec != "gif" and (height % 2 or width % 2):
        raise ValueError(f"{path}: {width}x{height} has an odd side")
    name = "encoded" + Path(path).suffix
    args = encode_args(name, size=(width, height), fps=fps, codec=codec, crf=crf)
    with scratch_folder(".encode-", str(Path(path).parent)) as folder:
        blocks = (_frame_bytes(frame, first.shape) for frame in chain([first], rest))
        completed = run_confined(args, folder=folder, limits=limits_of(_DEFAULTS), feed=blocks)
        check_disk(completed, Path(folder))
        if completed.returncode:
            raise RuntimeError(f"{path}: cannot be encoded: {completed.stderr[-500:]}")
        (Path(folder) / name).replace(path)


def encode_pictures(path: str, pictures: Iterable[bytes], *, fps: float) -> None:
    """Write a video of JPEG pictures, decoded in the sandbox, one of them in memory at a time.

    Raises:
        DecodeError: `not_video` or `damaged`, when they are no pictures.
        StorageError: the disk refused.
    """
    name = "encoded" + Path(path).suffix
    with scratch_folder(".encode-", str(Path(path).parent)) as folder:
        args = pictures_args(name, fps=fps)
        completed = run_confined(args, folder=folder, limits=limits_of(_DEFAULTS), feed=pictures)
        check_disk(completed, Path(folder))
        check_run(completed, Decoded(0, 0.0, 0.0, None, 0, 0), min_frames=0)
        (Path(folder) / name).replace(path)


def _check_length(duration_s: float, options: VideoOptions) -> None:
    if duration_s > options.max_duration_s + _TOLERANCE_S:
        raise DecodeError(Reason.TOO_LONG, f"more than {options.max_duration_s} s")
    if duration_s < options.min_duration_s - _TOLERANCE_S:
        raise DecodeError(Reason.TOO_SHORT, f"{duration_s:.3f} s decoded")


def _facts(path: Path) -> Mp4Facts:
    try:
        return read_facts(str(path))
    except Mp4Error as error:
        raise DecodeError(Reason.DAMAGED, str(error).rpartition(": ")[2]) from error


def _gray_frames(completed: Completed, options: VideoOptions) -> tuple[Frames, Seconds]:
    """The frames to hash and their seconds: every tick up to 60 s, then every second one."""
    gray_THW = whole_frames(completed.stdout, (GRAY_EDGE, GRAY_EDGE))
    ticks = np.arange(len(gray_THW))
    kept = (ticks < _DENSE_S * options.hash_fps) | (ticks % 2 == 0)
    return gray_THW[kept], (ticks[kept] / options.hash_fps).astype(np.float32)


def _frame_bytes(frame: Frames, shape: tuple[int, ...]) -> bytes:
    if frame.shape != shape or frame.dtype != np.uint8:
        raise ValueError(f"a frame is {frame.dtype} {frame.shape}, the first one uint8 {shape}")
    return frame.tobytes()
