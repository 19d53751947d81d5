"""256-bit perceptual hashes of gray frames, and of the same frames turned over.

A hash says which of the 16 x 16 lowest frequencies of the frame, scaled to 64 x 64, lie above their
median: the definition of `imagehash.phash(hash_size=16)`, bits in row-major order. Cutting a box,
scaling and the cosine transform are one matrix here. Its weights are whole numbers, so every sum
is exact in float64 and a hash does not depend on the machine, its BLAS or the size of a batch.
"""

from functools import lru_cache
from math import ceil, floor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Codes = npt.NDArray[np.uint8]
Frames = npt.NDArray[np.uint8]
Coefficients = npt.NDArray[np.float64]

CODE_BYTES = 32
MIN_TEXTURE = 2.0
"""Median |coefficient| of an orthonormal transform of 0..255 luma; frames below it match by chance.

Measured: without it black and flat frames gave all accidental hits within 40 bits.
"""
_KEPT = 16
_SCALED = 64
_LANCZOS_LOBES = 3
_SIDES = (64, 128)
_FRAMES_AT_ONCE = 256
_ROWS_AT_ONCE = 64
"""64 x 128 by 128 x 16: half of the size from which OpenBLAS shares the work among threads."""
_UNIT = 2**18
"""Weight 1.0 as a whole number: 255 * (11 * _UNIT)^2 < 2^53 keeps the sums exact."""


class Box(NamedTuple):
    """A rectangle inside a frame, in fractions of its height and width."""

    top: float
    bottom: float
    left: float
    right: float


WHOLE = Box(0.0, 1.0, 0.0, 1.0)


def hash_frames(gray_THW: Frames) -> Codes:
    """The hash of each whole frame, uint8 [T, 32], flat frames included.

    Frames are 64 x 64 or 128 x 128; the hash is within 2 bits of `imagehash.phash(hash_size=16)`.

    Raises:
        ValueError: the array is not uint8 [T, 64, 64] or [T, 128, 128].
    """
    return to_codes(dct_coefficients(gray_THW, WHOLE))


def dct_coefficients(gray_THW: Frames, box: Box) -> Coefficients:
    """The 16 x 16 lowest frequencies of what the box holds of each frame, [T, 16, 16].

    They are whole numbers; `_UNIT ** 2` of them are one unit of luma.

    Raises:
        ValueError: the array is not uint8 [T, 64, 64] or [T, 128, 128].
    """
    check_frames(gray_THW)
    side = gray_THW.shape[1]
    down = _transform(side, box.top * side, box.bottom * side)
    across = _transform(side, box.left * side, box.right * side)
    # Beside the box all weights are zero: what lies there need not be multiplied.
    rows, columns = _pixels(side, box.top, box.bottom), _pixels(side, box.left, box.right)
    down, across = down[:, rows], across[:, columns]
    out = np.empty((len(gray_THW), _KEPT, _KEPT))
    for start in range(0, len(gray_THW), _FRAMES_AT_ONCE):
        some = gray_THW[start : start + _FRAMES_AT_ONCE, rows, columns].astype(np.float64)
        lines = _product(some.reshape(-1, some.shape[2]), across.T)
        out[start : start + len(some)] = down @ lines.reshape(len(some), -1, _KEPT)
    return out


def _product(rows: npt.NDArray[np.float64], by: npt.NDArray[np.float64]) -> Coefficients:
    """`rows @ by`, in parts for which BLAS wakes no threads: those spin for longer than they work.

    Woken, they take 30 times the CPU time on two cores. All numbers are whole, so the parts give
    what the whole would.
    """
    out = np.empty((len(rows), by.shape[1]))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        np.matmul(rows[start : start + _ROWS_AT_ONCE], by, out=out[start : start + _ROWS_AT_ONCE])
    return out


def to_codes(coefficients: Coefficients) -> Codes:
    """Coefficients [T, 16, 16] as hashes, uint8 [T, 32]."""
    flat = coefficients.reshape(-1, _KEPT * _KEPT)
    middle = np.partition(flat, (127, 128), axis=1)[:, 127:129]
    return np.packbits(flat > middle.mean(axis=1, keepdims=True), axis=1)


def is_textured(coefficients: Coefficients) -> npt.NDArray[np.bool_]:
    """Which frames show enough to be told from others, bool [T]."""
    sizes = np.abs(coefficients * _orthonormal()).reshape(-1, _KEPT * _KEPT)
    middle = np.partition(sizes, (127, 128), axis=1)[:, 127:129]
    return np.asarray(middle.mean(axis=1) >= MIN_TEXTURE)


def mirrored(coefficients: Coefficients) -> Coefficients:
    """The coefficients of the same frames, left and right swapped."""
    return coefficients * _alternating()


def quarter_turned(coefficients: Coefficients) -> Coefficients:
    """The coefficients of the same frames, turned by 90 degrees counter-clockwise."""
    return coefficients.transpose(0, 2, 1) * _alternating()[:, None]


def upside_down(codes: Codes) -> Codes:
    """The hashes of the same frames with top and bottom swapped, to a few bits.

    Exact would need the coefficients: their median is taken as zero here. Doing it twice gives
    the codes back, and distances between two codes stay as they were.
    """
    odd_rows = np.tile(np.array([0, 0, 255, 255], np.uint8), CODE_BYTES // 4)
    return codes ^ odd_rows


def mirrored_codes(codes: Codes) -> Codes:
    """The hashes of the same frames, left and right swapped, to a few bits (see `upside_down`)."""
    return codes ^ np.uint8(0b01010101)


def check_frames(gray_THW: Frames) -> None:
    """Refuse what is not a stack of small square gray frames.

    Raises:
        ValueError: the array is not uint8 [T, 64, 64] or [T, 128, 128].
    """
    shape = gray_THW.shape
    if gray_THW.dtype != np.uint8 or len(shape) != 3 or shape[1:] not in [(s, s) for s in _SIDES]:
        raise ValueError(
            f"frames must be uint8 [T, 64, 64] or [T, 128, 128], got {gray_THW.dtype} {shape}"
        )


def _pixels(side: int, start: float, stop: float) -> slice:
    """The pixels that a stretch of a side touches."""
    return slice(max(floor(start * side), 0), ceil(stop * side))


@lru_cache(maxsize=2048)
def _transform(side: int, start: float, stop: float) -> Coefficients:
    """[16, side]: cut pixels start..stop, scale them to 64, take the 16 lowest frequencies."""
    scale = (stop - start) / _SCALED
    centres = start + (np.arange(_SCALED) + 0.5) * scale
    pixels = np.arange(side) + 0.5
    away = (pixels[None, :] - centres[:, None]) / max(scale, 1.0)
    weights = np.sinc(away) * np.sinc(away / _LANCZOS_LOBES)
    weights[np.abs(away) >= _LANCZOS_LOBES] = 0.0
    weights[:, (pixels < start) | (pixels > stop)] = 0.0
    weights /= weights.sum(axis=1, keepdims=True)
    angles = np.pi / _SCALED * np.outer(np.arange(_KEPT), np.arange(_SCALED) + 0.5)
    cosines = np.cos(angles) * np.sqrt(2 / _SCALED)
    return np.asarray(np.rint(cosines @ weights * _UNIT))


@lru_cache(maxsize=1)
def _orthonormal() -> Coefficients:
    """What makes luma of the coefficients of an orthonormal transform out of ours."""
    scale = np.ones(_KEPT)
    scale[0] = np.sqrt(0.5)
    return np.outer(scale, scale) / float(_UNIT) ** 2


@lru_cache(maxsize=1)
def _alternating() -> Coefficients:
    """+1, -1, +1, ...: a reversed signal has its odd frequencies negated."""
    return np.where(np.arange(_KEPT) % 2, -1.0, 1.0)
