import ctypes
import mmap
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.training.moving_clips import draw_motion, encode
from training.decoders import PyAVDecoder, UnfitError, Wanted, check_frame, put_planes
from training.frames import StoredVideo


def picture(pixels: str = "yuv420p") -> av.VideoFrame:
    """16x8; Y counts up, U and V are their own numbers."""
    planes = [np.arange(128), np.arange(32) + 130, np.arange(32) + 180]
    flat = np.concatenate(planes).astype(np.uint8).reshape(12, 16)
    frame = av.VideoFrame.from_ndarray(flat, format="yuv420p")
    frame.pts, frame.time_base = 7, Fraction(1, 25)
    return frame.reformat(format=pixels) if pixels != "yuv420p" else frame


def test_a_part_of_a_picture_is_its_planes_one_after_the_other() -> None:
    row = np.zeros(4 * 6 * 3 // 2, np.uint8)
    put_planes(picture(), (2, 4, 4, 6), row)
    y = np.arange(128).reshape(8, 16)[2:6, 4:10]
    half = np.arange(32).reshape(4, 8)[1:3, 2:5]
    wanted = [y.ravel(), half.ravel() + 130, half.ravel() + 180]
    np.testing.assert_array_equal(row, np.concatenate(wanted))


def test_what_is_wrong_with_a_frame_is_said() -> None:
    check_frame(picture(), (8, 16), "yuv420p")
    check_frame(picture("yuv444p"), (8, 16))
    with pytest.raises(UnfitError, match="frame 7 is 16x8, not as the index says"):
        check_frame(picture(), (16, 8))
    with pytest.raises(UnfitError, match="pixels as yuv444p, wanted yuv420p"):
        check_frame(picture("yuv444p"), (8, 16), "yuv420p")


def test_only_wanted_frames_are_written() -> None:
    video = StoredVideo(encode(draw_motion("left", 20, 0), bf="0"))
    span, packets = video._packets(0, 19)
    decoder = PyAVDecoder(video._table.codec, video._table.extradata)
    rows = np.zeros((3, 48 * 64 * 3 // 2), np.uint8)
    left = {4: 2, 8: 0}
    decoder.planes(video._read(*span), packets, Wanted(left, rows, (0, 0, 48, 64), (48, 64)))
    assert not left
    assert not rows[1].any()
    wanted = np.zeros((2, rows.shape[1]), np.uint8)
    video.planes([8, 4], (0, 0, 48, 64))(wanted)
    np.testing.assert_array_equal(rows[[0, 2]], wanted)


@pytest.mark.parametrize("codec", ["libx264", "libx265"])
def test_a_decoder_reads_nothing_behind_a_packet(codec: str) -> None:
    options = {"x265-params": "log-level=none:bframes=0"} if codec == "libx265" else {"bf": "0"}
    video = StoredVideo(encode(draw_motion("left", 4, 0), codec=codec, **options))
    (start, length), packets = video._packets(0, 3)
    content = video._read(start, length)
    with mmap.mmap(-1, 3 * mmap.PAGESIZE) as memory:
        # The bytes end where the memory does that may be read.
        at = 2 * mmap.PAGESIZE - length
        assert at > 0
        memory[at : at + length] = content
        edge = ctypes.addressof(ctypes.c_char.from_buffer(memory, 2 * mmap.PAGESIZE))
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(edge), mmap.PAGESIZE, 0) == 0
        view = memoryview(memory)[at : at + length]
        decoder = PyAVDecoder(video._table.codec, video._table.extradata)
        assert len(list(decoder.decode(view, packets))) == 4  # type: ignore[arg-type]
        view.release()
