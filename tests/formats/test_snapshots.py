import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from formats.snapshots import Snapshot, take_snapshot
from formats.video import DecodeError, VideoOptions, decode_gray, encode_frames
from tests.formats.generated_video import bars

OPTIONS = VideoOptions()


@pytest.fixture(scope="module")
def bar_mp4(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "bar.mp4"
    encode_frames(str(path), bars(75, 240, 320), fps=25)
    return path


def gray(frame: Snapshot) -> np.ndarray:
    with Image.open(io.BytesIO(frame.jpeg)) as picture:
        return np.asarray(picture.convert("L").resize((128, 128))).astype(int)


def nearest(frame: Snapshot, frames: np.ndarray) -> int:
    return int(np.abs(frames - gray(frame)).mean(axis=(1, 2)).argmin())


@pytest.mark.parametrize("tick", range(6))
def test_the_picture_is_the_frame_that_was_hashed_at_that_second(bar_mp4, tick):
    frames, seconds, _, _ = decode_gray(str(bar_mp4), OPTIONS)
    frame = take_snapshot(str(bar_mp4), second=float(seconds[tick]), height=60, options=OPTIONS)
    with Image.open(io.BytesIO(frame.jpeg)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (80, 60))
    assert nearest(frame, frames) == tick
    assert np.array_equal(frame.gray_THW, frames)


def test_a_slide_that_stays_on_show_is_the_picture_of_every_second_of_it(tmp_path):
    path = str(tmp_path / "slides.mp4")
    slides = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    encode_frames(path, slides.repeat(12, 1).repeat(12, 2), fps=1)
    frames, seconds, _, _ = decode_gray(path, OPTIONS)
    shown = [
        nearest(take_snapshot(path, second=float(s), height=96, options=OPTIONS), frames[::2])
        for s in seconds
    ]
    assert shown == [0, 0, 1, 1, 2, 2, 3, 3][: len(shown)]
    assert len(shown) >= 7


def test_far_into_a_long_video_only_what_is_around_is_decoded(tmp_path):
    path = str(tmp_path / "long.mp4")
    slides = np.random.default_rng(0).integers(0, 255, (50, 8, 8, 3), np.uint8)
    frames = (np.kron(slide, np.ones((12, 12, 1), np.uint8)) for slide in slides.repeat(5, 0))
    encode_frames(path, frames, fps=5)
    whole, _, _, _ = decode_gray(path, OPTIONS)
    frame = take_snapshot(path, second=44.5, height=96, options=OPTIONS)
    assert nearest(frame, whole) in (88, 89)
    assert len(frame.gray_THW) == 30  # 10 s before, 5 s after, two a second


def test_a_picture_has_the_shape_in_which_it_is_shown(tmp_path, bar_mp4):
    turned = tmp_path / "turned.mp4"
    encode_frames(str(turned), bars(25, 320, 240), fps=25)
    frame = take_snapshot(str(turned), second=0.0, height=64, options=OPTIONS)
    with Image.open(io.BytesIO(frame.jpeg)) as picture:
        assert picture.size == (48, 64)


def test_the_same_frame_gives_the_same_bytes(bar_mp4):
    first, again = (
        take_snapshot(str(bar_mp4), second=1.0, height=60, options=OPTIONS) for _ in range(2)
    )
    assert first.jpeg == again.jpeg


def test_what_has_no_frame_there_is_refused(bar_mp4, tmp_path):
    with pytest.raises(DecodeError):
        take_snapshot(str(bar_mp4), second=9.0, height=60, options=OPTIONS)
    page = tmp_path / "page.mp4"
    page.write_bytes(b"<html>")
    with pytest.raises(DecodeError, match="not_video"):
        take_snapshot(str(page), second=0.0, height=60, options=OPTIONS)
    with pytest.raises(FileNotFoundError):
        take_snapshot(str(tmp_path / "gone.mp4"), second=0.0, height=60, options=OPTIONS)
