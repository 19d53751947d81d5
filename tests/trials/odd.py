"""Videos that are unusual and in order: every one is stored, with the right facts."""

from collections.abc import Iterator

from formats.tables import Reason
from tests.trials.media_case import MOVING, WHOLE, Case, Maker, Stored, Wanted

_SMALL = "testsrc2=s=64x64:r=25:d=2"
_QUIET = ("-x265-params", "log-level=none:pools=none")
# Suffix, arguments: other codecs and containers.
_CODECS: dict[str, tuple[str, tuple[object, ...]]] = {
    "av1": (".mp4", ("-c:v", "libaom-av1", "-cpu-used", 8, "-b:v", "1M")),
    "vp9": (".webm", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8)),
    "vp9_in_mp4": (".mp4", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", 8)),
    "vp8": (".webm", ("-c:v", "libvpx", "-b:v", "1M")),
    "vp9_alpha": (".webm", ("-c:v", "libvpx-vp9", "-cpu-used", 8, "-pix_fmt", "yuva420p")),
    "hevc": (".mp4", ("-c:v", "libx265", "-tag:v", "hvc1", *_QUIET)),
    "prores": (".mov", ("-c:v", "prores_ks")),
    "prores_4444": (".mov", ("-c:v", "prores_ks", "-pix_fmt", "yuva444p10le")),
    "mpeg2": (".ts", ("-c:v", "mpeg2video")),
    "mpeg2_ps": (".mpg", ("-c:v", "mpeg2video")),
    "mpeg1": (".mpg", ("-c:v", "mpeg1video")),
    "mpeg4": (".avi", ("-c:v", "mpeg4")),
    "xvid": (".avi", ("-c:v", "libxvid")),
    "theora": (".ogv", ("-c:v", "libtheora", "-q:v", 7)),
    "flv1": (".flv", ("-c:v", "flv1")),
    "h264_flv": (".flv", ("-c:v", "libx264")),
    "wmv2": (".wmv", ("-c:v", "wmv2")),
    "mjpeg": (".avi", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
    "ffv1": (".mkv", ("-c:v", "ffv1")),
    "huffyuv": (".avi", ("-c:v", "huffyuv", "-pix_fmt", "yuv422p")),
    "qtrle": (".mov", ("-c:v", "qtrle")),
    "cinepak": (".mov", ("-c:v", "cinepak")),
    "raw": (".avi", ("-c:v", "rawvideo", "-pix_fmt", "yuv420p")),
    "h264_in_avi": (".avi", ("-c:v", "libx264", "-bf", 0)),
    "b_pyramid": (".mkv", ("-c:v", "libx264", "-bf", 8, "-x264-params", "b-pyramid=normal")),
    "open_gop": (".mp4", ("-c:v", "libx264", "-x264-params", "open-gop=1:keyint=10:bframes=3")),
    "lossless": (".mp4", ("-c:v", "libx264", "-qp", 0)),
    "baseline": (".3gp", ("-c:v", "libx264", "-profile:v", "baseline", "-pix_fmt", "yuv420p")),
    "yuv444": (".mp4", ("-c:v", "libx264", "-pix_fmt", "yuv444p")),
    "yuv422": (".mp4", ("-c:v", "libx264", "-pix_fmt", "yuv422p")),
    "ten_bit": (".mp4", ("-c:v", "libx264", "-pix_fmt", "yuv420p10le")),
    "gray": (".mp4", ("-c:v", "libx264", "-pix_fmt", "gray")),
    "rgb": (".mkv", ("-c:v", "libx264rgb")),
    "hdr": (
        ".mp4",
        (
            *("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-color_trc", "smpte2084"),
            *("-color_primaries", "bt2020", "-colorspace", "bt2020nc", *_QUIET),
        ),
    ),
    "interlaced": (".mp4", ("-c:v", "libx264", "-flags", "+ilme+ildct", "-vf", "setfield=tff")),
    "slow_clock": (".mp4", ("-video_track_timescale", 25)),
    "quick_clock": (".mp4", ("-video_track_timescale", 2_000_000)),
    "fragments": (".mp4", ("-movflags", "+frag_keyframe+empty_moov", "-g", 10)),
    "one_fragment_a_frame": (".mp4", ("-movflags", "+frag_every_frame+empty_moov")),
    "live_webm": (".webm", ("-c:v", "libvpx", "-b:v", "1M", "-live", 1)),
}
# Graph, arguments, facts: other sizes, rates, shapes.
_FORMS: dict[str, tuple[str, tuple[object, ...], Wanted]] = {
    "odd_sides": ("testsrc2=s=129x97:r=25:d=2", ("-pix_fmt", "yuv444p"), Stored(128, 96, 50)),
    "tiny": ("testsrc2=s=16x16:r=25:d=2", (), Stored(16, 16, 50)),
    "two_by_two": ("testsrc2=s=2x2:r=25:d=2", (), Stored(2, 2, 50)),
    "wide": ("testsrc2=s=2048x32:r=25:d=2", (), Stored(2048, 32, 50)),
    "tall": ("testsrc2=s=32x2048:r=25:d=2", (), Stored(32, 2048, 50)),
    "full_hd": ("testsrc2=s=1920x1080:r=10:d=2", ("-preset", "ultrafast"), Stored(228, 128, 20)),
    "uhd": ("color=s=3840x2160:r=4:d=2", ("-preset", "ultrafast"), Stored(228, 128, 8)),
    "just_too_big": (
        "color=s=3840x2176:r=4:d=2",
        ("-preset", "ultrafast"),
        Reason.TOO_MANY_PIXELS,
    ),
    "portrait": ("testsrc2=s=180x320:r=25:d=2", (), Stored(128, 228, 50)),
    "wide_pixels": ("testsrc2=s=64x64:r=25:d=2,setsar=2", (), Stored(64, 32, 50)),
    "one_fps": ("testsrc2=s=64x64:r=1:d=5", (), Stored(64, 64, 5)),
    "half_fps": ("testsrc2=s=64x64:r=1/2:d=10", (), Stored(64, 64, 10)),
    "ntsc": ("testsrc2=s=64x64:r=30000/1001:d=2", (), Stored(64, 64, 60)),
    "sixty_fps": ("testsrc2=s=64x64:r=60:d=2", (), Stored(64, 64, 60)),
    "a_minute": ("testsrc2=s=64x64:r=10:d=60", (), Stored(64, 64, 600)),
}


def odd(make: Maker) -> Iterator[Case]:
    """Everything a catalog of the web holds and a careless reader stumbles over."""
    for name, (suffix, args) in _CODECS.items():
        content = make.encoded(suffix, _SMALL, *args)
        yield Case(f"odd_{name}{suffix}", content, Stored(64, 64, 50))
    for name, (graph, args, wanted) in _FORMS.items():
        yield Case(f"odd_{name}.mp4", make.encoded(".mp4", graph, *args), wanted)
    yield Case("odd_animation.gif", make.encoded(".gif", "testsrc2=s=64x64:r=10:d=2"), _TWENTY)
    yield from _turned(make)
    yield from _timed(make)
    yield from _laden(make)
    for name in _NAMES:
        yield Case(name, make.fast, WHOLE)


_TWENTY = Stored(64, 64, 20)
# Names of files that are options, patterns, streams or commands to a careless program.
_NAMES = (
    "-i %03d.mp4",
    "name_%d%s%n.mp4",
    "name with 'quotes' and \"more\".mp4",
    "name_$(touch owned)`id`;&|.mp4",
    "name_\u202egnp.mp4",
    "name_\U0001f3ac_\u00e9.mp4",
    "name_[v]?*\\.mp4",
    "..name.mp4",
)


def _turned(make: Maker) -> Iterator[Case]:
    wide = make.encoded(".mp4", "testsrc2=s=160x96:r=25:d=2")
    for degrees, size in ((90, (96, 160)), (180, (160, 96)), (270, (96, 160))):
        before = ("-display_rotation", degrees)
        content = make.remade(".mp4", wide, "-c", "copy", before=before)
        yield Case(f"odd_turned_{degrees}.mp4", content, Stored(*size, 50))


def _timed(make: Maker) -> Iterator[Case]:
    """Time stamps that do not start at zero or come evenly."""
    gaps = f"{_SMALL},select='not(between(n,10,29))'"
    uneven = make.encoded(".mkv", gaps, "-fps_mode", "vfr", "-c:v", "ffv1")
    yield Case("odd_uneven.mkv", uneven, Stored(64, 64, 50))
    moved = {
        "late": (".mkv", ("-itsoffset", 5), ()),
        "late_stream": (".ts", ("-itsoffset", 5), ()),
        "negative_stream": (".ts", ("-itsoffset", -1), ("-copyts",)),
        "wrapping_clock": (".ts", ("-itsoffset", 95443 - 1), ("-copyts", "-muxdelay", 0)),
    }
    for name, (suffix, before, args) in moved.items():
        content = make.remade(suffix, make.late, "-c", "copy", *args, before=before)
        yield Case(f"odd_{name}{suffix}", content, WHOLE)
    # What lies before zero is not shown.
    before_zero = ("-avoid_negative_ts", "disabled", "-c", "copy")
    hidden = make.remade(".mp4", make.late, *before_zero, before=("-itsoffset", -1))
    yield Case("odd_negative.mp4", hidden, Stored(128, 96, 50))
    trimmed = make.remade(".mp4", make.late, "-c", "copy", before=("-ss", 0.6))
    yield Case("odd_edit_list.mp4", trimmed, Stored(128, 96, 60))
    parts = [make.encoded(".ts", f"testsrc2=s={s}:r=25:d=1", *_TS) for s in ("64x64", "96x64")]
    yield Case("odd_new_size.ts", b"".join(parts), Stored(64, 64, 50, give=2))


_TS = ("-c:v", "mpeg2video")


def _laden(make: Maker) -> Iterator[Case]:
    """Files with more in them than one picture."""
    sound = ("-f", "lavfi", "-i", "sine=d=3", "-map", 0, "-map", 1)
    for suffix in (".mp4", ".mkv", ".mov", ".ts"):
        content = make.remade(suffix, make.late, *sound, "-c:v", "copy", "-c:a", "aac")
        yield Case(f"odd_sound{suffix}", content, WHOLE)
    two = make.encoded(".mkv", MOVING, "-f", "lavfi", "-i", _SMALL, "-map", 0, "-map", 1)
    yield Case("odd_two_pictures.mkv", two, WHOLE)
    (make.folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:03,000\nHello\n")
    words = ("-i", make.folder / "words.srt", "-map", 0, "-map", 1, "-c:v", "copy")
    attached = ("-attach", __file__, "-metadata:s:t", "mimetype=application/x-truetype-font")
    content = make.remade(".mkv", make.late, *words, *attached)
    yield Case("odd_words_and_fonts.mkv", content, WHOLE)
    titles = ("-metadata", "title=../../../etc/passwd", "-metadata", "comment=\u202e\n<script>")
    yield Case("odd_titles.mp4", make.remade(".mp4", make.late, "-c", "copy", *titles), WHOLE)
