"""Frames out of the bytes of a stored video, by their number and not by their time."""

import bisect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Protocol, TypeVar

import av
import numpy as np
import numpy.typing as npt
from av.codec.codec import UnknownCodecError
from av.video.reformatter import Interpolation, VideoReformatter

from formats.mp4 import Mp4Error
from formats.sample_table import Bools, Ints, SampleTable, read_sample_table
from training import libavcodec
from training.decoders import (
    Bytes,
    Decoder,
    Packet,
    Part,
    PyAVDecoder,
    UnfitError,
    Wanted,
    check_frame,
    piece_of,
)
from training.ffmpeg_abi import library

Frames = npt.NDArray[np.uint8]
"""RGB, [T, H, W, 3]."""

SHARP = Interpolation.FAST_BILINEAR
SCALING = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_KEPT = 32
"""Decoders and scalers kept per process; each of the first holds some 1 MB."""
_AHEAD_BYTES = 1 << 20
"""Of a clip that is read before others are decoded; what takes more is read run by run."""
_PLANES: type[Decoder] = libavcodec.Decoder if library() else PyAVDecoder
_D = TypeVar("_D")


class VideoError(Exception):
    """The bytes of a clip are not a video that can be decoded whole."""


class Source(Protocol):
    """Where the bytes of a video lie."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """As many bytes from there on, fewer at the end."""
        ...


class StoredVideo:
    """One mp4; reads and decodes only what its wanted frames need.

    Holds some 50 bytes per frame of the video, and while decoding the coded bytes from the key
    frame before the first wanted frame on; where frames lie far apart, those of one run at a time.

    Raises:
        VideoError: not an mp4 with a video track and at least one frame.
    """

    def __init__(self, source: bytes | Source):
        self._source: Source = _InMemory(source) if isinstance(source, bytes) else source
        try:
            self._table = table = read_sample_table(self._source.read, self._source.size)
        except Mp4Error as error:
            raise VideoError(f"not an mp4 video: {error}") from error
        self._packet_of_frame, self._frame_of_packet, self._start_N = _in_order(table)
        self.num_frames = len(self._packet_of_frame)
        """Frames of the whole video, counted."""
        if not self.num_frames:
            raise VideoError("an mp4 without a frame")
        first, last = self._packet_of_frame[0], self._packet_of_frame[-1]
        ticks = int(table.pts_N[last] - table.pts_N[first])
        self.fps = (self.num_frames - 1) * table.timescale / ticks if ticks else 1.0
        """Mean distance of its frames; 1 for a still."""
        self.height, self.width = table.height, table.width
        if not (self.height and self.width):
            raise VideoError(f"an mp4 whose frames are {self.width}x{self.height}")

    def frames(
        self, indices: Sequence[int], height: int, width: int, scaling: Interpolation = SCALING
    ) -> Frames:
        """The frames with these numbers, in this order, scaled to height x width.

        Raises:
            VideoError: the decoder fails, or gives no whole frame for one of them.
        """
        place = {index: at for at, index in enumerate(sorted(set(indices)))}
        rows = np.empty((len(place), height, 3 * width), np.uint8)
        left = dict(place)
        with self._decoding(PyAVDecoder, left) as decoder:
            for index, frame in self._decoded(decoder, left):
                check_frame(frame, (self.height, self.width))
                rows[left.pop(index)] = scaled(frame, height, width, scaling)
        frames_THWC = rows.reshape(-1, height, width, 3)
        if list(indices) == list(place):
            return frames_THWC
        return frames_THWC[[place[index] for index in indices]]

    def _decoded(
        self, decoder: PyAVDecoder, left: Mapping[int, int]
    ) -> Iterator[tuple[int, av.VideoFrame]]:
        """The frames of these numbers."""
        for first, last in self._runs(list(left)):
            decoder.flush_buffers()
            span, packets = self._packets(first, last)
            for frame in decoder.decode(self._read(*span), packets):
                if frame.pts is not None and frame.pts in left:
                    yield frame.pts, frame

    def planes(self, indices: Sequence[int], part: Part) -> Callable[[Bytes], None]:
        """Read what (top, left, height, width) of the frames with these numbers needs.

        What it gives writes them, in this order, to rows, neither scaled nor converted: each is Y,
        then U, then V, BT.601 in limited range, height * width * 3 / 2 bytes. The four are even.

        Raises:
            VideoError: as for `frames`, or they are not 4:2:0 with 8 bits and even sides.
        """
        if self.height % 2 or self.width % 2:
            raise VideoError(f"{self.width}x{self.height}, wanted even sides")
        row_of = dict(zip(indices, range(len(indices)), strict=True))
        runs = [self._packets(*run) for run in self._runs(list(row_of))]
        small = sum(length for (_, length), _ in runs) <= _AHEAD_BYTES
        ahead = [self._read(*span) for span, _ in runs] if small else None

        def put(into_TN: Bytes) -> None:
            left = dict(row_of)
            wanted = Wanted(left, into_TN, part, (self.height, self.width))
            with self._decoding(_PLANES, left) as decoder:
                contents = ahead or (self._read(*span) for span, _ in runs)
                for content, (_, packets) in zip(contents, runs, strict=True):
                    decoder.flush_buffers()
                    decoder.planes(content, packets, wanted)
            if len(row_of) < len(indices):
                into_TN[:] = into_TN[[row_of[index] for index in indices]]

        return put

    @contextmanager
    def _decoding(self, kind: Callable[[str, bytes], _D], left: Mapping[int, int]) -> Iterator[_D]:
        """This thread's decoder; what fails, or is left at the end, is a VideoError."""
        try:
            yield _decoder(kind, threading.get_ident(), self._table.codec, self._table.extradata)
        except (av.FFmpegError, UnknownCodecError) as error:
            raise VideoError(f"cannot be decoded: {error}") from error
        except UnfitError as error:
            raise VideoError(str(error)) from error
        if left:
            raise VideoError(f"no picture for frame {min(left)}")

    def _runs(self, wanted: Sequence[int]) -> list[tuple[int, int]]:
        """(first, last) packet of each stretch that must be decoded for these frames."""
        packets = sorted(self._packet_of_frame[list(wanted)].tolist())
        starts = np.flatnonzero(self._start_N).tolist()
        if packets and packets[-1] - packets[0] == len(packets) - 1:
            # Without a gap between them.
            part = bisect.bisect_right(starts, packets[0])
            return [(starts[part - 1] if part else 0, packets[-1])]
        runs: list[tuple[int, int]] = []
        before = -2
        for packet in packets:
            part = bisect.bisect_right(starts, packet)
            if runs and part <= before + 1:
                runs[-1] = (runs[-1][0], packet)
            else:
                runs.append((starts[part - 1] if part else 0, packet))
            before = part
        return runs

    def _packets(self, first: int, last: int) -> tuple[tuple[int, int], list[Packet]]:
        """(first byte, bytes) that hold packets `first` to `last`, and those in them.

        The pts of a packet is a frame's number, or below 0.
        """
        table = self._table
        begins, sizes = table.offset_N[first : last + 1], table.size_N[first : last + 1]
        ends = begins + sizes
        start, end = int(begins.min()), int(ends.max())
        numbers = self._frame_of_packet[first : last + 1].tolist()
        packets = zip((begins - start).tolist(), (ends - start).tolist(), numbers, strict=True)
        # To the decoder nothing would be the end.
        return (start, end - start), [packet for packet in packets if packet[1] > packet[0]]

    def _read(self, start: int, length: int) -> bytes:
        content = self._source.read(start, length)
        if len(content) != length:
            raise VideoError("the file ends before its index says")
        return content


def scaled(
    frame: av.VideoFrame, height: int, width: int, scaling: Interpolation = SCALING
) -> Bytes:
    """RGB of a frame, [height, width * 3], until the next one is scaled."""
    sizes = (frame.width, frame.height, width, height)
    scaler = _scaler(threading.get_ident(), sizes)
    frame = scaler.reformat(frame, width, height, "rgb24", interpolation=scaling, threads=1)
    return piece_of(frame.planes[0], (0, 0, height, 3 * width))


def _in_order(table: SampleTable) -> tuple[Ints, Ints, Bools]:
    """(packet of each frame, frame of each packet or -1, where decoding can begin)."""
    pts_N = table.pts_N
    if table.steady:
        # As we store them: every packet is a frame, and they lie in the order of their times.
        every_N = np.arange(len(pts_N))
        return every_N, every_N, table.key_N
    shown = np.flatnonzero(table.shown_N)
    packet_of_frame = shown[np.argsort(pts_N[shown], kind="stable")]
    frame_of_packet = np.full(len(pts_N), -1)
    frame_of_packet[packet_of_frame] = np.arange(len(shown))
    # From a key frame on, all is whole that is shown after it: where nothing behind it in the file
    # is shown before it, what lies before is not needed.
    start_N = table.key_N & (np.minimum.accumulate(pts_N[::-1])[::-1] == pts_N)
    return packet_of_frame, frame_of_packet, start_N


class _InMemory:
    """The bytes of a whole file."""

    def __init__(self, content: bytes):
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


@lru_cache(maxsize=_KEPT)
def _decoder(kind: Callable[[str, bytes], _D], thread: int, codec: str, extradata: bytes) -> _D:
    return kind(codec, extradata)


@lru_cache(maxsize=_KEPT)
def _scaler(thread: int, sizes: tuple[int, int, int, int]) -> VideoReformatter:
    """A scaler of its own for every pair of sizes: it is built anew when they change."""
    return VideoReformatter()
