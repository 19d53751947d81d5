"""Clips as their stored planes, made to RGB squares on the device that will use them.

Scaling, cropping and mirroring are two matrix products per plane, one for rows and one for columns,
for all clips of a batch at once whatever their sizes, and only the crop is computed. Colour planes
are scaled straight from half size to the crop. No more of the stored frames travels than the crop
needs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from training.transforms import Cut

# BT.601 in limited range: (Y - 16, U - 128, V - 128) to R, G, B.
_TO_RGB = (
    (1.164383, 0.0, 1.596027),
    (1.164383, -0.391762, -0.812968),
    (1.164383, 2.017232, 0.0),
)

_CHROMA_SHIFT = 0.25
"""H.264's colour samples lie on every second column of the brightness, not between two of them."""

_ROUND = 64


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
        squares = torch.empty(self.shape, dtype=torch.uint8, device=bytes_N.device)
        alike: dict[tuple[int, ...], list[int]] = {}
        clips = self._clips()
        for number, clip in enumerate(clips):
            # Or one that is much wider than all others would make every clip as large as itself.
            alike.setdefault(clip.about(), []).append(number)
        # Whole numbers up to 255 times weights: half precision would be off by a level.
        with torch.autocast(bytes_N.device.type, enabled=False):
            for members in alike.values():
                film = _Film(bytes_N, [clips[i] for i in members], self.num_frames, self.crop)
                at_B = torch.tensor(members).to(bytes_N.device, non_blocking=True)
                squares.index_copy_(0, at_B, film.squares())
        for square, cut in zip(squares, self.cuts, strict=True):
            if cut.channels != (0, 1, 2):
                square.copy_(square[..., list(cut.channels)])
            if cut.inverted:
                square.copy_(255 - square)
        return squares

    def _clips(self) -> list["_Clip"]:
        clips, start = [], 0
        for size, cut in zip(self.sizes, self.cuts, strict=True):
            part = part_of(size, cut, self.crop)
            clips.append(_Clip(start, part, size, cut))
            start += self.num_frames * part.bytes
        return clips


class _Clip(NamedTuple):
    """Where a clip lies in the bytes of a batch, and what is to be done to it."""

    start: int
    part: Part
    size: tuple[int, int]
    cut: Cut

    def about(self) -> tuple[int, ...]:
        """Clips of which this is the same take about as much room, and so do their weights.

        Parts are equal to a factor of 2; frames, stored and scaled, to a factor of 4: weights are
        small beside parts unless frames are far longer than what is cut of them.
        """
        longest = max(*self.size, self.cut.height, self.cut.width)
        part = self.part
        return part.height.bit_length(), part.width.bit_length(), longest.bit_length() // 2


@dataclass(frozen=True)
class _Film:
    """Some clips of a batch, done at once.

    They are taken as if all were as large as the largest: what is read beyond a part's own edge has
    the weight 0. So the work does not come in as many small pieces as there are sizes.
    """

    bytes_N: Tensor
    """Of the whole batch."""
    clips: Sequence[_Clip]
    num_frames: int
    crop: int

    def squares(self) -> Tensor:
        """uint8 RGB [B, T, crop, crop, 3]."""
        y = self._plane(0) - 16
        u, v = (self._plane(number) - 128 for number in (1, 2))
        rgb = torch.stack([a * y + b * u + c * v for a, b, c in _TO_RGB], dim=-1)
        return rgb.round_().clamp_(0, 255).to(torch.uint8)

    def _plane(self, number: int) -> Tensor:
        """Y, U or V of the squares, [B, T, crop, crop]."""
        half, device = 2 if number else 1, self.bytes_N.device
        place_BK = torch.tensor(
            [
                (start + _plane_start(part, number), part.bytes, part.width // half)
                for start, part, *_ in self.clips
            ]
        ).to(device, non_blocking=True)
        height = max(clip.part.height for clip in self.clips) // half
        width = max(clip.part.width for clip in self.clips) // half
        first_B1, frame_B1, row_B1 = place_BK.T[..., None]
        at = partial(torch.arange, device=device)
        frame_BT = first_B1 + frame_B1 * at(self.num_frames)
        row_BH = row_B1 * at(height)
        place_BTHW = frame_BT[..., None, None] + row_BH[:, None, :, None] + at(width)
        last = len(self.bytes_N) - 1
        plane_BTHW = self.bytes_N.take(place_BTHW.clamp_(max=last)).float()
        rows, columns = self._rows(half, height), self._columns(half, width).mT
        # Columns of all frames of a clip in one product; rows come after, of narrower frames.
        narrow_BNC = plane_BTHW.flatten(1, 2) @ columns
        return rows[:, None] @ narrow_BNC.view(*plane_BTHW.shape[:3], self.crop)

    def _rows(self, half: int, room: int) -> Tensor:
        """[B, crop, room]: which rows of its part each row of a square is made of."""
        along = np.arange(self.crop)
        wanted = [
            (size[0] // half, cut.height, 0.0, part.top // half, cut.top + along)
            for _, part, size, cut in self.clips
        ]
        return _gathered(wanted, room, self.bytes_N.device)

    def _columns(self, half: int, room: int) -> Tensor:
        """The same of columns."""
        shift, along = _CHROMA_SHIFT if half > 1 else 0.0, np.arange(self.crop)
        wanted = [
            (
                *(size[1] // half, cut.width, shift, part.left // half),
                cut.left + (along[::-1] if cut.mirror else along),
            )
            for _, part, size, cut in self.clips
        ]
        return _gathered(wanted, room, self.bytes_N.device)


def _plane_start(part: Part, number: int) -> int:
    """Where in a frame of a part its Y, U or V begins."""
    luma = part.height * part.width
    return (0, luma, luma * 5 // 4)[number]


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


def _gathered(
    wanted: Sequence[tuple[int, int, float, int, npt.NDArray[np.int64]]],
    room: int,
    device: torch.device,
) -> Tensor:
    """[B, crop, room]: of each clip's weights the rows it names, from a column on.

    `wanted` are (source, scaled, shift) of `_weights`, the first column, and the rows.
    """
    kinds = list(dict.fromkeys(key[:3] for key in wanted))
    reach = max(max(key[0], key[3] + room) for key in wanted)
    scaled = max(kind[1] for kind in kinds)
    # Rounded, or hardly two batches would ask for the same.
    shape = (-(-scaled // _ROUND) * _ROUND, -(-reach // _ROUND) * _ROUND)
    bank = torch.stack([_roomy_weights(*kind, shape, device) for kind in kinds])
    kind_B = [kinds.index(key[:3]) for key in wanted]
    rows_BC = np.stack([key[4] for key in wanted])
    chosen = np.column_stack((kind_B, [key[3] for key in wanted], rows_BC))
    chosen_BK = torch.from_numpy(chosen).to(device, non_blocking=True)
    column_BR = chosen_BK[:, 1, None] + torch.arange(room, device=device)
    return bank[chosen_BK[:, 0, None, None], chosen_BK[:, 2:, None], column_BR[:, None]]


@lru_cache(maxsize=256)
def _roomy_weights(
    source: int, scaled: int, shift: float, shape: tuple[int, int], device: torch.device
) -> Tensor:
    """`_weights`, filled up with zeros."""
    weights = _weights(source, scaled, shift)
    return functional.pad(weights, (0, shape[1] - source, 0, shape[0] - scaled)).to(device)


def _weights(source: int, scaled: int, shift: float) -> Tensor:
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
    return torch.from_numpy((weights / weights.sum(0)).T.astype(np.float32))
