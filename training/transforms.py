"""From scaled frames to what a network sees: which frames, which square, which numbers."""

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from training.frames import Frames

# Of 0-255 RGB values, the authors' constants.
MEAN = (110.201, 100.64, 95.9966)
STD = (58.1489, 56.4701, 55.3324)


def random_start(available: int, wanted: int, fraction: float) -> int:
    """Where a training clip starts, for a uniform `fraction` in [0, 1) (jitter, paper 3.3)."""
    return int(fraction * (max(available - wanted, 0) + 1))


def spread_starts(available: int, wanted: int, clips: int) -> list[int]:
    """Where the clips of a test start: evenly spread from the first to the last frame (paper 4).

    A single clip is taken from the middle.

    >>> spread_starts(100, 10, 10)
    [0, 10, 20, 30, 40, 50, 60, 70, 80, 90]
    """
    room = max(available - wanted, 0)
    if clips == 1:
        return [room // 2]
    return [i * room // (clips - 1) for i in range(clips)]


def looped(start: int, wanted: int, available: int) -> list[int]:
    """The frame numbers of a clip; a video that is too short starts over.

    >>> looped(1, 5, 3)
    [1, 2, 0, 1, 2]
    """
    return [(start + i) % available for i in range(wanted)]


def random_square(
    frames_THWC: Frames, size: int, fractions: Sequence[float], *, mirror: bool
) -> Frames:
    """Cut one square out of all frames; three fractions in [0, 1) say where and if mirrored."""
    _, height, width, _ = frames_THWC.shape
    top = int(fractions[0] * (height - size + 1))
    left = int(fractions[1] * (width - size + 1))
    square = frames_THWC[:, top : top + size, left : left + size]
    return square[:, :, ::-1] if mirror and fractions[2] < 0.5 else square


def recolour(frames_THWC: Frames, fractions: Sequence[float]) -> Frames:
    """All frames with their channels in another order, inverted or not, as two fractions say."""
    order = list(permutations(range(3)))[int(fractions[0] * 6)]
    mixed = frames_THWC[..., order]
    return 255 - mixed if fractions[1] < 0.5 else mixed


def centre_square(frames_THWC: Frames, size: int) -> Frames:
    """Cut the middle square out of all frames."""
    _, height, width, _ = frames_THWC.shape
    top, left = (height - size) // 2, (width - size) // 2
    return frames_THWC[:, top : top + size, left : left + size]


def to_batch(clips: Sequence[Frames]) -> Tensor:
    """Clips as one uint8 tensor [B, T, H, W, C]: a quarter of the bytes that floats would move."""
    return torch.from_numpy(np.ascontiguousarray(np.stack(clips)))


def normalise(frames_BTHWC: Tensor, how: str) -> Tensor:
    """uint8 frames as float32 [B, C, T, H, W] with about zero mean and unit deviation.

    `how` is `colour` (constants of the dataset) or `motion` (of each clip: what stands still
    vanishes). The memory stays in channels-last order, which the networks work in.
    """
    frames = frames_BTHWC.float()
    if how == "motion":
        frames = frames - frames.mean(1, keepdim=True)
        # One level of 255: noise of a clip in which nothing moves is not blown up to a signal.
        frames = frames / (frames.std((1, 2, 3, 4), keepdim=True) + 1)
    else:
        mean = torch.tensor(MEAN, device=frames.device)
        std = torch.tensor(STD, device=frames.device)
        frames = (frames - mean) / std
    return frames.permute(0, 4, 1, 2, 3)
