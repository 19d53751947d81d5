"""PyAV's decoder as stored videos need it, and what any decoder of theirs is asked for."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.video.plane import VideoPlane

Bytes = npt.NDArray[np.uint8]
Part = tuple[int, int, int, int]
"""(top, left, height, width) of a frame in pixels, all even."""
Packet = tuple[int, int, int]
"""(begin, end) in the bytes that it comes with, and its pts."""
OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        # A clip is short, and leaving threaded decoders early can deadlock.
        "threads": "1",
        # Else damage is painted over, and the frame passes for a whole one.
        "err_detect": "explode",
    }
)


class UnfitError(Exception):
    """A frame is not what is wanted."""


class Wanted(NamedTuple):
    """Which planes are wanted of a video's 4:2:0 frames, and where."""

    rows: dict[int, int]
    """Pts of a frame -> the row that is for it; taken out when it is written."""
    into_TN: Bytes
    """Y, then U, then V of the part, one frame a row."""
    part: Part
    size: tuple[int, int]
    """(height, width) that frames must have."""


class Decoder(Protocol):
    """A decoder of one kind of stream, on one thread."""

    def flush_buffers(self) -> None:
        """Forget what was sent, and be ready for another key frame."""

    def planes(self, content: bytes, packets: Sequence[Packet], wanted: Wanted) -> None:
        """Decode these packets, and write what is wanted of them.

        Raises:
            av.FFmpegError: a packet cannot be decoded.
            UnfitError: a frame is damaged, or not what is wanted.
        """


class PyAVDecoder:
    """PyAV's own."""

    def __init__(self, codec: str, extradata: bytes):
        context = av.CodecContext.create(codec, "r")
        assert isinstance(context, av.VideoCodecContext)
        context.extradata = extradata
        context.options = dict(OPTIONS)
        context.open()
        self._context = context

    def flush_buffers(self) -> None:
        """Forget what was sent, and be ready for another key frame."""
        self._context.flush_buffers()

    def decode(self, content: bytes, packets: Sequence[Packet]) -> Iterator[av.VideoFrame]:
        """Every frame of these packets; its pts is that of the packet that it came out of.

        Raises:
            av.FFmpegError: a packet cannot be decoded.
            UnfitError: a frame is damaged.
        """
        view = memoryview(content)
        for begin, end, pts in packets:
            packet = packet_of(view[begin:end])
            packet.pts = pts
            yield from self._whole(packet)
        yield from self._whole(None)

    def _whole(self, packet: "av.Packet[Any] | None") -> Iterator[av.VideoFrame]:
        for frame in self._context.decode(packet):
            if frame.is_corrupt:
                refuse_damage(frame.pts or 0)
            yield frame

    def planes(self, content: bytes, packets: Sequence[Packet], wanted: Wanted) -> None:
        """Decode these packets, and write what is wanted of them."""
        rows = wanted.rows
        for frame in self.decode(content, packets):
            if frame.pts in rows:
                check_frame(frame, wanted.size, "yuv420p")
                put_planes(frame, wanted.part, wanted.into_TN[rows.pop(frame.pts)])


def packet_of(content: bytes | memoryview) -> "av.Packet[Any]":
    """A packet with a copy of these bytes.

    Made of the bytes themselves it would lack the zeros behind them that decoders count on: they
    read on into whatever is there.
    """
    packet = av.Packet(len(content))
    packet.update(content)  # type: ignore[arg-type]
    return packet


def check_frame(frame: av.VideoFrame, size: tuple[int, int], pixels: str = "") -> None:
    """Raise an UnfitError unless a frame is of this (height, width) and these pixels."""
    check(frame.pts or 0, ((frame.height, frame.width), size), (frame.format.name, pixels))


def check(
    number: int, sizes: tuple[tuple[int, int], tuple[int, int]], pixels: tuple[str, str]
) -> None:
    """Raise an UnfitError unless sizes and pixels, each (found, wanted), agree."""
    (height, width), wanted = sizes
    if (height, width) != wanted:
        raise UnfitError(f"frame {number} is {width}x{height}, not as the index says")
    if pixels[1] and pixels[0] != pixels[1]:
        raise UnfitError(f"pixels as {pixels[0]}, wanted {pixels[1]}")


def refuse_damage(number: int) -> NoReturn:
    """Of any frame that is decoded, wanted or not: others may be made of it.

    Raises:
        UnfitError: always.
    """
    raise UnfitError(f"frame {number} is damaged" if number >= 0 else "a hidden frame is damaged")


def put_planes(frame: av.VideoFrame, part: Part, into_N: Bytes) -> None:
    """Write a part of a 4:2:0 frame: Y, then U, then V."""
    start = 0
    for plane, half in zip(frame.planes, (1, 2, 2), strict=True):
        top, left, height, width = (number // half for number in part)
        end = start + height * width
        into_N[start:end].reshape(height, width)[:] = piece_of(plane, (top, left, height, width))
        start = end


def piece_of(plane: VideoPlane, piece: Part) -> Bytes:
    """(top, left, height, width) of a plane, where it lies.

    Raises:
        TypeError: the plane is smaller.
    """
    top, left, height, width = piece
    line = plane.line_size
    return np.ndarray((height, width), np.uint8, plane, top * line + left, (line, 1))  # type: ignore[arg-type]
