"""The argument lists of every ffmpeg run: what is decoded how, and what is written how.

ffmpeg-python builds the lists; they are run by `formats.sandbox` and by nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ffmpeg
import imageio_ffmpeg

SOURCE = "source"
STORED = "stored.mp4"
PICTURE = "picture.jpg"
FRAME_TIMES = "frames.txt"
PACKET_HASH = "packets.txt"
GRAY_EDGE = 128

_FORMATS = "mov,matroska,webm,avi,flv,mpegts,mpeg,asf,ogg,gif"
_MAX_ALLOC = 256 << 20
_MAX_WIDE = 8
"""Widths of a picture in its heights: beyond, it is shown narrower than it is."""
_PROBE = "5M"
_EXACT = "+accurate_rnd+full_chroma_int+bitexact"
_ENCODERS: Mapping[str, dict[str, object]] = {
    "h264": {"vcodec": "libx264", "preset": "veryfast", "pix_fmt": "yuv420p"},
    "hevc": {
        "vcodec": "libx265",
        "preset": "ultrafast",
        "pix_fmt": "yuv420p",
        "x265-params": "pools=none:frame-threads=1:log-level=none",
    },
    "vp8": {"vcodec": "libvpx", "deadline": "realtime", "b:v": "2M", "pix_fmt": "yuv420p"},
    "vp9": {
        "vcodec": "libvpx-vp9",
        "deadline": "realtime",
        "cpu-used": 8,
        "b:v": 0,
        "pix_fmt": "yuv420p",
    },
    "mpeg4": {"vcodec": "mpeg4", "q:v": 4, "pix_fmt": "yuv420p"},
    "mjpeg": {"vcodec": "mjpeg", "q:v": 4, "pix_fmt": "yuvj420p"},
    "gif": {"vcodec": "gif", "pix_fmt": "rgb8"},
}
CODECS = tuple(_ENCODERS)


@dataclass(frozen=True)
class VideoOptions:
    """How a source video is checked, stored and sampled for hashing."""

    stored_short_edge: int = 128
    """Pixels; never enlarged to it."""
    max_fps: float = 30.0
    crf: int = 24
    gop: int = 12
    preset: str = "veryfast"
    hash_fps: float = 2.0
    min_duration_s: float = 1.0
    max_duration_s: float = 61.0
    min_frames: int = 2
    max_pixels: int = 3840 * 2160
    """Of one source frame."""
    deadline_s: float = 120.0
    memory_bytes: int = 2 << 30


def normalise_args(
    options: VideoOptions, *, steady: bool = True, piece: tuple[float, float] | None = None
) -> list[str]:
    """`SOURCE` -> `STORED`, gray frames on standard output, `FRAME_TIMES` and `PACKET_HASH`.

    It is read and decoded once.

    Args:
        options: Sizes, rates and bounds.
        steady: Time counts from the first frame. Not to be had when the form of the frames changes
            on the way: ffmpeg then builds the filters anew, and they would count from zero again.
        piece: The seconds [start, end) that are wanted; None = all.
    """
    bound = {"t": options.max_duration_s + 1}
    within = {"ss": f"{piece[0]:.6f}", "t": f"{piece[1] - piece[0]:.6f}"} if piece else {}
    source = guarded_source(options, **within)
    whole, timed = _split(source, 2)
    stored, hashed = _split(_from_zero(timed) if steady else timed, 2)
    frames = int(bound["t"] * options.max_fps) + 1
    outputs = [
        _stored(_fitted(stored, options), options, {**bound, "frames:v": frames}),
        _gray(hashed, options, bound),
        _frame_times(whole, bound),
        _packet_hash(source, bound),
    ]
    return compile_run(ffmpeg.merge_outputs(*outputs))


def gray_args(options: VideoOptions, *, steady: bool = True) -> list[str]:
    """`SOURCE` -> gray frames on standard output and `FRAME_TIMES`, however long it is."""
    whole, hashed = _split(guarded_source(options), 2)
    gray = _gray(_from_zero(hashed) if steady else hashed, options, {})
    return compile_run(ffmpeg.merge_outputs(gray, _frame_times(whole, {})))


def cut_args(options: VideoOptions, *, seek_s: float, frames: int) -> list[str]:
    """A number of frames of a stored `SOURCE`, from the first one after `seek_s` -> `STORED`."""
    piece = _from_zero(guarded_source(options, ss=f"{seek_s:.9f}"))
    return compile_run(_stored(piece, options, {"frames:v": frames}))


def rgb_args(options: VideoOptions, *, fps: float | None, height: int, width: int) -> list[str]:
    """`SOURCE` -> RGB frames on standard output; `fps` None keeps every frame as it is."""
    frames = guarded_source(options)
    if fps is not None:
        frames = frames.filter("fps", fps=fps, **_SHOWN_THEN)
    frames = frames.filter("scale", width, height, flags="bilinear" + _EXACT)
    return compile_run(
        frames.output("pipe:1", format="rawvideo", pix_fmt="rgb24", fps_mode="passthrough")
    )


def thumbnail_args(options: VideoOptions, *, second: float, height: int) -> list[str]:
    """The first frame of `SOURCE` at or after a second -> one JPEG on standard output."""
    frame = guarded_source(options, ss=f"{second:.6f}")
    frame = frame.filter("scale", -2, height, flags="area" + _EXACT)
    return compile_run(frame.output("pipe:1", format="image2pipe", **_JPEG, **PLAIN))


def snapshot_args(
    options: VideoOptions, *, start_s: float, length_s: float, tick: int, height: int
) -> list[str]:
    """`SOURCE` -> gray frames as for hashing on standard output, one of them as `PICTURE`.

    Seconds are those of the file. The picture has that height and the width at which it is shown.
    """
    more = {"ss": f"{start_s:.6f}", "t": f"{length_s:.6f}"}
    gray, shown = _split(_ticks(_from_zero(guarded_source(options, **more)), options), 2)
    width = f"clip(2*round({height}*dar/2),2,{_MAX_WIDE}*{height})"
    picture = (
        shown.filter("trim", start_frame=tick, end_frame=tick + 1)
        .filter("scale", width, height, flags="area" + _EXACT)
        .filter("setsar", 1)
        .output(
            f"file:{PICTURE}",
            format="image2",
            update=1,
            **_JPEG,
            **PLAIN,
        )
    )
    return compile_run(ffmpeg.merge_outputs(_squashed(gray, {}), picture))


def pictures_args(name: str, *, fps: float) -> list[str]:
    """JPEG pictures, one after the other, on standard input -> a file of that name."""
    pictures = ffmpeg.input("pipe:0", format="image2pipe", vcodec="mjpeg", framerate=fps)
    even = pictures.filter("scale", "2*ceil(iw/2)", "2*ceil(ih/2)", **_COLOURS)
    settings = {**_ENCODERS["h264"], "crf": _NEARLY_LOSSLESS, "threads": 1, **PLAIN}
    return compile_run(even.output(f"file:{name}", **settings))


def encode_args(name: str, *, size: tuple[int, int], fps: float, codec: str, crf: int) -> list[str]:
    """Raw RGB frames of `size` (width, height) on standard input -> a file of that name."""
    frames = ffmpeg.input(
        "pipe:0", format="rawvideo", pix_fmt="rgb24", s=f"{size[0]}x{size[1]}", framerate=fps
    )
    settings = dict(_ENCODERS[codec])
    if codec in ("h264", "hevc", "vp8", "vp9"):
        settings["crf"] = crf
    return compile_run(frames.output(f"file:{name}", threads=1, **settings, **PLAIN))


_NEARLY_LOSSLESS = 12
_SHOWN_THEN = {"round": "up", "eof_action": "pass"}
"""A sampled frame is the one on show at its second, not the nearest; the first is never lost."""
_JPEG = {"vcodec": "mjpeg", "pix_fmt": "yuvj420p", "q:v": 4, "frames:v": 1}
PLAIN = {"map_metadata": -1, "fflags": "+bitexact", "flags:v": "+bitexact"}
"""Nothing of the source's tags, no date, no version: the same frames give the same bytes."""


def compile_run(outputs: Any) -> list[str]:
    """The argument list of a run that writes these outputs of ffmpeg-python, one thread."""
    start = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-hide_banner", "-nostats"]
    start += ["-v", "level+info", "-filter_complex_threads", "1", "-max_alloc", str(_MAX_ALLOC)]
    return list(map(str, ffmpeg.compile(outputs, cmd=start, overwrite_output=True)))


def guarded_source(options: VideoOptions, name: str = SOURCE, **more: object) -> Any:
    """The first real video stream (no cover art) of the local file, behind every guard there is."""
    guarded = ffmpeg.input(
        f"file:{name}",
        protocol_whitelist="file",
        format_whitelist=_FORMATS,
        max_streams=64,  # Films have dozens of subtitles; a hostile file claims thousands.
        max_pixels=options.max_pixels,
        probesize=_PROBE,
        analyzeduration=_PROBE,
        threads=1,
        **more,
    )
    return guarded["V:0"]


def _from_zero(stream: Any) -> Any:
    return stream.filter("setpts", "PTS-STARTPTS")


def _split(stream: Any, count: int) -> list[Any]:
    pieces = stream.filter_multi_output("split", count)
    return [pieces[index] for index in range(count)]


def _fitted(stream: Any, options: VideoOptions) -> Any:
    """Square pixels, constant frame rate, short edge and sides as stored; nothing is enlarged."""
    rate = f"if(gt(source_fps,0),clip(source_fps,1,{options.max_fps}),25)"
    width, height = "iw*min(1,sar)", "ih/max(1,sar)"
    short = f"min({width},{height})"
    scale = f"min({options.stored_short_edge},{short})/{short}"
    even = "2*max(1,round({}*{}/2))"
    return (
        stream.filter("fps", fps=rate)
        .filter("scale", even.format(width, scale), even.format(height, scale), **_COLOURS)
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )


_COLOURS = {"flags": "bicubic" + _EXACT, "out_range": "tv", "out_color_matrix": "bt601"}
"""One range and one matrix for every stored video, so that a reader needs no table of them."""


def _stored(stream: Any, options: VideoOptions, bound: Mapping[str, object]) -> Any:
    """H.264 that any player opens and that decodes fast from any frame (no CABAC, no filter)."""
    gop = f"keyint={options.gop}:min-keyint={options.gop}:scenecut=0:open-gop=0"
    return stream.output(
        f"file:{STORED}",
        vcodec="libx264",
        preset=options.preset,
        crf=options.crf,
        tune="fastdecode",
        bf=0,
        threads=1,
        movflags="+faststart",
        fps_mode="cfr",
        **{"x264-params": gop, "bsf:v": "filter_units=remove_types=6", "map_chapters": -1},
        **PLAIN,
        **bound,
    )


def _gray(stream: Any, options: VideoOptions, bound: Mapping[str, object]) -> Any:
    return _squashed(_ticks(stream, options), bound)


def _ticks(stream: Any, options: VideoOptions) -> Any:
    return stream.filter("fps", fps=options.hash_fps, **_SHOWN_THEN)


def _squashed(stream: Any, bound: Mapping[str, object]) -> Any:
    return (
        stream.filter("scale", GRAY_EDGE, GRAY_EDGE, flags="area" + _EXACT)
        .filter("format", "gray")
        .output("pipe:1", format="rawvideo", fps_mode="cfr", **bound)
    )


def _packet_hash(stream: Any, bound: Mapping[str, object]) -> Any:
    """The hash of the coded packets; their times, which may be nonsense, do not count."""
    setts = {"bsf:v": "setts=ts=N"}
    return stream.output(
        f"file:{PACKET_HASH}", format="streamhash", hash="sha256", vcodec="copy", **setts, **bound
    )


def _frame_times(stream: Any, bound: Mapping[str, object]) -> Any:
    """When each decoded frame is shown, as the decoder says: nothing is encoded or written."""
    return stream.output(
        "-",
        format="null",
        fps_mode="passthrough",
        enc_time_base="demux",
        stats_enc_pre=FRAME_TIMES,
        stats_enc_pre_fmt="{pts} {tb}",
        # Only the muxer minds two frames of the same time; the table has them as they are.
        **{"bsf:v": "setts=ts=N"},
        **bound,
    )
