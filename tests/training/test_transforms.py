import numpy as np
import pytest
import torch

from training.clip_options import ClipOptions
from training.transforms import (
    Cut,
    centre_cut,
    cut_out,
    frame_numbers,
    normalise,
    random_cut,
    random_start,
    recoloured,
    scaled_size,
    span,
    spread_starts,
    to_batch,
)

SMALL = ClipOptions(height=20, width=23, crop=16)


def numbered(frames: int, height: int, width: int) -> np.ndarray:
    """Frames whose pixels say where they are: [t, y, x]."""
    return np.stack(
        np.meshgrid(*map(np.arange, (frames, height, width)), indexing="ij"), -1
    ).astype(np.uint8)


@pytest.mark.parametrize(
    ("available", "wanted", "fraction", "start"),
    [(20, 8, 0.0, 0), (20, 8, 0.999, 12), (20, 8, 0.5, 6), (8, 8, 0.999, 0), (3, 8, 0.999, 0)],
)
def test_a_random_clip_starts_anywhere_it_fits(
    available: int, wanted: int, fraction: float, start: int
) -> None:
    assert random_start(available, wanted, fraction) == start


def test_ten_test_clips_reach_from_the_first_frame_to_the_last() -> None:
    assert spread_starts(300, 32, 10) == [0, 29, 59, 89, 119, 148, 178, 208, 238, 268]


def test_a_single_test_clip_is_the_middle() -> None:
    assert spread_starts(20, 8, 1) == [6]


def test_test_clips_of_a_short_video_all_start_at_its_first_frame() -> None:
    assert spread_starts(5, 8, 3) == [0, 0, 0]


def test_a_short_video_starts_over() -> None:
    assert frame_numbers(0, 8, 1.0, 3) == [0, 1, 2, 0, 1, 2, 0, 1]
    assert frame_numbers(0, 4, 2.0, 5) == [0, 2, 4, 1]


@pytest.mark.parametrize(("pace", "frames"), [(1.0, 8), (2.0, 15), (2.5, 18), (0.5, 4)])
def test_the_span_of_a_clip_is_from_its_first_frame_to_its_last(pace: float, frames: int) -> None:
    numbers = frame_numbers(0, 8, pace, 1000)
    assert span(8, pace) == frames == numbers[-1] + 1


@pytest.mark.parametrize(
    ("size", "scaled"),
    [((128, 228), (128, 228)), ((240, 320), (128, 171)), ((320, 240), (171, 128)),
     ((64, 64), (128, 128)), ((96, 100), (128, 133))],
)  # fmt: skip
def test_the_short_edge_is_scaled_and_the_aspect_ratio_kept(
    size: tuple[int, int], scaled: tuple[int, int]
) -> None:
    assert scaled_size(*size, ClipOptions(scale="short_edge")) == scaled
    assert scaled_size(*size, ClipOptions()) == (128, 171)


def test_a_random_square_reaches_both_corners() -> None:
    frames = numbered(2, 20, 23)
    first = random_cut((20, 23), SMALL, (0.0, 0.0, 0.9))
    last = random_cut((20, 23), SMALL, (0.999, 0.999, 0.9))
    np.testing.assert_array_equal(cut_out(frames, first, 16), frames[:, :16, :16])
    np.testing.assert_array_equal(cut_out(frames, last, 16), frames[:, 4:, 7:])


def test_a_mirrored_square_is_the_square_mirrored() -> None:
    frames = numbered(2, 20, 23)
    plain, mirrored = (random_cut((20, 23), SMALL, (0.3, 0.3, f)) for f in (0.9, 0.1))
    np.testing.assert_array_equal(
        cut_out(frames, mirrored, 16), cut_out(frames, plain, 16)[:, :, ::-1]
    )


def test_nothing_is_mirrored_where_that_is_off() -> None:
    options = ClipOptions(height=20, width=23, crop=16, mirror=False)
    one, other = (random_cut((20, 23), options, (0.3, 0.3, f)) for f in (0.9, 0.1))
    assert one == other


def test_the_papers_centre_crop_is_8_down_and_29_in() -> None:
    assert centre_cut((128, 171), ClipOptions()) == Cut(128, 171, 8, 29, False)
    frames = numbered(1, 128, 171)
    square = cut_out(frames, centre_cut((128, 171), ClipOptions()), 112)
    np.testing.assert_array_equal(square, frames[:, 8:120, 29:141])


def test_normalising_uses_the_authors_constants_and_turns_the_axes() -> None:
    pixels = torch.zeros(2, 3, 4, 5, 3, dtype=torch.uint8)
    pixels[1, 2, 3, 4] = torch.tensor([255, 128, 0])
    frames = normalise(pixels, "colour")
    assert (frames.shape, frames.dtype) == ((2, 3, 3, 4, 5), torch.float32)
    wanted = [(255 - 110.201) / 58.1489, (128 - 100.64) / 56.4701, (0 - 95.9966) / 55.3324]
    torch.testing.assert_close(frames[1, :, 2, 3, 4], torch.tensor(wanted))
    assert frames.is_contiguous(memory_format=torch.channels_last_3d)


def test_a_batch_of_mirrored_clips_can_be_a_tensor() -> None:
    clips = [numbered(2, 4, 4)[:, :, ::-1], numbered(2, 4, 4)]
    batch = to_batch(clips)
    assert (batch.shape, batch.dtype) == ((2, 2, 4, 4, 3), torch.uint8)
    np.testing.assert_array_equal(batch[0].numpy(), clips[0])


def test_motion_keeps_what_moves_and_nothing_of_what_stands_still() -> None:
    pixels = torch.full((2, 4, 6, 6, 3), 90, dtype=torch.uint8)
    pixels[0, :, 3:] = 200
    pixels[0, 2, 0, 0] = 190
    frames = normalise(pixels, "motion")
    assert frames[0, :, :, 0, 0].tolist() == [[pytest.approx(v) for v in row] for row in [
        [-25 / (1 + deviation(pixels[0])), -25 / (1 + deviation(pixels[0])),
         75 / (1 + deviation(pixels[0])), -25 / (1 + deviation(pixels[0]))]] * 3]  # fmt: skip
    assert not frames[0, :, :, 1:].any()
    assert not frames[1].any()


def deviation(clip_THWC: torch.Tensor) -> float:
    clip = clip_THWC.float()
    return float((clip - clip.mean(0)).std())


def test_recolouring_gives_every_order_of_channels_and_its_negative() -> None:
    frames = np.full((1, 1, 1, 3), (10, 20, 30), dtype=np.uint8)
    whole = Cut(1, 1, 0, 0, False)
    found = {
        tuple(int(v) for v in cut_out(frames, recoloured(whole, (i / 6, invert)), 1)[0, 0, 0])
        for i in range(6)
        for invert in (0.1, 0.9)
    }
    orders = {(10, 20, 30), (10, 30, 20), (20, 10, 30), (20, 30, 10), (30, 10, 20), (30, 20, 10)}
    assert found == orders | {(255 - a, 255 - b, 255 - c) for a, b, c in orders}
