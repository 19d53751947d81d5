import ctypes

import av
import pytest

from training import ffmpeg_abi, frames, libavcodec


def test_the_pinned_library_is_known() -> None:
    # If not: compare the structures with the headers of that version of FFmpeg, and name it.
    assert ffmpeg_abi.library() is not None, av.library_versions
    assert frames._PLANES is libavcodec.Decoder


@pytest.mark.parametrize("name", ["libavcodec", "libavutil"])
def test_a_library_of_another_version_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setitem(av.library_versions, name, (1, 0, 0))
    assert ffmpeg_abi.library.__wrapped__() is None


def test_fields_are_read_and_written_at_once_as_one_by_one() -> None:
    frame = ffmpeg_abi.Frame()
    names = ("data_y", "data_u", "data_v", "linesize_y", "linesize_u", "linesize_v")
    names += ("width", "height", "format", "pts", "flags", "decode_error_flags")
    for number, name in enumerate(names):
        setattr(frame, name, (-1) ** number * (number + 1) if number > 2 else number + 1)
    found = ffmpeg_abi.FOUND.unpack_from(frame)
    assert found == (1, 2, 3, -4, 5, -6, 7, -8, 9, -10, 11, -12)
    assert found[ffmpeg_abi.PTS] == frame.pts == -10
    assert found[ffmpeg_abi.FLAGS] == frame.flags == 11
    assert found[ffmpeg_abi.ERRORS] == frame.decode_error_flags == -12
    packet = ffmpeg_abi.Packet()
    ffmpeg_abi.SENT.pack_into(packet, 0, -1, -(1 << 63), 1 << 47, (1 << 31) - 1)
    written = [getattr(packet, name) for name in ("buf", "pts", "dts", "data", "size")]
    assert written == [None, -1, -(1 << 63), 1 << 47, (1 << 31) - 1]
    assert ffmpeg_abi.SENT.size == ffmpeg_abi.Packet.size.offset + ctypes.sizeof(ctypes.c_int)
