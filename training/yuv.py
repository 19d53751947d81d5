"""Clips as their stored planes, made to RGB squares on the device that will use them.

Scaling, cropping and mirroring are two matrix products per plane, one for rows and one for columns,
so clips of one size are done at once, and only the crop is computed. Colour planes are scaled
straight from half size to the crop. No more of the stored frames travels than the crop needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.transforms import Cut

# BT.601 in limited range: (Y - 16, U - 128, V - 128) to R, G, B.
_TO_RGB = (
    (1.164383, 0.0, 1.596027),
    (1.164383, -0.391762, -0.812968),
    (1.164383, 2.017232, 0.0),
)

_CHROMA_SHIFT = 0.25
"""H.264's colour samples lie on every second column of the brightness, not between two of them."""


class Part(NamedTuple):
    """A piece of stored frames, in pixels; all four are even."""

    top: int
    left: int
    height: int
    width: int

    @property
    def bytes(self) -> int:
        """Of one frame: Y, and U and V at half the size."""
        return self.height * self.width * 3 // 2


@dataclass(frozen=True)
class YuvClips:
    """Clips that become what `rgb` output gives, within 2 of 255, when moved to a device."""

    bytes_N: Tensor
    """uint8: what the squares need of the planes of all clips, one clip after the other."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of each clip's frames as they are stored."""
    cuts: tuple[Cut, ...]
    num_frames: int
    crop: int

    @property
    def shape(self) -> tuple[int, ...]:
        """[B, T, H, W, C] of what `to` gives."""
        return len(self.cuts), self.num_frames, self.crop, self.crop, 3

    def pin_memory(self) -> "YuvClips":
        """The same in memory that a GPU can copy from at once."""
        return YuvClips(
            self.bytes_N.pin_memory(), self.sizes, self.cuts, self.num_frames, self.crop
        )

    def to(self, device: torch.device | str, *, non_blocking: bool = False) -> Tensor:
        """uint8 RGB [B, T, crop, crop, 3] on the device."""
        bytes_N = self.bytes_N.to(device, non_blocking=non_blocking)
        wholes = zip(self.sizes, self.cuts, strict=True)
        parts = [part_of(size, cut, self.crop) for size, cut in wholes]
        clips = torch.split(bytes_N, [self.num_frames * part.bytes for part in parts])
        alike: dict[tuple[int, int, int, int], list[int]] = {}
        for i, (size, cut) in enumerate(zip(self.sizes, self.cuts, strict=True)):
            alike.setdefault((*size, cut.height, cut.width), []).append(i)
        rgb = torch.empty(self.shape, dtype=torch.uint8, device=bytes_N.device)
        # Whole numbers up to 255 times weights: half precision would be off by a level.
        with torch.autocast(bytes_N.device.type, enabled=False):
            for (height, width, *_), members in alike.items():
                stacked = torch.stack([clips[i] for i in members])
                frames_BTN = stacked.view(len(members), self.num_frames, -1)
                pieces = [(parts[i], self.cuts[i]) for i in members]
                rgb[members] = _squares(frames_BTN, (height, width), pieces, self.crop)
        return rgb


def part_of(size: tuple[int, int], cut: Cut, crop: int) -> Part:
    """What of stored frames of this height and width a square is made from.

    Equally much for every square of frames of one size that are scaled to one size.
    """
    top, height = _stretch(size[0], cut.height, cut.top, crop)
    left, width = _stretch(size[1], cut.width, cut.left, crop)
    return Part(top, left, height, width)


def _stretch(source: int, scaled: int, start: int, crop: int) -> tuple[int, int]:
    """(first, count) of the rows or columns that `crop` scaled ones are made from, both even."""
    ratio = source / scaled
    # What a scaled colour sample reaches, with its shift.
    margin = math.ceil(max(2.0, ratio)) + 2
    count = min(source, 2 * math.ceil((crop * ratio + 2 * margin + 2) / 2))
    first = int((start + 0.5) * ratio) - margin
    return max(0, min(first // 2 * 2, source - count)), count


def _squares(
    frames_BTN: Tensor, size: tuple[int, int], pieces: Sequence[tuple[Part, Cut]], crop: int
) -> Tensor:
    """uint8 RGB squares of clips of one size, scaled to one size."""
    _, _, height, width = pieces[0][0]
    luma, colour = height * width, height * width // 4
    planes = torch.split(frames_BTN.float(), [luma, colour, colour], dim=2)
    shape = frames_BTN.shape[:2]
    rows, columns = _both_weights(size, pieces, crop, frames_BTN.device)
    y = rows[0] @ planes[0].reshape(*shape, height, width) @ columns[0] - 16
    u, v = (
        rows[1] @ plane.reshape(*shape, height // 2, width // 2) @ columns[1] - 128
        for plane in planes[1:]
    )
    rgb = torch.stack([a * y + b * u + c * v for a, b, c in _TO_RGB], dim=-1)
    squares = rgb.round_().clamp_(0, 255).to(torch.uint8)
    for square, (_, cut) in zip(squares, pieces, strict=True):
        if cut.channels != (0, 1, 2):
            square.copy_(square[..., list(cut.channels)])
        if cut.inverted:
            square.copy_(255 - square)
    return squares


def _both_weights(
    size: tuple[int, int], pieces: Sequence[tuple[Part, Cut]], crop: int, device: torch.device
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """(brightness, colour) of what rows, and of what columns, are multiplied by.

    [B, 1, crop, H] and [B, 1, W, crop]: which pixels of its part each pixel of a square is made of.
    """
    part, cut = pieces[0]
    place_BK = torch.tensor(
        [(p.top, p.left, c.top, c.left, c.mirror) for p, c in pieces], device=device
    )
    along = torch.arange(crop, device=device)
    row_BC = place_BK[:, 2, None] + along
    column_BC = place_BK[:, 3, None] + torch.where(
        place_BK[:, 4, None] > 0, crop - 1 - along, along
    )
    rows, columns = [], []
    for half, shift in ((1, 0.0), (2, _CHROMA_SHIFT)):
        row_BH = place_BK[:, 0, None] // half + torch.arange(part.height // half, device=device)
        down = _weights(size[0] // half, cut.height, 0.0, device)
        rows.append(down[row_BC[:, :, None], row_BH[:, None]][:, None])
        column_BW = place_BK[:, 1, None] // half + torch.arange(part.width // half, device=device)
        across = _weights(size[1] // half, cut.width, shift, device)
        columns.append(across[column_BC[:, None], column_BW[:, :, None]][:, None])
    return (rows[0], rows[1]), (columns[0], columns[1])


@lru_cache(maxsize=256)
def _weights(source: int, scaled: int, shift: float, device: torch.device) -> Tensor:
    """[scaled, source]: bilinear, wider where it makes smaller, edges repeated, as swscale does."""
    ratio = source / scaled
    reach = max(1.0, ratio)
    centre_S = (np.arange(scaled) + 0.5) * ratio - 0.5 + shift
    tap_T = np.arange(-int(reach) - 1, source + int(reach) + 1)
    weight_ST = np.clip(1 - np.abs(tap_T - centre_S[:, None]) / reach, 0, None)
    # At the near edge it rounds towards zero, and so leaves a tap out.
    first_S = np.trunc(centre_S - (math.ceil(2 * reach) - 1) / 2)
    weight_ST[tap_T < first_S[:, None]] = 0
    weights = np.zeros((source, scaled))
    np.add.at(weights, np.clip(tap_T, 0, source - 1), weight_ST.T)
    return torch.from_numpy((weights / weights.sum(0)).T.astype(np.float32)).to(device)
