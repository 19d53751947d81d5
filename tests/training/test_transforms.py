import numpy as np
import pytest
import torch

from training.transforms import (
    centre_square,
    looped,
    normalise,
    random_square,
    random_start,
    recolour,
    spread_starts,
    to_batch,
)


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
    assert looped(0, 8, 3) == [0, 1, 2, 0, 1, 2, 0, 1]


def test_a_random_square_reaches_both_corners() -> None:
    frames = numbered(2, 6, 9)
    first = random_square(frames, 4, (0.0, 0.0, 0.9), mirror=True)
    last = random_square(frames, 4, (0.999, 0.999, 0.9), mirror=True)
    np.testing.assert_array_equal(first, frames[:, :4, :4])
    np.testing.assert_array_equal(last, frames[:, 2:, 5:])


def test_a_mirrored_square_is_the_square_mirrored() -> None:
    frames = numbered(2, 6, 9)
    plain = random_square(frames, 4, (0.3, 0.3, 0.9), mirror=True)
    mirrored = random_square(frames, 4, (0.3, 0.3, 0.1), mirror=True)
    np.testing.assert_array_equal(mirrored, plain[:, :, ::-1])


def test_nothing_is_mirrored_where_that_is_off() -> None:
    frames = numbered(2, 6, 9)
    squares = [random_square(frames, 4, (0.3, 0.3, f), mirror=False) for f in (0.1, 0.9)]
    np.testing.assert_array_equal(squares[0], squares[1])


def test_the_papers_centre_crop_is_8_down_and_29_in() -> None:
    frames = numbered(1, 128, 171)
    np.testing.assert_array_equal(centre_square(frames, 112), frames[:, 8:120, 29:141])


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
    found = {
        tuple(int(v) for v in recolour(frames, (i / 6, invert))[0, 0, 0])
        for i in range(6)
        for invert in (0.1, 0.9)
    }
    orders = {(10, 20, 30), (10, 30, 20), (20, 10, 30), (20, 30, 10), (30, 10, 20), (30, 20, 10)}
    assert found == orders | {(255 - a, 255 - b, 255 - c) for a, b, c in orders}
