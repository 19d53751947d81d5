import numpy as np
import pytest

from dedup.hashing import Box
from dedup.insets import inset_boxes


def moving(rng_seed: int, count: int = 12, side: int = 128) -> np.ndarray:
    """A camera that pans aslant over hills of gray."""
    rng = np.random.default_rng(rng_seed)
    y, x = np.mgrid[0 : side + 8 * count, 0 : side + 8 * count]
    plain = np.full(y.shape, 128.0)
    for _ in range(12):
        down, across, phase = rng.uniform(-0.3, 0.3), rng.uniform(-0.3, 0.3), rng.uniform(0, 6)
        plain += 16 * np.sin(down * y + across * x + phase)
    views = [plain[8 * i : 8 * i + side, 8 * i : 8 * i + side] for i in range(count)]
    return np.clip(views, 0, 255).astype(np.uint8)


def with_inset(frames: np.ndarray, top: int, bottom: int, left: int, right: int) -> np.ndarray:
    frames = frames.copy()
    frames[:, top:bottom, left:right] = moving(99, len(frames))[:, : bottom - top, : right - left]
    return frames


def pixels(box: Box, side: int = 128) -> list[float]:
    return [edge * side for edge in box]


@pytest.mark.parametrize(
    "place",
    [(6, 70, 5, 69), (32, 96, 32, 96), (32, 128, 32, 128), (0, 60, 40, 100), (80, 120, 8, 48)],
)
def test_a_video_over_another_one_is_found_where_it_lies(place):
    best = inset_boxes(with_inset(moving(1), *place), 1.0)[0]
    assert pixels(best) == pytest.approx(place, abs=1.01)


def test_of_two_videos_side_by_side_each_is_found():
    found = inset_boxes(with_inset(moving(1), 0, 128, 64, 128), 1.0)
    assert sorted(pixels(box) for box in found[:2]) == [
        pytest.approx([0, 128, 0, 64], abs=1.01),
        pytest.approx([0, 128, 64, 128], abs=1.01),
    ]


def test_of_two_videos_one_above_the_other_each_is_found():
    found = inset_boxes(with_inset(moving(1), 76, 128, 0, 128), 1.0)
    assert sorted(pixels(box) for box in found[:2]) == [
        pytest.approx([0, 76, 0, 128], abs=1.01),
        pytest.approx([76, 128, 0, 128], abs=1.01),
    ]


@pytest.mark.parametrize("rng_seed", range(4))
def test_a_video_that_fills_its_frame_holds_no_inset(rng_seed):
    assert inset_boxes(moving(rng_seed), 1.0) == ()


def test_an_object_that_moves_is_no_inset():
    frames = moving(1)
    for i, frame in enumerate(frames):
        frame[20:90, 4 * i : 4 * i + 50] = 255
    assert all(box.right - box.left > 0.9 for box in inset_boxes(frames, 1.0))


def test_what_is_shown_for_a_moment_is_no_inset():
    frames = moving(1, 20)
    frames[:6] = with_inset(frames, 20, 90, 30, 100)[:6]
    assert inset_boxes(frames, 1.0) == ()


def test_a_bar_with_a_caption_is_no_inset():
    frames = moving(1)
    frames[:, :36] = 255
    frames[:, 12:20, 20:100:3] = 0
    assert [pixels(box) for box in inset_boxes(frames, 1.0)] == [[36, 128, 0, 128]]


def test_of_many_videos_on_a_page_three_are_named_that_differ():
    frames = np.zeros((12, 128, 128), np.uint8)
    for i, (top, left) in enumerate(np.ndindex(3, 3)):
        frames[:, 42 * top :, 42 * left :][:, :40, :40] = moving(i, 12, 40)
    assert len(set(inset_boxes(frames, 1.0))) == 3


def test_an_inset_of_half_size_frames_is_found():
    frames = with_inset(moving(1), 32, 96, 32, 112).reshape(12, 64, 2, 64, 2).mean((2, 4))
    best = inset_boxes(frames.astype(np.uint8), 1.0)[0]
    assert pixels(best, 64) == pytest.approx((16, 48, 16, 56), abs=1.01)


def test_a_long_video_is_looked_at_all_over():
    frames = moving(1, 16)
    late = np.concatenate([frames, *[with_inset(frames, 20, 90, 30, 100)] * 3])
    assert pixels(inset_boxes(late, 1.0)[0]) == pytest.approx((20, 90, 30, 100), abs=1.01)


def test_a_video_without_frames_holds_no_inset():
    assert inset_boxes(np.zeros((0, 128, 128), np.uint8), 1.0) == ()


@pytest.mark.parametrize(("aspect", "found"), [(1.0, True), (16 / 9, False), (0.15, False)])
def test_a_box_of_a_shape_that_no_video_has_is_no_inset(aspect, found):
    """64 x 32 of 128 x 128 pixels: 2:1 of a square video, 3.6:1 of a wide one."""
    frames = with_inset(moving(1), 40, 72, 20, 84)
    strip = pytest.approx((40, 72, 20, 84), abs=1.01)
    assert (strip in [pixels(box) for box in inset_boxes(frames, aspect)]) == found
