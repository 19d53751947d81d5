"""PyAV's own FFmpeg libraries, and which of their structures and functions are known here.

Of a structure only the fields declared below may be touched, and of a version that is not named in
`_KNOWN` none.
"""

import ctypes
import struct
from ctypes import POINTER, Structure, c_char_p, c_int, c_int64, c_size_t, c_uint32, c_void_p
from functools import lru_cache
from typing import Any

import av
import av.codec.context

_KNOWN = {"libavcodec": 62, "libavutil": 60}
"""FFmpeg 8: within a major version its structures only grow at their end."""


class Packet(Structure):
    """The first fields of an AVPacket."""

    _fields_ = (
        ("buf", c_void_p),
        ("pts", c_int64),
        ("dts", c_int64),
        ("data", c_void_p),
        ("size", c_int),
    )


class Parameters(Structure):
    """The first fields of an AVCodecParameters."""

    _fields_ = (
        ("codec_type", c_int),
        ("codec_id", c_int),
        ("codec_tag", c_uint32),
        ("extradata", c_void_p),
        ("extradata_size", c_int),
    )


class Frame(Structure):
    """The first fields of an AVFrame."""

    _fields_ = (
        ("data_y", c_void_p),
        ("data_u", c_void_p),
        ("data_v", c_void_p),
        ("data_others", c_void_p * 5),
        ("linesize_y", c_int),
        ("linesize_u", c_int),
        ("linesize_v", c_int),
        ("linesize_others", c_int * 5),
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


def _at_once(structure: type[Structure], *names: str) -> struct.Struct:
    """These integers of it, in their order: one by one, ctypes needs a call's time for each."""
    text, at = "=", 0
    for name in names:
        field = getattr(structure, name)
        text += f"{field.offset - at}x{ {4: 'i', 8: 'q'}[field.size] }"
        at = field.offset + field.size
    return struct.Struct(text)


SENT = _at_once(Packet, "pts", "dts", "data", "size")
"""What is written of a packet; what lies before it becomes 0."""
FOUND = _at_once(
    Frame,
    *("data_y", "data_u", "data_v", "linesize_y", "linesize_u", "linesize_v"),
    *("width", "height", "format", "pts", "flags", "decode_error_flags"),
)
PTS, FLAGS, ERRORS = 9, 10, 11
"""Where they are in what `FOUND` gives."""

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
