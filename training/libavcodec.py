"""PyAV's own libavcodec, asked without an object per packet, frame and plane.

Of a clip's CPU time those objects take a seventh, and nothing that PyAV offers goes without them.
So where its library is of a version whose structures are known to `training/ffmpeg_abi.py`, planes
are taken straight out of it; where it is not, `training/decoders.py` does the same by way of PyAV.

Three rules keep this as safe as PyAV: of a structure only the fields declared there are touched;
the library copies what it is sent, so that its own padding follows; and nothing is read or written
before it is compared with what is there.
"""

import ctypes
import errno
import struct
import weakref
from collections.abc import Callable, Sequence
from ctypes import byref, c_char_p, c_int, c_void_p
from functools import lru_cache

import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import err_check

from training import ffmpeg_abi
from training.decoders import OPTIONS, Packet, Wanted, check, refuse_damage
from training.ffmpeg_abi import ERRORS, FLAGS, FOUND, PTS, SENT, library

_YUV420P = 0
_CORRUPT = 1
_INPUT_PADDING = 64
_AGAIN, _END = -errno.EAGAIN, -int.from_bytes(b"EOF ", "little")
"""A frame needs more packets, or a packet must wait for frames to be taken; no more frames."""
_NO_TIME = -(1 << 63)
_SOURCE = struct.Struct("3P")


class Decoder:
    """A decoder on one thread, that writes planes without making a frame of them.

    Raises:
        av.FFmpegError: the decoder cannot be opened with this extradata.
        UnknownCodecError: the library has none of this name.
    """

    def __init__(self, codec: str, extradata: bytes):
        lib = library()
        assert lib
        self._lib = lib
        decoder = lib.avcodec_find_decoder_by_name(codec.encode())
        if not decoder:
            raise UnknownCodecError(codec)
        self._context = c_void_p(lib.avcodec_alloc_context3(decoder))
        self._packet_at = c_void_p(lib.av_packet_alloc())
        self._frame_at = c_void_p(lib.av_frame_alloc())
        held = (self._context, self._packet_at, self._frame_at)
        # Not when Python ends: a thread that it does not wait for may be decoding.
        weakref.finalize(self, _free, lib, *held).atexit = False
        if not (self._context and self._packet_at and self._frame_at):
            raise MemoryError("none for a decoder")
        self._packet = ffmpeg_abi.Packet.from_address(self._packet_at.value or 0)
        self._frame = ffmpeg_abi.Frame.from_address(self._frame_at.value or 0)
        _open(lib, self._context, decoder, extradata)

    def flush_buffers(self) -> None:
        """Forget what was sent, and be ready for another key frame."""
        self._lib.avcodec_flush_buffers(self._context)

    def planes(self, content: bytes, packets: Sequence[Packet], wanted: Wanted) -> None:
        """Decode these packets, which lie in `content`, and write what is wanted of them.

        Raises:
            av.FFmpegError: a packet cannot be decoded.
            UnfitError: a frame is damaged, or not what is wanted.
            ValueError: a packet does not lie in the content or is empty, or rows are of another
                size than parts.
        """
        send, context, packet_at = self._lib.avcodec_send_packet, self._context, self._packet_at
        fill, packet = SENT.pack_into, self._packet
        take = self._taker(wanted)
        start, size = ctypes.cast(c_char_p(content), c_void_p).value or 0, len(content)
        for begin, end, pts in packets:
            if not 0 <= begin < end <= size:
                raise ValueError("a packet outside of its bytes")
            fill(packet, 0, pts, _NO_TIME, start + begin, end - begin)
            code = send(context, packet_at)
            if code == _AGAIN:
                _all(take)
                code = send(context, packet_at)
            if code < 0:
                err_check(code)
            # Only one: where a packet holds more, they are taken with those that follow.
            take()
        # A packet may still wait for that; after the end was sent, its frames would pass for none.
        _all(take)
        err_check(send(context, None))
        _all(take)

    def _taker(self, wanted: Wanted) -> Callable[[], bool]:
        """What takes a frame, if there is one, and writes it if it is wanted."""
        receive, context, frame_at = self._lib.avcodec_receive_frame, self._context, self._frame_at
        frame, rows, read = self._frame, wanted.rows, FOUND.unpack_from
        put = _putter(self._lib, self._frame_at, wanted)

        def take() -> bool:
            code = receive(context, frame_at)
            if code < 0:
                if code not in (_AGAIN, _END):
                    err_check(code)
                return False
            found = read(frame)
            # What was painted over is only in the errors, as PyAV knows, too.
            if found[ERRORS] or found[FLAGS] & _CORRUPT:
                refuse_damage(found[PTS])
            row = rows.pop(found[PTS], None)
            if row is not None:
                put(row, found)
            return True

        return take


def _all(take: Callable[[], bool]) -> None:
    while take():
        pass


def _putter(
    lib: ctypes.CDLL, frame_at: c_void_p, wanted: Wanted
) -> Callable[[int, tuple[int, ...]], None]:
    """What writes the wanted part of the frame, of which `FOUND` gave this, to a row."""
    _, into_TN, (top, left, height, width), size = wanted
    # Not checked at every call: they are of ctypes' own types already.
    count, copy = height * width * 3 // 2, lib["av_image_copy_to_buffer"]
    flat = into_TN.dtype == np.uint8 and into_TN.strides[1] == 1 and into_TN.flags.writeable
    if not flat or into_TN.shape[1:] != (count,):
        raise ValueError(f"rows of {into_TN.shape} for {height}x{width}")
    if min(wanted.part) < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"a part {wanted.part} of {size}")
    line, row_count = into_TN.strides[0], len(into_TN)
    start: int = into_TN.__array_interface__["data"][0]
    top_half, left_half, source, to = top // 2, left // 2, (c_void_p * 4)(), c_void_p()
    lines = c_void_p((frame_at.value or 0) + ffmpeg_abi.Frame.linesize_y.offset)
    # Made once: ctypes makes such objects of numbers at every call. Lines as far apart as the whole
    # frame's become lines without a gap.
    form = [c_int(number) for number in (_YUV420P, width, height, 1)]
    given = (to, c_int(count), source, lines, *form)

    def put(row: int, found: tuple[int, ...]) -> None:
        y, u, v, y_line, u_line, v_line, wide, high, pixels, pts, _, _ = found
        if (high, wide) != size or pixels != _YUV420P:
            check(pts, ((high, wide), size), (_name(pixels), "yuv420p"))
        if not 0 <= row < row_count:
            raise ValueError(f"no row {row}")
        y += top * y_line + left
        u += top_half * u_line + left_half
        v += top_half * v_line + left_half
        _SOURCE.pack_into(source, 0, y, u, v)
        to.value = start + row * line
        if copy(*given) != count:
            raise ValueError(f"a part {wanted.part} with odd sides")

    return put


def _open(lib: ctypes.CDLL, context: c_void_p, decoder: int, extradata: bytes) -> None:
    parameters_at = c_void_p(lib.avcodec_parameters_alloc())
    options = c_void_p()
    if not parameters_at:
        raise MemoryError("none for a decoder's parameters")
    try:
        err_check(lib.avcodec_parameters_from_context(parameters_at, context))
        parameters = ffmpeg_abi.Parameters.from_address(parameters_at.value or 0)
        parameters.extradata = lib.av_mallocz(len(extradata) + _INPUT_PADDING)
        if not parameters.extradata:
            raise MemoryError("none for a decoder's extradata")
        ctypes.memmove(parameters.extradata, extradata, len(extradata))
        parameters.extradata_size = len(extradata)
        err_check(lib.avcodec_parameters_to_context(context, parameters_at))
        for name, value in OPTIONS.items():
            err_check(lib.av_dict_set(byref(options), name.encode(), value.encode(), 0))
        err_check(lib.avcodec_open2(context, decoder, byref(options)))
    finally:
        lib.av_dict_free(byref(options))
        lib.avcodec_parameters_free(byref(parameters_at))


def _free(lib: ctypes.CDLL, context: c_void_p, packet: c_void_p, frame: c_void_p) -> None:
    lib.avcodec_free_context(byref(context))
    # Its bytes are Python's, and `av_packet_free` frees only what is counted as the library's.
    lib.av_packet_free(byref(packet))
    lib.av_frame_free(byref(frame))


@lru_cache
def _name(pixels: int) -> str:
    """Of a pixel format, by its number."""
    lib = library()
    assert lib
    return (lib.av_get_pix_fmt_name(pixels) or b"unknown").decode()
