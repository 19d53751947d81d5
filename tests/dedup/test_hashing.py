import imagehash
import numpy as np
import pytest
from PIL import Image

from dedup.hashing import (
    WHOLE,
    Box,
    dct_coefficients,
    hash_frames,
    is_textured,
    mirrored,
    mirrored_codes,
    quarter_turned,
    to_codes,
    upside_down,
)


def landscapes(count: int, side: int) -> np.ndarray:
    """Noise with the spectrum of photographs: amplitude falls as 1 / frequency."""
    frequencies = np.fft.fftfreq(side)
    radius = np.hypot(frequencies[:, None], frequencies[None]) + 1 / side
    noise = np.random.default_rng(7).standard_normal((count, side, side))
    images = np.fft.ifft2(np.fft.fft2(noise) / radius).real
    images /= images.std(axis=(1, 2), keepdims=True)
    return np.clip(128 + 50 * images, 0, 255).astype(np.uint8)


def differing_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.bitwise_count(a ^ b).sum(axis=1)


@pytest.mark.parametrize(("side", "most_bits"), [(64, 0), (128, 2)])
def test_hash_is_the_one_of_imagehash(side, most_bits):
    frames = landscapes(100, side)
    theirs = [imagehash.phash(Image.fromarray(frame), hash_size=16).hash for frame in frames]
    packed = np.packbits(np.array(theirs).reshape(100, 256), axis=1)
    assert differing_bits(hash_frames(frames), packed).max() <= most_bits


def test_hash_of_a_frame_does_not_depend_on_the_frames_beside_it():
    frames = landscapes(300, 64)
    one_by_one = np.concatenate([hash_frames(frame[None]) for frame in frames])
    assert np.array_equal(hash_frames(frames), one_by_one)


def test_no_frames_have_no_hashes():
    assert hash_frames(np.empty((0, 64, 64), np.uint8)).shape == (0, 32)


def test_coefficients_are_whole_numbers_so_that_every_machine_sums_them_alike():
    white = np.full((1, 128, 128), 255, np.uint8)
    for frames in (white, landscapes(3, 128)):
        for box in (WHOLE, Box(0.1, 0.9, 0.3, 0.61)):
            coefficients = dct_coefficients(frames, box)
            assert np.array_equal(coefficients, np.rint(coefficients))
            assert np.abs(coefficients).max() < 2**53


@pytest.mark.parametrize("side", [64, 128])
def test_turned_coefficients_are_those_of_the_turned_frames(side):
    frames = landscapes(20, side)
    coefficients = dct_coefficients(frames, WHOLE)
    assert np.array_equal(to_codes(mirrored(coefficients)), hash_frames(frames[:, :, ::-1]))
    turned = np.rot90(frames, axes=(1, 2))
    assert np.array_equal(to_codes(quarter_turned(coefficients)), hash_frames(turned))


def test_upside_down_codes_are_near_those_of_flipped_frames_and_turn_back():
    frames = landscapes(100, 64)
    codes = hash_frames(frames)
    far = differing_bits(upside_down(codes), hash_frames(frames[:, ::-1]))
    assert far.mean() < 16
    assert far.max() < 40
    assert np.array_equal(upside_down(upside_down(codes)), codes)


def test_mirrored_codes_are_near_those_of_mirrored_frames_and_turn_back():
    frames = landscapes(100, 64)
    codes = hash_frames(frames)
    far = differing_bits(mirrored_codes(codes), hash_frames(frames[:, :, ::-1]))
    assert far.mean() < 16
    assert far.max() < 40
    assert np.array_equal(mirrored_codes(mirrored_codes(codes)), codes)


def test_a_box_hashes_like_the_frame_that_holds_nothing_else():
    frames = landscapes(20, 128)
    cut = dct_coefficients(frames, Box(0.25, 0.75, 0.0, 0.5))
    alone = hash_frames(np.ascontiguousarray(frames[:, 32:96, 0:64]))
    assert np.array_equal(to_codes(cut), alone)


def test_black_grey_and_nearly_flat_frames_have_no_texture():
    ramp = np.tile(np.arange(64, dtype=np.uint8) // 16 + 100, (64, 1))
    flat = np.stack([np.zeros((64, 64), np.uint8), np.full((64, 64), 128, np.uint8), ramp])
    frames = np.concatenate([flat, landscapes(2, 64)])
    textured = is_textured(dct_coefficients(frames, WHOLE))
    assert textured.tolist() == [False, False, False, True, True]


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((1, 64, 64), np.float32),
        np.zeros((64, 64), np.uint8),
        np.zeros((1, 64, 128), np.uint8),
        np.zeros((1, 32, 32), np.uint8),
    ],
)
def test_other_arrays_than_small_square_gray_frames_are_refused(frames):
    with pytest.raises(ValueError, match="frames must be uint8"):
        hash_frames(frames)
