import numpy as np
import pytest

from dedup.borders import solid_box, written_box
from dedup.hashing import WHOLE, Box

SIDE = 128


def noise(count: int = 4) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, SIDE, SIDE), dtype=np.uint8)


@pytest.mark.parametrize("colour", [0, 128, 255])
def test_letterbox_of_any_colour_is_cut_off_with_the_blended_line(colour):
    frames = noise()
    frames[:, :19] = frames[:, -15:] = colour
    assert solid_box(frames) == Box(20 / 128, 112 / 128, 0.0, 1.0)


def test_bars_on_all_four_sides_are_cut_off():
    frames = noise()
    frames[:, :15] = frames[:, -15:] = 0
    frames[:, :, :31] = frames[:, :, -31:] = 0
    assert solid_box(frames) == Box(16 / 128, 112 / 128, 32 / 128, 96 / 128)


def test_bars_in_bars_of_another_colour_are_cut_off_whichever_way_round_they_lie():
    frames = noise()
    frames[:, :, :39] = frames[:, :, -39:] = 255
    frames[:, :15] = frames[:, -15:] = 0
    picture = Box(16 / 128, 112 / 128, 40 / 128, 88 / 128)
    assert solid_box(frames) == picture
    assert solid_box(frames.transpose(0, 2, 1)) == Box(*picture[2:], *picture[:2])
    frames[:, :, :10] = frames[:, :, -10:] = 0
    assert solid_box(frames) == picture


def test_bars_inside_a_cut_out_piece_are_cut_off():
    frames = noise()
    frames[:, :, :10] = 0
    assert solid_box(frames[:, :64, :100]) == Box(0.0, 1.0, 11 / 100, 1.0)


def test_compression_noise_does_not_hide_a_bar_and_brighter_noise_does():
    frames = noise()
    frames[:, :31] = np.random.default_rng(4).integers(20, 34, (4, 31, SIDE))
    assert solid_box(frames) == Box(0.25, 1.0, 0.0, 1.0)
    frames[:, :31] = np.random.default_rng(4).integers(20, 80, (4, 31, SIDE))
    assert solid_box(frames) == WHOLE


def test_a_picture_without_bars_stays_whole():
    assert solid_box(noise()) == WHOLE
    assert written_box(noise()) == WHOLE


def test_a_black_video_and_one_that_is_nearly_all_bar_stay_whole():
    black = np.zeros((3, SIDE, SIDE), np.uint8)
    speck = black.copy()
    speck[:, 60:70, 60:70] = 200
    for frames in (black, speck):
        assert solid_box(frames) == WHOLE
        assert written_box(frames) == WHOLE


def test_black_frames_at_the_start_are_no_bars():
    frames = noise()
    frames[:2] = 0
    assert solid_box(frames) == WHOLE


def test_a_bar_with_text_is_cut_off_by_the_tolerant_rule_alone():
    frames = noise()
    frames[:, :39] = 255
    frames[:, 10:25, 20:100] = np.random.default_rng(5).integers(0, 200, (15, 80))
    assert solid_box(frames) == Box(11 / 128, 1.0, 0.0, 1.0)
    assert written_box(frames) == Box(40 / 128, 1.0, 0.0, 1.0)


def test_a_written_bar_ends_at_its_last_line_that_is_mostly_bar():
    frames = noise()
    frames[:, :20] = 0
    frames[:, 20:40, :64] = 0
    assert written_box(frames) == Box(21 / 128, 1.0, 0.0, 1.0)
