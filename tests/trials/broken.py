"""Files that are no video, were one once, or hide what they do not say."""

import base64
import gzip
import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator
from functools import partial

from formats.tables import Reason
from tests.trials.containers import box, boxes, chunk, edited, patched, riff_list
from tests.trials.media_case import DAMAGED, MOVING, NOT_VIDEO, WHOLE, Case, Maker, Stored, Wanted

_FEW, _SHORT = Reason.TOO_FEW_FRAMES, Reason.TOO_SHORT
_STBL = "moov/trak/mdia/minf/stbl"
_SECONDS = struct.Struct(">I")


def broken(make: Maker) -> Iterator[Case]:
    """What went wrong on the way, or was never right."""
    yield from _other_kinds(make)
    yield from _stills(make)
    yield from _cuts(make)
    yield from _spoilt(make)
    yield from _half_boxes(make)
    yield from _lies(make)
    yield from _references(make)


def _other_kinds(make: Maker) -> Iterator[Case]:
    yield Case("brk_empty.mp4", b"", Reason.EMPTY)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fast.mp4", make.fast)
    rng = random.Random(4)
    kinds = {
        "one_byte": b"\0",
        "zeros": bytes(50_000),
        "noise": rng.randbytes(50_000),
        "page": b"<!doctype html><html><body>404 Not Found</body></html>" * 40,
        "json": json.dumps({"error": "login required"}).encode(),
        "text": b"Too many requests\n",
        "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog>>endobj\n%%EOF\n" * 20,
        "zip": packed.getvalue(),
        "gzip": gzip.compress(make.fast, mtime=0),
        "base64": base64.encodebytes(make.fast),
        "program": b"\x7fELF\2\1\1" + bytes(5_000),
        "ansi": b"\x1b[31mHello\x1b[0m\n" * 500,
        "subtitles": b"1\n00:00:00,000 --> 00:00:03,000\nHello\n\n" * 40,
        "ftyp_alone": box("ftyp", b"isom", bytes(4), b"isom"),
    }
    for name, content in kinds.items():
        yield Case(f"brk_{name}.mp4", content, DAMAGED if "ftyp" in name else NOT_VIDEO)


def _stills(make: Maker) -> Iterator[Case]:
    """Pictures and sound that pass for video."""
    picture = "testsrc2=s=320x240:d=1:r=1"
    cover = make.encoded(".jpg", picture, "-frames:v", 1)
    sound = ("-f", "lavfi", "-i", "sine=d=3")
    for suffix in (".jpg", ".png", ".webp", ".bmp", ".tiff"):
        content = make.encoded(suffix, picture, "-frames:v", 1)
        yield Case(f"still_{suffix[1:]}.mp4", content, NOT_VIDEO)
    yield Case("still_avif.mp4", make.encoded(".avif", picture, "-frames:v", 1), _FEW)
    mapped = ("-map", 1, "-map", 0, "-c:v", "mjpeg", "-disposition:v", "attached_pic")
    for suffix, extra in ((".mp3", ("-id3v2_version", 3)), (".m4a", ()), (".mka", ())):
        content = make.remade(suffix, cover, *sound, *mapped, *extra)
        yield Case(f"still_cover{suffix}.mp4", content, _FEW if suffix == ".mka" else NOT_VIDEO)
    yield Case("still_sound.mp4", make.encoded(".m4a", "sine=d=3"), NOT_VIDEO)
    yield Case("still_wave.mp4", make.encoded(".wav", "sine=d=3"), NOT_VIDEO)
    looped = make.encoded(".mp4", "color=black:s=128x96:r=25:d=3")
    yield Case("still_black.mp4", looped, WHOLE)


def _cuts(make: Maker) -> Iterator[Case]:
    """The connection ended early, and nobody noticed."""
    whole = {"fast": make.fast, "webm": make.webm, "mkv": make.matroska, "avi": make.avi}
    whole |= {"late": make.late, "fragments": make.fragments}
    for kind, content in whole.items():
        for share in (1, 30, 50, 90):
            end = len(content) * share // 100
            wanted: Wanted = (DAMAGED, NOT_VIDEO) if share == 1 else DAMAGED
            yield Case(f"cut_{kind}_{share}.mp4", content[:end], wanted)
    for kind in ("fast", "webm"):
        yield Case(f"cut_{kind}_tail.mp4", whole[kind][len(whole[kind]) // 2 :], NOT_VIDEO)
    for lost in ("mdat", "moov"):
        rest = b"".join(box(k, p) for k, p in boxes(make.late) if k != lost)
        yield Case(f"cut_no_{lost}.mp4", rest, DAMAGED)
    # Nothing in a transport stream says where it ends: what is there is all there is.
    half = make.stream[: len(make.stream) // 188 // 2 * 188]
    yield Case("cut_stream_50.ts", half, (DAMAGED, Stored(128, 96, 38, give=6)))


def _spoilt(make: Maker) -> Iterator[Case]:
    for kind, content in (("fast", make.fast), ("webm", make.webm), ("avi", make.avi)):
        for size in (4096, 512):
            yield Case(f"hole_{kind}_{size}.mp4", _hole(content, size), DAMAGED)
    for kind, content in (("fast", make.fast), ("webm", make.webm), ("mkv", make.matroska)):
        yield Case(f"flips_{kind}.mp4", _flipped(content), DAMAGED)
    half = len(make.fast) // 2
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n"
    glued: dict[str, tuple[bytes, Wanted]] = {
        "half_then_whole": (make.fast[:half] + make.fast, DAMAGED),
        "doubled_half": (make.fast[:half] * 2, DAMAGED),
        "swapped": (make.fast[half:] + make.fast[:half], NOT_VIDEO),
        "newlines": (make.fast.replace(b"\n", b"\r\n"), DAMAGED),
        "as_text": (make.fast.decode("latin-1").encode(), DAMAGED),
        "inverted": (bytes(255 - byte for byte in make.fast), NOT_VIDEO),
        "answer": (answer + make.fast, NOT_VIDEO),
        "page_after": (make.fast + b"<html></html>" * 100, WHOLE),
        "twice": (make.fast * 2, WHOLE),
    }
    for name, (content, wanted) in glued.items():
        yield Case(f"glued_{name}.mp4", content, wanted)


def _hole(content: bytes, size: int) -> bytes:
    middle = len(content) * 6 // 10
    return content[:middle] + bytes(size) + content[middle + size :]


def _flipped(content: bytes) -> bytes:
    rng, spoilt = random.Random(len(content)), bytearray(content)
    for _ in range(len(content) * 8 // 2000):
        spoilt[rng.randrange(4_000, len(spoilt))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


def _half_boxes(make: Maker) -> Iterator[Case]:
    boxes_of = dict(boxes(make.late))
    endless = struct.pack(">I4s", 0, b"mdat") + boxes_of["mdat"]
    index = box("moov", boxes_of["moov"])
    huge = struct.pack(">I4sQ", 1, b"mdat", 1 << 62) + boxes_of["mdat"]
    kind = box("ftyp", boxes_of["ftyp"])
    cases: dict[str, tuple[bytes, Wanted]] = {
        "size_0": (kind + endless + index, DAMAGED),
        "size_huge": (kind + huge + index, DAMAGED),
        "size_4": (kind + struct.pack(">I4s", 4, b"free") + index, DAMAGED),
        "no_tracks": (edited(make.late, "moov", lambda _: b""), NOT_VIDEO),
        "no_codec": (patched(make.late, f"{_STBL}/stsd", 12, bytes(4)), DAMAGED),
        "no_sizes": (edited(make.late, f"{_STBL}/stsz", lambda _: bytes(12)), DAMAGED),
        "says_text": (patched(make.late, "moov/trak/mdia/hdlr", 8, b"text"), (WHOLE, NOT_VIDEO)),
        "encrypted": (make.encoded(".mp4", MOVING, *_ENCRYPTED), DAMAGED),
    }
    for name, (content, wanted) in cases.items():
        yield Case(f"box_{name}.mp4", content, wanted)


_ENCRYPTED = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "01" * 16)
_ENCRYPTED += ("-encryption_kid", "02" * 16)


def _lies(make: Maker) -> Iterator[Case]:
    """Lengths and clocks that are not so. What is claimed but not there is damage."""
    late, media = make.late, "moov/trak/mdia/mdhd"
    (length,) = _SECONDS.unpack_from(dict(boxes(dict(boxes(late))["moov"]))["mvhd"], 16)

    def claiming(ticks: int) -> bytes:
        content = patched(late, "moov/mvhd", 16, _SECONDS.pack(ticks))
        content = patched(content, "moov/trak/tkhd", 20, _SECONDS.pack(ticks))
        return patched(content, media, 16, _SECONDS.pack(ticks * 12_800 * 3 // length % 2**32))

    yield Case("lie_half_as_long.mp4", claiming(length // 2), WHOLE)
    yield Case("lie_half_as_long_again.mp4", claiming(length * 3 // 2), WHOLE)
    # The index of an MP4 knows better than its header; Matroska has nothing but the header.
    at = make.matroska.index(b"\x44\x89\x88") + 3
    doubled = struct.pack(">d", 2 * struct.unpack_from(">d", make.matroska, at)[0])
    mkv = make.matroska[:at] + doubled + make.matroska[at + 8 :]
    yield Case("lie_twice_as_long.mkv", mkv, DAMAGED)
    yield Case("lie_24_days.mp4", claiming(0x7FFF_FFFF), WHOLE)
    yield Case("lie_zero_length.mp4", claiming(0), WHOLE)
    yield Case("lie_no_clock.mp4", patched(late, media, 12, bytes(4)), DAMAGED)
    yield Case(
        "lie_fast_clock.mp4", patched(late, media, 12, b"\x7f\xff\xff\xff"), (_SHORT, DAMAGED)
    )
    yield Case("lie_slow_clock.mp4", patched(late, media, 12, _SECONDS.pack(1)), _FEW)
    equal = struct.pack(">IIII", 0, 1, 75, 0)
    still = edited(late, f"{_STBL}/stts", lambda _: equal)
    yield Case("lie_all_at_once.mp4", still, _SHORT)


def _references(make: Maker) -> Iterator[Case]:
    """Video files that name other files, as their formats allow."""
    data = "moov/trak/mdia/minf/dinf/dref"
    for name, path in (("far", make.places["far"]), ("passwd", "/etc/passwd")):
        alias = edited(make.late, data, partial(_instead, _alias(path.encode())))
        yield Case(f"ref_alias_{name}.mov", alias, DAMAGED)
    target = f"http://127.0.0.1:{make.places['port']}/v.mov\0".encode()
    link = struct.pack(">II", 0, 1) + box("url ", bytes(4), target)
    yield Case("ref_url.mov", edited(make.late, data, lambda _: link), WHOLE)
    pointer = box("rdrf", bytes(4), b"url ", struct.pack(">I", len(target)), target)
    movie = box("moov", box("rmra", box("rmda", pointer)))
    yield Case("ref_movie.mov", box("ftyp", b"qt  ", bytes(4)) + movie, NOT_VIDEO)
    yield Case("ref_gab2.avi", _gab2(), (DAMAGED, Stored(64, 64, 30)))


def _instead(payload: bytes, _: bytes) -> bytes:
    return payload


def _alias(path: bytes) -> bytes:
    """A data reference to a file of this disk, as QuickTime writes it."""
    record = bytes(10) + b"\1/" + bytes(26) + bytes(12) + b"\1x" + bytes(62) + bytes(16)
    record += struct.pack(">HH", 1, 1) + bytes(16)
    record += struct.pack(">HH", 2, len(path)) + path + bytes(len(path) % 2) + b"\xff\xff\0\0"
    return struct.pack(">II", 0, 1) + box("alis", bytes(4), record)


def _gab2() -> bytes:
    """An AVI whose subtitles are an HLS playlist of /etc/passwd (as attacks of 2017 had it)."""
    playlist = b"#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:0\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    subtitles = b"GAB2\0\2\0" + struct.pack("<I", 0) + b"\4\0" + struct.pack("<I", len(playlist))
    subtitles += playlist
    main = struct.pack("<14I", 100_000, 0, 0, 0x10, 30, 0, 2, 0, 64, 64, 0, 0, 0, 0)
    clock = struct.pack("<IHHIIIIIIiI4H", 0, 0, 0, 0, 1, 10, 0, 30, 0, -1, 0, 0, 0, 64, 64)
    picture = struct.pack("<IiiHHIIiiII", 40, 64, 64, 1, 24, 0, 64 * 64 * 3, 0, 0, 0, 0)
    video = riff_list(b"strl", chunk(b"strh", b"vidsDIB " + clock), chunk(b"strf", picture))
    words = riff_list(b"strl", chunk(b"strh", b"txts" + bytes(4) + clock), chunk(b"strf", b""))
    frames = [chunk(b"00db", bytes([8 * n, 200, 255 - 8 * n]) * 64 * 64) for n in range(30)]
    movie = riff_list(b"movi", chunk(b"01tx", subtitles), *frames)
    return chunk(b"RIFF", b"AVI " + riff_list(b"hdrl", chunk(b"avih", main), video, words) + movie)
