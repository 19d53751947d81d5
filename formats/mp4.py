"""Facts of an MP4 file that we wrote ourselves, read off its own index."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_INDEX_BYTES = 16 << 20
_HEADER = struct.Struct(">I4s")
_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})


class Mp4Error(Exception):
    """A file is not an MP4 as we write them: one video track at a constant frame rate."""


@dataclass(frozen=True)
class Mp4Facts:
    """What the index of a stored video says."""

    width: int
    height: int
    frames: int
    duration_s: float
    fps: float


def read_facts(path: str) -> Mp4Facts:
    """Facts of the one video track, without decoding a frame.

    Raises:
        Mp4Error: the file is cut, no MP4, or holds no frame.
    """
    try:
        found = dict(boxes(_index(path), into=_CONTAINERS))
        (timescale,) = struct.unpack_from(">I", found[b"mdhd"], 12)
        (entries,) = struct.unpack_from(">I", found[b"stts"], 4)
        runs = list(struct.iter_unpack(">II", found[b"stts"][8 : 8 + 8 * entries]))
        width, height = struct.unpack_from(">HH", found[b"stsd"], 8 + 8 + 24)
        frames = sum(count for count, _ in runs)
        duration_s = sum(count * ticks for count, ticks in runs) / timescale
        return Mp4Facts(width, height, frames, duration_s, frames / duration_s)
    except (KeyError, struct.error, ZeroDivisionError) as error:
        raise Mp4Error(f"{path}: not a stored video: {error!r}") from error


def boxes(content: bytes, *, into: frozenset[bytes] = frozenset()) -> Iterator[tuple[bytes, bytes]]:
    """(kind, content) of boxes that follow each other, and of those inside of the kinds `into`.

    One that is cut ends there with what there is.
    """
    # Without recursion: a stranger's may lie in each other a million times.
    position, end = 0, len(content)
    around: list[tuple[int, int]] = []
    while True:
        while position + 8 <= end:
            length, kind = _HEADER.unpack_from(content, position)
            if length < 8:
                break
            behind = position + length
            if kind in into:
                around.append((behind, end))
                position, end = position + 8, min(behind, end)
            else:
                yield kind, content[position + 8 : behind if behind < end else end]
                position = behind
        if not around:
            return
        position, end = around.pop()


def _index(path: str) -> bytes:
    """The content of the `moov` box."""
    size = Path(path).stat().st_size
    with open(path, "rb") as file:
        while header := file.read(8):
            length, kind = struct.unpack(">I4s", header)
            start = file.tell()
            if length == 1:
                (length,) = struct.unpack(">Q", file.read(8))
                start += 8
                length -= 8
            if length < 8 or start + length - 8 > size:
                break
            if kind == b"moov" and length <= MAX_INDEX_BYTES:
                return file.read(length - 8)
            file.seek(start + length - 8)
    raise Mp4Error(f"{path}: no whole index")
