"""Where every frame of an MP4 lies, and when it is shown, read off its index alone.

The same packets, in the same order and with the same times, as libavformat's demuxer finds, at a
twentieth of its cost. Memory is some 50 bytes per frame, and an index above 16 MiB is refused.
"""

import struct
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from formats.mp4 import MAX_INDEX_BYTES, Mp4Error, boxes

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Read = Callable[[int, int], bytes]
"""(offset, length) -> as many bytes, fewer at the end of the file."""
Box = dict[bytes, bytes]

_HEAD_BYTES = 16 << 10
_MAX_BOXES = 64
_CODECS = {
    b"avc1": ("h264", b"avcC"),
    b"avc3": ("h264", b"avcC"),
    b"hvc1": ("hevc", b"hvcC"),
    b"hev1": ("hevc", b"hvcC"),
    b"av01": ("libdav1d", b"av1C"),
}
_FOREVER = 1 << 62
"""Ticks; twice as many are still a number of 64 bits."""
_VISUAL_BYTES = 78
"""Of a sample entry's fixed part, behind its own size and name."""


class SampleTable(NamedTuple):
    """The packets of a video track, in the order in which they are decoded."""

    codec: str
    """libavcodec's name of a decoder."""
    extradata: bytes
    """What its decoder must be told first."""
    width: int
    height: int
    timescale: int
    """Ticks per second."""
    offset_N: Ints
    """First byte in the file."""
    size_N: Ints
    pts_N: Ints
    """Ticks at which a frame is shown; the first that is not cut off by an edit list is at 0 or
    later."""
    key_N: Bools
    shown: tuple[int, int]
    """[from, to) which ticks frames are shown; the edit list cuts off the others."""
    steady: bool
    """Known to be shown whole and in the order of its packets."""

    @property
    def shown_N(self) -> Bools:
        """False for what the edit list cuts off."""
        return (self.pts_N >= self.shown[0]) & (self.pts_N < self.shown[1])


def read_sample_table(read: Read, size: int) -> SampleTable:
    """The table of the first video track of an MP4 of `size` bytes.

    Reads its first 16 KiB, and beyond only what the index needs.

    Raises:
        Mp4Error: no MP4 with an H.264, HEVC or AV1 track, its index is cut or contradicts itself,
            it points outside of the file, or its edit list has several pieces or another speed.
    """
    try:
        movie = _movie(read, size)
        track = _video_track(movie)
        table = _table(track, _movie_timescale(movie), size)
    except (LookupError, struct.error, ValueError, ArithmeticError, StopIteration) as error:
        raise Mp4Error(f"its index is damaged: {error!r}") from error
    return table


def _movie(read: Read, size: int) -> bytes:
    """The content of the `moov` box."""
    head = read(0, min(size, _HEAD_BYTES))
    position = 0
    for _ in range(_MAX_BOXES):
        if position + 8 > size:
            break
        header = head[position : position + 16]
        if len(header) < min(16, size - position):
            header = read(position, min(16, size - position))
        length, kind, skip = _header(header, size - position)
        if kind == b"moov" and length <= MAX_INDEX_BYTES:
            content = head[position + skip : position + length]
            rest = length - skip - len(content)
            return content + (read(position + length - rest, rest) if rest else b"")
        position += length
    raise Mp4Error("no whole index")


def _header(header: bytes, left: int) -> tuple[int, bytes, int]:
    """(length, kind, bytes of the header) of a box that fits in what is left of the file."""
    length, kind = struct.unpack_from(">I4s", header)
    skip = 8
    if length == 1:
        (length,) = struct.unpack_from(">Q", header, 8)
        skip = 16
    elif length == 0:
        length = left
    if not skip <= length <= left:
        raise Mp4Error("no whole index")
    return length, kind, skip


def _movie_timescale(movie: bytes) -> int:
    header = next(inner for kind, inner in boxes(movie) if kind == b"mvhd")
    (timescale,) = struct.unpack_from(">I", header, 20 if header[0] == 1 else 12)
    return int(timescale)


def _video_track(movie: bytes) -> Box:
    for kind, inner in boxes(movie):
        if kind == b"trak":
            # The first of a kind: QuickTime's has a second `hdlr`, of the data and not the track.
            track = dict(reversed(list(boxes(inner, into=_INTO))))
            if track.get(b"hdlr", b"")[8:12] == b"vide":
                return track
    raise Mp4Error("no video track")


_INTO = frozenset({b"mdia", b"minf", b"stbl", b"edts"})


def _table(track: Box, movie_timescale: int, size: int) -> SampleTable:
    sizes_N = _sizes(track[b"stsz"], size)
    count = len(sizes_N)
    if not count:
        raise Mp4Error("an mp4 without a frame")
    offset_N, end_of_last = _offsets(track, sizes_N)
    # Only wide offsets can be below 0, as numbers too large for 63 bits.
    if end_of_last > size or (b"co64" in track and int(offset_N.min()) < 0):
        raise Mp4Error("a frame lies outside of the file")
    pts_N, steady = _decoding_times(track[b"stts"], count)
    if b"ctts" in track:
        pts_N, steady = pts_N + _expand(track[b"ctts"], count), False
    timescale = _timescale(track[b"mdhd"])
    start, end, late = _edit(track, timescale / movie_timescale)
    later = late - start
    if abs(later) >= _FOREVER:
        raise Mp4Error("an edit list far outside of the video")
    return SampleTable(
        *_codec(track[b"stsd"]),
        timescale,
        offset_N,
        sizes_N,
        pts_N + later if later else pts_N,
        _keys(track, count),
        (start + later, end + later),
        steady and start <= 0 and end > int(pts_N[-1]),
    )


def _keys(track: Box, count: int) -> Bools:
    """Which frames are key frames: those that are listed, or all where there is no list."""
    key_N = np.zeros(count, np.bool_)
    if b"stss" not in track:
        key_N[:] = True
        return key_N
    (listed,) = struct.unpack_from(">I", track[b"stss"], 4)
    # The first has number 1, and without a sign 0 becomes one that is never there.
    keys = np.frombuffer(track[b"stss"], ">u4", listed, 8) - np.uint32(1)
    try:
        key_N[keys] = True
    except IndexError as error:
        raise Mp4Error("a key frame that is not there") from error
    return key_N


def _array(box: bytes, dtype: str, at: int) -> Ints:
    """A counted array: its count stands at `at`, its numbers follow."""
    (count,) = struct.unpack_from(">I", box, at)
    numbers: Ints = np.frombuffer(box, dtype, count, at + 4).astype(np.int64)
    return numbers


def _sizes(box: bytes, file_bytes: int) -> Ints:
    same, count = struct.unpack_from(">II", box, 4)
    if not same:
        return _array(box, ">u4", 8)
    if same * count > file_bytes or count > MAX_INDEX_BYTES // 4:
        # No more either than an index can list one by one.
        raise Mp4Error("more frames than the file has bytes for")
    sizes_N: Ints = np.full(count, same, np.int64)
    return sizes_N


def _offsets(track: Box, sizes_N: Ints) -> tuple[Ints, int]:
    """Where frames lie: chunk by chunk, one behind the other within a chunk; where they all end."""
    wide = b"co64" in track
    chunk_C = _array(track[b"co64" if wide else b"stco"], ">u8" if wide else ">u4", 4)
    after_N: Ints = np.cumsum(sizes_N)
    before_N = after_N - sizes_N
    if len(chunk_C) == 1:
        # As in a video without sound: all frames follow each other.
        return before_N + chunk_C, int(after_N[-1]) + int(chunk_C[0])
    (runs,) = struct.unpack_from(">I", track[b"stsc"], 4)
    table = np.frombuffer(track[b"stsc"], ">u4", 3 * runs, 8).reshape(-1, 3).astype(np.int64)
    first = table[:, 0] - 1
    lengths = np.diff(np.append(first, len(chunk_C)))
    if not runs or first[0] or (lengths <= 0).any():
        raise Mp4Error("its chunks are not in order")
    per_chunk_C = np.repeat(table[:, 1], lengths)
    if per_chunk_C.sum() != len(sizes_N):
        raise Mp4Error("its chunks do not hold its frames")
    start_N: Ints = np.repeat(chunk_C, per_chunk_C)
    first_of_chunk_C = np.cumsum(per_chunk_C) - per_chunk_C
    filled = per_chunk_C > 0
    base_N: Ints = np.repeat(before_N[first_of_chunk_C[filled]], per_chunk_C[filled])
    offset_N = start_N + before_N - base_N
    return offset_N, int((offset_N + sizes_N).max())


def _decoding_times(box: bytes, count: int) -> tuple[Ints, bool]:
    """Ticks at which frames are decoded, and whether each is known to come after the other."""
    runs, length, ticks = struct.unpack_from(">III", box, 4)
    if runs == 1 and length >= count:
        steady_N: Ints = np.arange(count) * ticks
        return steady_N, ticks > 0
    times_N: Ints = np.zeros(count, np.int64)
    np.cumsum(_expand(box, count)[:-1], out=times_N[1:])
    return times_N, False


def _expand(box: bytes, count: int) -> Ints:
    """Runs of (count, value) as one value per frame; values are signed, as everyone reads them."""
    (runs,) = struct.unpack_from(">I", box, 4)
    table = np.frombuffer(box, ">i4", 2 * runs, 8).reshape(-1, 2).astype(np.int64)
    repeats = np.minimum(table[:, 0] & 0xFFFFFFFF, count)
    # Cut where it is long enough, before anything is laid out.
    enough = int(np.searchsorted(np.cumsum(repeats), count)) + 1
    values: Ints = np.repeat(table[:enough, 1], repeats[:enough])[:count]
    if len(values) < count:
        raise Mp4Error("a table of times is shorter than the video")
    return values


def _timescale(box: bytes) -> int:
    (timescale,) = struct.unpack_from(">I", box, 20 if box[0] == 1 else 12)
    if not timescale:
        raise Mp4Error("no unit of time")
    return int(timescale)


def _edit(track: Box, ticks: float) -> tuple[int, int, int]:
    """(first tick shown, the tick after the last, how much later it starts) of an edit list.

    `ticks` is how many of the track's make one of the movie's.
    """
    start, end, late, pieces = 0, _FOREVER, 0, 0
    for length, at, rate in _edits(track.get(b"elst")):
        if at == -1:
            late += round(length * ticks)
            continue
        pieces += 1
        if pieces > 1 or rate != 0x10000 or at < 0:
            raise Mp4Error("an edit list of several pieces, or of another speed")
        start, end = at, at + round(length * ticks) if length else end
    return start, end, late


def _edits(box: bytes | None) -> Iterator[tuple[int, int, int]]:
    """(length in the movie's ticks, first tick shown or -1 for nothing, rate)."""
    if box is not None:
        form = ">Qqi" if box[0] == 1 else ">Iii"
        (count,) = struct.unpack_from(">I", box, 4)
        for number in range(min(count, len(box))):
            length, at, rate = struct.unpack_from(form, box, 8 + number * struct.calcsize(form))
            yield length, at, rate


def _codec(box: bytes) -> tuple[str, bytes, int, int]:
    """Libavcodec's name of the codec, its settings, and width and height of the frames."""
    kind, entry = next(boxes(box[8:]))
    if kind not in _CODECS:
        raise Mp4Error(f"of codec {kind!r}, which is not read")
    name, wanted = _CODECS[kind]
    extradata = next((inner for k, inner in boxes(entry[_VISUAL_BYTES:]) if k == wanted), None)
    if extradata is None:
        raise Mp4Error("a codec without its settings")
    width, height = struct.unpack_from(">HH", entry, 24)
    return name, extradata, width, height
