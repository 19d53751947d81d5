"""Frames out of the bytes of a stored video, by their number and not by their time."""

import bisect
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane
from av.video.reformatter import Interpolation, VideoReformatter

from formats.mp4 import Mp4Error
from formats.sample_table import read_sample_table

Frames = npt.NDArray[np.uint8]
"""RGB, [T, H, W, 3]."""
Bytes = npt.NDArray[np.uint8]

SHARP = Interpolation.FAST_BILINEAR
SCALING = Interpolation.BILINEAR | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
_KEPT = 32
"""Decoders and scalers kept per process; each of the first holds some 1 MB."""


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
    frame before the first wanted frame on.

    Raises:
        VideoError: not an mp4 with a video track and at least one frame.
    """

    def __init__(self, source: bytes | Source):
        self._source: Source = _InMemory(source) if isinstance(source, bytes) else source
        try:
            self._table = table = read_sample_table(self._source.read, self._source.size)
        except Mp4Error as error:
            raise VideoError(f"not an mp4 video: {error}") from error
        shown = np.flatnonzero(table.shown_N)
        if not len(shown):
            raise VideoError("an mp4 without a frame")
        order = np.argsort(table.pts_N[shown], kind="stable")
        self._packet_of_frame = shown[order]
        self._frame_of_packet = np.full(len(table.pts_N), -1)
        self._frame_of_packet[self._packet_of_frame] = np.arange(len(shown))
        self.num_frames = len(shown)
        """Frames of the whole video, counted."""
        ticks = int(table.pts_N[self._packet_of_frame[-1]] - table.pts_N[self._packet_of_frame[0]])
        self.fps = (len(shown) - 1) * table.timescale / ticks if ticks else 1.0
        """Mean distance of its frames; 1 for a still."""
        self.height, self.width = table.height, table.width

    def frames(
        self, indices: Sequence[int], height: int, width: int, scaling: Interpolation = SCALING
    ) -> Frames:
        """The frames with these numbers, in this order, scaled to height x width.

        Raises:
            VideoError: the decoder fails, or gives no whole frame for one of them.
        """
        place = {index: at for at, index in enumerate(sorted(set(indices)))}
        rows = np.empty((len(place), height, 3 * width), np.uint8)

        def take(index: int, frame: av.VideoFrame) -> None:
            rows[place[index]] = scaled(frame, height, width, scaling)

        self._decode(list(place), take)
        frames_THWC = rows.reshape(-1, height, width, 3)
        if list(indices) == list(place):
            return frames_THWC
        return frames_THWC[[place[index] for index in indices]]

    def planes(
        self, indices: Sequence[int], part: tuple[int, int, int, int], into_TN: Bytes
    ) -> None:
        """Write (top, left, height, width) of the frames with these numbers, in this order.

        Neither scaled nor converted: each is Y, then U, then V, BT.601 in limited range,
        height * width * 3 / 2 bytes. The four are even.

        Raises:
            VideoError: as for `frames`, or they are not 4:2:0 with 8 bits and even sides.
        """
        if self.height % 2 or self.width % 2:
            raise VideoError(f"{self.width}x{self.height}, wanted even sides")
        places: dict[int, list[int]] = {}
        for at, index in enumerate(indices):
            places.setdefault(index, []).append(at)
        into = _split_planes(into_TN, part)

        def take(index: int, frame: av.VideoFrame) -> None:
            first, *others = places[index]
            for plane, (piece, into_THW) in zip(frame.planes, into, strict=True):
                into_THW[first] = _part(plane, piece)
            if others:
                into_TN[others] = into_TN[first]

        self._decode(list(places), take, "yuv420p")

    def _decode(
        self,
        wanted: Sequence[int],
        take: Callable[[int, av.VideoFrame], None],
        pixels: str = "",
    ) -> None:
        """Hand over every wanted frame with its number; `wanted` has no number twice."""
        left = set(wanted)
        decoder = _decoder(threading.get_ident(), self._table.codec, self._table.extradata)
        try:
            for first, last in self._runs(wanted):
                decoder.flush_buffers()
                for packet in self._packets(first, last):
                    for frame in decoder.decode(packet):
                        index = frame.pts
                        if index in left:
                            self._refuse(index, frame, pixels if len(left) == len(wanted) else "")
                            take(index, frame)
                            left.remove(index)
                    if not left:
                        return
        except av.FFmpegError as error:
            raise VideoError(f"cannot be decoded: {error}") from error
        raise VideoError(f"no picture for frame {min(left)}")

    def _refuse(self, index: int, frame: av.VideoFrame, pixels: str) -> None:
        if frame.is_corrupt:
            raise VideoError(f"frame {index} is damaged")
        if (frame.height, frame.width) != (self.height, self.width):
            raise VideoError(
                f"frame {index} is {frame.width}x{frame.height}, not as the index says"
            )
        if pixels and frame.format.name != pixels:
            raise VideoError(f"pixels as {frame.format.name}, wanted {pixels}")

    def _runs(self, wanted: Sequence[int]) -> list[tuple[int, int]]:
        """(first, last) packet of each stretch that must be decoded for these frames."""
        table = self._table
        packets = sorted(self._packet_of_frame[list(wanted)].tolist())
        # From a key frame on, all is whole that is shown after it: where nothing behind it in the
        # file is shown before it, what lies before is not needed.
        start_N = table.key_N & (np.minimum.accumulate(table.pts_N[::-1])[::-1] == table.pts_N)
        starts = np.flatnonzero(start_N).tolist()
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

    def _packets(self, first: int, last: int) -> Iterator["av.Packet[Any] | None"]:
        """Packets `first` to `last`, then the end; their pts is a frame's number, or below 0."""
        table = self._table
        offsets, sizes = table.offset_N[first : last + 1], table.size_N[first : last + 1]
        numbers = self._frame_of_packet[first : last + 1].tolist()
        start = int(offsets.min())
        content = memoryview(self._source.read(start, int((offsets + sizes).max()) - start))
        begins, ends = (offsets - start).tolist(), (offsets + sizes - start).tolist()
        for begin, end, number in zip(begins, ends, numbers, strict=True):
            # To the decoder nothing would be the end.
            if end > begin:
                packet = av.Packet(content[begin:end])  # type: ignore[arg-type]
                packet.pts = number
                yield packet
        yield None


def scaled(
    frame: av.VideoFrame, height: int, width: int, scaling: Interpolation = SCALING
) -> Bytes:
    """RGB of a frame, [height, width * 3], until the next one is scaled."""
    sizes = (frame.width, frame.height, width, height)
    scaler = _scaler(threading.get_ident(), sizes)
    frame = scaler.reformat(frame, width, height, "rgb24", interpolation=scaling, threads=1)
    return _part(frame.planes[0], (0, 0, height, 3 * width))


def put_planes(
    frame: av.VideoFrame, part: tuple[int, int, int, int], into_TN: Bytes, row: int
) -> None:
    """Write a part of a 4:2:0 frame to a row: Y, then U, then V."""
    for plane, (piece, into_THW) in zip(frame.planes, _split_planes(into_TN, part), strict=True):
        into_THW[row] = _part(plane, piece)


class _InMemory:
    """The bytes of a whole file."""

    def __init__(self, content: bytes):
        self._content = content
        self.size = len(content)

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


@lru_cache(maxsize=_KEPT)
def _decoder(thread: int, codec: str, extradata: bytes) -> av.VideoCodecContext:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.VideoCodecContext)
    # One thread: a clip is short, and leaving threaded decoders early can deadlock.
    decoder.thread_count = 1
    decoder.extradata = extradata
    # Else damage is painted over, and the frame passes for a whole one.
    decoder.options = {"err_detect": "explode"}
    decoder.open()
    return decoder


@lru_cache(maxsize=_KEPT)
def _scaler(thread: int, sizes: tuple[int, int, int, int]) -> VideoReformatter:
    """A scaler of its own for every pair of sizes: it is built anew when they change."""
    return VideoReformatter()


def _part(plane: VideoPlane, part: tuple[int, int, int, int]) -> Bytes:
    """(top, left, height, width) of a plane, where it lies."""
    top, left, height, width = part
    line = plane.line_size
    # Raises TypeError where the plane is smaller, which `_refuse` has excluded.
    return np.ndarray((height, width), np.uint8, plane, top * line + left, (line, 1))  # type: ignore[arg-type]


def _split_planes(
    into_TN: Bytes, part: tuple[int, int, int, int]
) -> list[tuple[tuple[int, int, int, int], Bytes]]:
    """For Y, U and V: which part of the plane goes where, [T, H, W]."""
    split, start = [], 0
    for half in (1, 2, 2):
        top, left, height, width = (number // half for number in part)
        into_THW = into_TN[:, start : start + height * width].reshape(-1, height, width)
        split.append(((top, left, height, width), into_THW))
        start += height * width
    return split
