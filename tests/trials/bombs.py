"""Small files that cost much: pixels, pictures, index entries, streams, depth, time, memory."""

import struct
import zlib
from collections.abc import Iterator
from functools import partial

from formats.tables import Reason
from tests.trials.containers import box, boxes, edited, element, gif, patched
from tests.trials.media_case import DAMAGED, NOT_VIDEO, WHOLE, Case, Maker, Stored, Wanted

_PIXELS, _MEMORY, _SLOW = (
    Reason.TOO_MANY_PIXELS,
    Reason.DECODER_MEMORY,
    Reason.DECODER_TIMEOUT,
)
_FEW, _SHORT, _LONG = Reason.TOO_FEW_FRAMES, Reason.TOO_SHORT, Reason.TOO_LONG
_STBL = "moov/trak/mdia/minf/stbl"
_MANY = 80_000_000


def bombs(make: Maker) -> Iterator[Case]:
    """Every bomb is refused, or stored for what it truly shows."""
    yield from _pictures(make)
    yield from _indexes(make.late)
    yield from _structures(make)
    yield from _times(make)


def _pictures(make: Maker) -> Iterator[Case]:
    yield Case("bomb_gif_16000.mp4", gif(16_000, 1), _PIXELS)
    yield Case("bomb_gif_4000_x_20000.mp4", gif(4_000, 20_000), _PIXELS)
    yield Case("bomb_gif_2800_x_20000.mp4", gif(2_800, 20_000), (_LONG, _SLOW, _MEMORY))
    yield Case("bomb_gif_delays.mp4", gif(64, 100, 65_535), (_FEW, _LONG))
    yield Case("bomb_png_900_megapixels.mp4", _png(30_000), (_PIXELS, NOT_VIDEO))
    tall = make.encoded(".webm", "color=s=8192x8192:r=5:d=1", "-c:v", "libvpx-vp9", *_QUICK)
    yield Case("bomb_vp9_8192.webm", tall, _PIXELS)
    big = make.encoded(".mp4", "color=s=7680x4320:r=5:d=1", "-c:v", "libx265", *_QUIET)
    yield Case("bomb_hevc_8k.mp4", big, _PIXELS)
    # The containers say 65,000 pixels a side, or the decoder's own header does.
    lying = patched(make.late, f"{_STBL}/stsd", 8 + 8 + 24, struct.pack(">HH", 65_000, 65_000))
    yield Case("bomb_mp4_says_65000.mp4", lying, _PIXELS)
    jpeg = make.encoded(".avi", "testsrc2=s=64x64:r=10:d=2", "-c:v", "mjpeg")
    sizes = jpeg.replace(b"\xff\xc0\0\x11\x08\0\x40\0\x40", b"\xff\xc0\0\x11\x08\xff\xdc\xff\xdc")
    assert sizes != jpeg
    yield Case("bomb_mjpeg_65500.avi", sizes, _PIXELS)


_QUICK = ("-deadline", "realtime", "-cpu-used", 8)
_QUIET = ("-preset", "ultrafast", "-x265-params", "log-level=none:pools=none")


def _png(side: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(side * (side // 8 + 1)), 9))
    return b"\x89PNG\r\n\x1a\n" + header + rows + chunk(b"IEND", b"")


def _indexes(late: bytes) -> Iterator[Case]:
    """Tables of an MP4 index that claim far more than the file holds."""
    tables = {
        "stsz": struct.pack(">III", 0, 1, _MANY),
        "stts": struct.pack(">IIII", 0, 1, _MANY, 512),
        "stsc": struct.pack(">IIIII", 0, 1, 1, _MANY, 1),
    }
    for names in (("stsz",), ("stts",), ("stsz", "stts"), ("stsz", "stts", "stsc")):
        content, wanted = late, WHOLE if names == ("stts",) else DAMAGED
        for name in names:
            content = edited(content, f"{_STBL}/{name}", partial(_give, tables[name]))
        yield Case(f"bomb_index_{'_'.join(names)}.mp4", content, wanted)
    # A count with nothing behind it, for each table that has one.
    for name in ("stts", "stsc", "stco", "stss", "ctts"):
        content = patched(late, f"{_STBL}/{name}", 4, struct.pack(">I", 0xFFFF_FFFF))
        yield Case(f"bomb_count_{name}.mp4", content, (WHOLE, NOT_VIDEO, DAMAGED, _MEMORY))
    edits = struct.pack(">II", 0, 1_000_000) + struct.pack(">IiI", 3000, 0, 1 << 16) * 1_000_000
    yield Case(
        "bomb_edits.mp4",
        edited(late, "moov/trak/edts/elst", partial(_give, edits)),
        (DAMAGED, _SLOW),
    )


def _give(table: bytes, _: bytes) -> bytes:
    return table


def _structures(make: Maker) -> Iterator[Case]:
    late = make.late
    track = next(p for k, p in boxes(dict(boxes(late))["moov"]) if k == "trak")
    many = edited(late, "moov", lambda index: index + box("trak", track) * 6_000)
    yield Case("bomb_6000_tracks.mp4", many, DAMAGED)
    yield Case("bomb_nested_moov.mp4", _nested(4_000), NOT_VIDEO)
    packed = zlib.compress(bytes(200 << 20), 9)
    sizes = box("dcom", b"zlib") + box("cmvd", struct.pack(">I", 200 << 20), packed)
    zipped = box("ftyp", b"qt  ", bytes(4)) + box("moov", box("cmov", sizes))
    yield Case("bomb_zipped_index.mov", zipped, (NOT_VIDEO, DAMAGED, _MEMORY))
    text = edited(late, "moov", lambda index: index + box("udta", box("\xa9cmt", bytes(9 << 20))))
    yield Case("bomb_9_mb_of_comment.mp4", text, WHOLE)
    yield Case("bomb_matroska_zlib.mkv", _zipped_matroska(), (DAMAGED, _FEW, _MEMORY))
    deep: bytes = b""
    for _ in range(2_000):
        deep = element(0x1654AE6B, deep)
    yield Case("bomb_matroska_depth.mkv", _EBML + element(0x18538067, deep), (NOT_VIDEO, DAMAGED))
    empty = element(0x1F43B675, element(0xE7, b"\0")) * 100_000
    yield Case("bomb_empty_clusters.mkv", _matroska(empty), (DAMAGED, _FEW, NOT_VIDEO))
    cues = element(0x1C53BB6B, element(0xBB, element(0xB3, b"\1")) * 200_000)
    yield Case("bomb_cues.mkv", _matroska(cues), (DAMAGED, _FEW, NOT_VIDEO))


def _nested(depth: int) -> bytes:
    inner = b""
    for _ in range(depth):
        inner = box("moov", inner)
    return box("ftyp", b"isom", bytes(4)) + inner


_EBML = element(0x1A45DFA3, element(0x4282, b"matroska"), element(0x4287, b"\4"))


def _matroska(after: bytes, *encodings: bytes) -> bytes:
    """A Matroska file of one VP8 track and whatever follows it."""
    size = element(0xE0, element(0xB0, b"\x80"), element(0xBA, b"\x60"))
    kinds = (element(0xD7, b"\1"), element(0x73C5, b"\1"), element(0x83, b"\1"))
    track = element(0xAE, *kinds, element(0x86, b"V_VP8"), size, *encodings)
    return _EBML + element(0x18538067, element(0x1654AE6B, track), after)


def _zipped_matroska() -> bytes:
    """Blocks of a megabyte, each a gibibyte once it is unpacked."""
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(1024)) + packer.flush()
    encoding = element(0x6240, element(0x5034, element(0x4254, b"\0")))
    block = element(0xA3, b"\x81\0\0\x80", packed)
    cluster = element(0x1F43B675, element(0xE7, b"\0"), block * 4)
    return _matroska(cluster, element(0x6D80, encoding))


def _times(make: Maker) -> Iterator[Case]:
    apart: dict[str, tuple[str, int, Wanted]] = {
        "hour": ("N*3600", 2, _FEW),
        "hour_in_the_middle": ("N+if(gt(N,4),3600,0)", 10, (_LONG, DAMAGED)),
        "days": ("N*86400", 30, _FEW),
    }
    for name, (second, frames, wanted) in apart.items():
        graph = f"testsrc2=s=64x64:r=1:d={frames},setpts='({second})/TB'"
        content = make.encoded(".mkv", graph, "-fps_mode", "passthrough", "-c:v", "ffv1")
        yield Case(f"time_apart_{name}.mkv", content, wanted)
    rates: dict[str, tuple[str, Wanted]] = {
        "million_fps": ("testsrc2=s=64x64:r=1000000:d=0.0001", (_SHORT, DAMAGED)),
        "thousand_fps": ("testsrc2=s=64x64:r=1000:d=2", Stored(64, 64, 60)),
        "70_s": ("color=s=64x64:r=5:d=70", _LONG),
        "two_hours": ("color=s=64x64:r=2:d=7200", _LONG),
        "half_a_second": ("testsrc2=s=64x64:r=25:d=0.5", _SHORT),
        "one_frame": ("testsrc2=s=64x64:r=1:d=1", _FEW),
    }
    for name, (graph, wanted) in rates.items():
        content = make.encoded(".mp4", graph, "-preset", "ultrafast")
        yield Case(f"time_{name}.mp4", content, wanted)
