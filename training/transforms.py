"""From scaled frames to what a network sees: which frames, which square, which numbers."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import permutations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.clip_options import ClipOptions
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


def frame_numbers(start: int, wanted: int, pace: float, available: int) -> list[int]:
    """The frames of a clip, `pace` apart; a video that is too short starts over (padding).

    >>> frame_numbers(1, 5, 1.0, 3), frame_numbers(2, 4, 2.5, 20)
    ([1, 2, 0, 1, 2], [2, 4, 7, 9])
    """
    return [(start + int(i * pace)) % available for i in range(wanted)]


def span(wanted: int, pace: float) -> int:
    """How many frames of a video lie between the first and the last of a clip, both included."""
    return int((wanted - 1) * pace) + 1


class Cut(NamedTuple):
    """What becomes of every frame of a clip."""

    height: int
    """Pixels it is scaled to."""
    width: int
    top: int
    """Where in that the square begins."""
    left: int
    mirror: bool
    channels: tuple[int, ...] = (0, 1, 2)
    """Which of red, green and blue comes first, second and third."""
    inverted: bool = False


def scaled_size(height: int, width: int, options: ClipOptions) -> tuple[int, int]:
    """(height, width) that frames of this size are scaled to."""
    if options.scale == "plain":
        return options.height, options.width
    edge = options.height
    if height <= width:
        return edge, max(edge, round(width * edge / height))
    return max(edge, round(height * edge / width)), edge


def random_cut(size: tuple[int, int], options: ClipOptions, fractions: Sequence[float]) -> Cut:
    """A square anywhere in frames of a scaled size; three fractions in [0, 1) say where."""
    height, width = size
    top = int(fractions[0] * (height - options.crop + 1))
    left = int(fractions[1] * (width - options.crop + 1))
    return Cut(height, width, top, left, options.mirror and fractions[2] < 0.5)


def centre_cut(size: tuple[int, int], options: ClipOptions) -> Cut:
    """The middle square of frames of a scaled size."""
    height, width = size
    return Cut(height, width, (height - options.crop) // 2, (width - options.crop) // 2, False)


def recoloured(cut: Cut, fractions: Sequence[float]) -> Cut:
    """The cut with channels in another order, inverted or not, as two fractions say."""
    channels = list(permutations(range(3)))[int(fractions[0] * 6)]
    return cut._replace(channels=channels, inverted=fractions[1] < 0.5)


def cut_out(frames_THWC: Frames, cut: Cut, crop: int) -> Frames:
    """The square of all scaled frames."""
    square = frames_THWC[:, cut.top : cut.top + crop, cut.left : cut.left + crop]
    square = square[:, :, ::-1] if cut.mirror else square
    if cut.channels != (0, 1, 2):
        square = square[..., list(cut.channels)]
    return 255 - square if cut.inverted else square


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
        frames = (frames - _constant(MEAN, frames.device)) / _constant(STD, frames.device)
    return frames.permute(0, 4, 1, 2, 3)


@lru_cache
def _constant(values: tuple[float, ...], device: torch.device) -> Tensor:
    # Moved there anew for each batch, it would wait until a GPU has done all that it was asked.
    return torch.tensor(values, device=device)
