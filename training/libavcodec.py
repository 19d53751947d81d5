"""PyAV's own libavcodec, asked without an object per packet, frame and plane.

Of a clip's CPU time those objects take a seventh, and nothing that PyAV offers goes without them.
So where its library is of a version whose structures are written down here, planes are taken
straight out of it; where it is not, `training/decoders.py` does the same by way of PyAV.

Three rules keep this as safe as PyAV: of a structure only the fields declared below are touched,
and of a version that is not named in `_KNOWN` none; the library copies what it is sent, so that its
own padding follows; and nothing is read or written before it is compared with what is there.
"""

import ctypes
import errno
import weakref
from collections.abc import Callable, Sequence
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from typing import Any

import av
import av.codec.context
import numpy as np
from av.codec.codec import UnknownCodecError
from av.error import err_check

from training.decoders import OPTIONS, Packet, Wanted, check

_KNOWN = {"libavcodec": 62, "libavutil": 60}
"""FFmpeg 8: within a major version its structures only grow at their end."""
_YUV420P = 0
_CORRUPT = 1
_INPUT_PADDING = 64
_NO_MORE = (-errno.EAGAIN, -int.from_bytes(b"EOF ", "little"))
"""What is said where a frame needs more packets, and where there are no more frames."""


class _Packet(Structure):
    _fields_ = (
        ("buf", c_void_p),
        ("pts", c_int64),
        ("dts", c_int64),
        ("data", c_void_p),
        ("size", c_int),
    )


class _Parameters(Structure):
    _fields_ = (
        ("codec_type", c_int),
        ("codec_id", c_int),
        ("codec_tag", c_uint32),
        ("extradata", c_void_p),
        ("extradata_size", c_int),
    )


class _Frame(Structure):
    _fields_ = (
        ("data", c_void_p * 8),
        ("linesize", c_int * 8),
        ("extended_data", c_void_p),
        ("width", c_int),
        ("height", c_int),
        ("nb_samples", c_int),
        ("format", c_int),
        ("pict_type", c_int),
        ("sample_aspect_ratio", c_int * 2),
        ("pts", c_int64),
        ("pkt_dts", c_int64),
        ("time_base", c_int * 2),
        ("quality", c_int),
        ("opaque", c_void_p),
        ("repeat_pict", c_int),
        ("sample_rate", c_int),
        ("buf", c_void_p * 8),
        ("extended_buf", c_void_p),
        ("nb_extended_buf", c_int),
        ("side_data", c_void_p),
        ("nb_side_data", c_int),
        ("flags", c_int),
        ("colours", c_int * 5),
        ("best_effort_timestamp", c_int64),
        ("metadata", c_void_p),
        ("decode_error_flags", c_int),
    )


_SIGNATURES: dict[str, tuple[Any, ...]] = {
    "av_dict_free": (None, POINTER(c_void_p)),
    "av_dict_set": (c_int, POINTER(c_void_p), c_char_p, c_char_p, c_int),
    "av_frame_alloc": (c_void_p,),
    "av_frame_free": (None, POINTER(c_void_p)),
    "av_get_pix_fmt_name": (c_char_p, c_int),
    "av_image_copy_to_buffer": (c_int, c_void_p, c_int, *(c_void_p,) * 2, *(c_int,) * 4),
    "av_mallocz": (c_void_p, c_size_t),
    "av_packet_alloc": (c_void_p,),
    "av_packet_free": (None, POINTER(c_void_p)),
    "avcodec_alloc_context3": (c_void_p, c_void_p),
    "avcodec_find_decoder_by_name": (c_void_p, c_char_p),
    "avcodec_flush_buffers": (None, c_void_p),
    "avcodec_free_context": (None, POINTER(c_void_p)),
    "avcodec_open2": (c_int, c_void_p, c_void_p, POINTER(c_void_p)),
    "avcodec_parameters_alloc": (c_void_p,),
    "avcodec_parameters_free": (None, POINTER(c_void_p)),
    "avcodec_parameters_from_context": (c_int, c_void_p, c_void_p),
    "avcodec_parameters_to_context": (c_int, c_void_p, c_void_p),
    "avcodec_receive_frame": (c_int, c_void_p, c_void_p),
    "avcodec_send_packet": (c_int, c_void_p, c_void_p),
}


@lru_cache(maxsize=1)
def library() -> ctypes.CDLL | None:
    """PyAV's libraries, if they are of a version that is written down here."""
    if any(av.library_versions[name][0] != major for name, major in _KNOWN.items()):
        return None
    # Not by the name of its file, which differs from wheel to wheel: PyAV's module depends on it.
    found = ctypes.CDLL(av.codec.context.__file__)
    for name, (result, *arguments) in _SIGNATURES.items():
        if not hasattr(found, name):
            return None
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


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
        self._packet = _Packet.from_address(self._packet_at.value or 0)
        self._frame = _Frame.from_address(self._frame_at.value or 0)
        _open(lib, self._context, decoder, extradata)

    def flush_buffers(self) -> None:
        """Forget what was sent, and be ready for another key frame."""
        self._lib.avcodec_flush_buffers(self._context)

    def planes(self, content: bytes, packets: Sequence[Packet], wanted: Wanted) -> None:
        """Write what is wanted of these packets, which lie in `content`.

        Raises:
            av.FFmpegError: a packet cannot be decoded.
            UnfitError: a frame is not what is wanted.
            ValueError: a packet does not lie in the content or is empty, or rows are of another
                size than parts.
        """
        send, receive = self._lib.avcodec_send_packet, self._lib.avcodec_receive_frame
        context, packet_at, packet = self._context, self._packet_at, self._packet
        frame_at, frame, rows = self._frame_at, self._frame, wanted.rows
        put = _putter(self._lib, frame, wanted)

        def take() -> None:
            while (code := receive(context, frame_at)) >= 0:
                if frame.pts in rows:
                    put(rows.pop(frame.pts))
            if code not in _NO_MORE:
                err_check(code)

        start, size = ctypes.cast(c_char_p(content), c_void_p).value or 0, len(content)
        for begin, end, pts in packets:
            if not 0 <= begin < end <= size:
                raise ValueError("a packet outside of its bytes")
            packet.data, packet.size, packet.pts = start + begin, end - begin, pts
            err_check(send(context, packet_at))
            take()
            if not rows:
                return
        err_check(send(context, None))
        take()


def _putter(lib: ctypes.CDLL, frame: _Frame, wanted: Wanted) -> Callable[[int], None]:
    """What writes the wanted part of the frame to a row."""
    _, into_TN, (top, left, height, width), size = wanted
    count, copy = height * width * 3 // 2, lib.av_image_copy_to_buffer
    flat = into_TN.dtype == np.uint8 and into_TN.strides[1] == 1 and into_TN.flags.writeable
    if not flat or into_TN.shape[1:] != (count,):
        raise ValueError(f"rows of {into_TN.shape} for {height}x{width}")
    if min(wanted.part) < 0 or top + height > size[0] or left + width > size[1]:
        raise ValueError(f"a part {wanted.part} of {size}")
    start, line, row_count = into_TN.ctypes.data, into_TN.strides[0], len(into_TN)
    (wanted_height, wanted_width), top_half, left_half = size, top // 2, left // 2
    data, lines, source = frame.data, frame.linesize, (c_void_p * 4)()

    def put(row: int) -> None:
        if (
            frame.format != _YUV420P
            or frame.height != wanted_height
            or frame.width != wanted_width
            or frame.flags & _CORRUPT
            or frame.decode_error_flags
        ):
            found = frame.height, frame.width
            # What was painted over is only in the second, as PyAV knows, too.
            damaged = bool(frame.flags & _CORRUPT or frame.decode_error_flags)
            check(frame.pts, damaged, (found, size), (_name(frame.format), "yuv420p"))
        if not 0 <= row < row_count:
            raise ValueError(f"no row {row}")
        source[0] = data[0] + top * lines[0] + left
        source[1] = data[1] + top_half * lines[1] + left_half
        source[2] = data[2] + top_half * lines[2] + left_half
        # Lines as far apart as the whole frame's become lines without a gap.
        to = start + row * line
        if copy(to, count, source, lines, _YUV420P, width, height, 1) != count:
            raise ValueError(f"a part {wanted.part} with odd sides")

    return put


def _open(lib: ctypes.CDLL, context: c_void_p, decoder: int, extradata: bytes) -> None:
    parameters_at = c_void_p(lib.avcodec_parameters_alloc())
    options = c_void_p()
    if not parameters_at:
        raise MemoryError("none for a decoder's parameters")
    try:
        err_check(lib.avcodec_parameters_from_context(parameters_at, context))
        parameters = _Parameters.from_address(parameters_at.value or 0)
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
