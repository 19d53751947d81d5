"""Small good videos of many containers, spoilt in seeded ways that a format knows and does not."""

import random
import struct
from collections.abc import Callable

from tests.trials.containers import box, boxes
from tests.trials.media_case import Maker

_GRAPH = "testsrc2=s=64x48:r=25:d=1.2"
_ENCODED: dict[str, tuple[object, ...]] = {
    ".webm": ("-c:v", "libvpx", "-b:v", "300k"),
    ".mkv": ("-c:v", "libx264"),
    ".avi": ("-c:v", "mpeg4"),
    ".ts": ("-c:v", "libx264"),
    ".flv": ("-c:v", "flv1"),
    ".ogv": ("-c:v", "libtheora"),
    ".wmv": ("-c:v", "wmv2"),
    ".mpg": ("-c:v", "mpeg2video"),
    ".gif": ("-r", 10),
}
_HEAD = 1500
"""Bytes at either end where most of what a container says is."""
_INNER = {"moov", "trak", "mdia", "minf", "stbl", "moof", "traf", "edts", "dinf"}
Spoil = Callable[[bytes, random.Random], bytes]


def small_videos(make: Maker) -> dict[str, bytes]:
    """A good video by its container."""
    fragments = ("-movflags", "+frag_keyframe+empty_moov", "-g", 10)
    found = {"late.mp4": make.encoded(".mp4", _GRAPH)}
    found["fast.mp4"] = make.encoded(".mp4", _GRAPH, "-movflags", "+faststart")
    found["fragments.mp4"] = make.encoded(".mp4", _GRAPH, *fragments)
    return found | {
        f"x{kind}": make.encoded(kind, _GRAPH, *args) for kind, args in _ENCODED.items()
    }


def mutated(videos: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """(what was done, a spoilt video), the same for the same number."""
    rng = random.Random(number)
    name = rng.choice(sorted(videos))
    content = videos[name]
    named = {**_ANY, **_BOXES} if name.endswith(".mp4") else _ANY
    done = rng.choice(sorted(named))
    return f"{number}-{done}-{name}", named[done](content, rng)


def _place(content: bytes, rng: random.Random) -> int:
    """Anywhere, but in the head or the tail three times out of four."""
    spot = rng.randrange(len(content))
    side = rng.randrange(4)
    if side == 3:
        return spot
    near = rng.randrange(min(_HEAD, len(content)))
    return near if side < 2 else len(content) - 1 - near


def _put(content: bytes, place: int, value: bytes) -> bytes:
    return content[:place] + value + content[place + len(value) :]


def _bits(content: bytes, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = _place(content, rng)
        content = _put(content, place, bytes([content[place] ^ 1 << rng.randrange(8)]))
    return content


def _byte(content: bytes, rng: random.Random) -> bytes:
    return _put(content, _place(content, rng), rng.choice((b"\0", b"\xff", rng.randbytes(1))))


def _number(content: bytes, rng: random.Random) -> bytes:
    value = rng.choice((0, 1, 2, 7, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, rng.getrandbits(32)))
    return _put(content, _place(content, rng), struct.pack(rng.choice((">I", "<I")), value))


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: _place(content, rng)]


def _lose(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return content[:place] + content[place + rng.choice((1, 4, 100, 2000)) :]


def _repeat(content: bytes, rng: random.Random) -> bytes:
    place, size = _place(content, rng), rng.choice((1, 8, 500))
    return content[: place + size] + content[place:]


def _zero(content: bytes, rng: random.Random) -> bytes:
    return _put(content, _place(content, rng), bytes(rng.choice((4, 64, 1024))))


def _noise(content: bytes, rng: random.Random) -> bytes:
    return _put(content, _place(content, rng), rng.randbytes(rng.choice((4, 64))))


_ANY: dict[str, Spoil] = {
    "bits": _bits,
    "byte": _byte,
    "number": _number,
    "cut": _cut,
    "lose": _lose,
    "repeat": _repeat,
    "zero": _zero,
    "noise": _noise,
}


def _in_a_box(change: Callable[[list[bytes], random.Random], None]) -> Spoil:
    """Change the list of boxes of one level, which is chosen by going down at random."""

    def spoil(content: bytes, rng: random.Random) -> bytes:
        inner = list(boxes(content))
        deeper = [at for at, (kind, _) in enumerate(inner) if kind in _INNER]
        pieces = [box(kind, payload) for kind, payload in inner]
        if deeper and rng.random() < 0.85:
            at = rng.choice(deeper)
            pieces[at] = box(inner[at][0], spoil(inner[at][1], rng))
        else:
            change(pieces, rng)
        return b"".join(pieces)

    return spoil


def _double(pieces: list[bytes], rng: random.Random) -> None:
    pieces.insert(rng.randrange(len(pieces)), rng.choice(pieces))


def _drop(pieces: list[bytes], rng: random.Random) -> None:
    pieces.pop(rng.randrange(len(pieces)))


def _shuffle(pieces: list[bytes], rng: random.Random) -> None:
    rng.shuffle(pieces)


def _splice(pieces: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(pieces))
    pieces[at] = pieces[at][:8] + rng.choice(pieces) + pieces[at][8:]


def _size(pieces: list[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(pieces))
    size = len(pieces[at]) + rng.choice((-len(pieces[at]), -9, -4, -1, 1, 4, 8, 1 << 16, 1 << 31))
    pieces[at] = struct.pack(">I", size % (1 << 32)) + pieces[at][4:]


def _rename(pieces: list[bytes], rng: random.Random) -> None:
    at, other = rng.randrange(len(pieces)), rng.choice(pieces)
    pieces[at] = pieces[at][:4] + other[4:8] + pieces[at][8:]


_BOXES: dict[str, Spoil] = {
    "double": _in_a_box(_double),
    "drop": _in_a_box(_drop),
    "shuffle": _in_a_box(_shuffle),
    "splice": _in_a_box(_splice),
    "size": _in_a_box(_size),
    "rename": _in_a_box(_rename),
}
