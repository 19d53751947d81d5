import io
from pathlib import Path

import av
import numpy as np
import pytest

from tests.training.moving_clips import draw_motion, encode
from training import frames
from training.frames import SCALING, SHARP, Frames, StoredVideo, VideoError


def decode_all(content: bytes, height: int, width: int) -> Frames:
    with av.open(io.BytesIO(content), "r") as container:
        return np.stack(
            [
                frame.reformat(width, height, "rgb24", interpolation=SCALING).to_ndarray()
                for frame in container.decode(video=0)
            ]
        )


@pytest.mark.parametrize("b_frames", ["0", "2"])
@pytest.mark.parametrize("start", [0, 5, 11, 12, 13, 25, 32])
def test_frames_from_anywhere_are_those_of_a_sequential_decode(start: int, b_frames: str) -> None:
    content = encode(draw_motion("right", 40, 0), bf=b_frames)
    video = StoredVideo(content)
    numbers = list(range(start, start + 8))
    wanted = decode_all(content, 24, 34)[numbers]
    assert video.num_frames == 40
    np.testing.assert_array_equal(video.frames(numbers, 24, 34), wanted)


def test_frames_may_be_asked_for_in_any_order_and_twice() -> None:
    content = encode(draw_motion("left", 30, 0))
    numbers = [20, 3, 3, 29]
    wanted = decode_all(content, 48, 64)[numbers]
    np.testing.assert_array_equal(StoredVideo(content).frames(numbers, 48, 64), wanted)


def test_sharp_frames_keep_what_smoothing_takes() -> None:
    content = encode(draw_motion("left", 8, 0))
    smooth = StoredVideo(content).frames(range(8), 12, 16)
    sharp = StoredVideo(content).frames(range(8), 12, 16, SHARP)
    with av.open(io.BytesIO(content), "r") as container:
        wanted = [
            frame.reformat(16, 12, "rgb24", interpolation="FAST_BILINEAR").to_ndarray()
            for frame in container.decode(video=0)
        ]
    np.testing.assert_array_equal(sharp, np.stack(wanted))
    assert np.diff(sharp.astype(int), axis=1).std() > np.diff(smooth.astype(int), axis=1).std()


def test_the_frame_rate_is_the_mean_distance_of_frames() -> None:
    assert StoredVideo(encode(draw_motion("left", 30, 0), fps=24)).fps == pytest.approx(24)
    assert StoredVideo(encode(draw_motion("left", 1, 0))).fps == 1


@pytest.mark.parametrize("content", [b"", b"<html>", bytes(4096)])
def test_what_is_no_mp4_is_refused(content: bytes) -> None:
    with pytest.raises(VideoError, match="not an mp4 video"):
        StoredVideo(content)


def test_frames_without_a_size_are_refused() -> None:
    content = bytearray(encode(draw_motion("left", 5, 0)))
    # Width and height stand 28 bytes behind the name of the entry.
    at = content.index(b"avc1", content.index(b"stsd")) + 28
    assert content[at : at + 4] == bytes([0, 64, 0, 48])
    content[at : at + 2] = bytes(2)
    with pytest.raises(VideoError, match="an mp4 whose frames are 0x48"):
        StoredVideo(bytes(content))


def test_a_playlist_opens_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "other.mp4").write_bytes(encode(draw_motion("left", 5, 0)))
    playlist = f"ffconcat version 1.0\nfile {tmp_path}/other.mp4\n"
    with pytest.raises(VideoError, match="not an mp4 video"):
        StoredVideo(playlist.encode())


def test_a_sound_file_is_refused() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
        container.mux(stream.encode())
    with pytest.raises(VideoError, match="not an mp4 video"):
        StoredVideo(file.getvalue())


def test_a_frame_that_does_not_decode_is_named() -> None:
    content = bytearray(encode(draw_motion("left", 24, 0)))
    start = content.index(b"mdat") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    content[start : start + length] = bytes(length)
    with pytest.raises(VideoError, match="cannot be decoded|no picture for frame 0"):
        StoredVideo(bytes(content)).frames(range(8), 24, 32)


@pytest.mark.parametrize(("limit", "early"), [(1 << 20, 3), (1000, 0)])
def test_packets_are_read_ahead_unless_they_are_many(
    monkeypatch: pytest.MonkeyPatch, limit: int, early: int
) -> None:
    monkeypatch.setattr(frames, "_AHEAD_BYTES", limit)
    source = Watched(encode(draw_motion("left", 60, 0)))
    video, numbers = StoredVideo(source), [3, 30, 58]
    source.reads.clear()
    rows = np.zeros((3, 48 * 64 * 3 // 2), np.uint8)
    put = video.planes(numbers, (0, 0, 48, 64))
    assert len(source.reads) == early
    for _ in range(2):
        put(rows)
    assert len(source.reads) == (3 if early else 6)
    for row, number in zip(rows, numbers, strict=True):
        alone = np.zeros((1, rows.shape[1]), np.uint8)
        video.planes([number], (0, 0, 48, 64))(alone)
        np.testing.assert_array_equal(row, alone[0])


class Watched:
    """A file that knows what was read of it."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size = content, len(content)
        self.reads: list[tuple[int, int]] = []

    def read(self, offset: int, length: int) -> bytes:
        self.reads.append((offset, length))
        return self.content[offset : offset + length]


def test_a_file_that_became_shorter_is_named_as_such() -> None:
    source = Watched(encode(draw_motion("left", 24, 0)))
    video = StoredVideo(source)
    source.content = source.content[: len(source.content) // 2]
    with pytest.raises(VideoError, match="the file ends before its index says"):
        video.frames(range(24), 24, 32)
