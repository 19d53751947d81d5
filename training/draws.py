"""Which clips an epoch draws, in which order: pure functions of (rng_seed, epoch, id).

How many draws a shard has follows from the sum of its clips' repeats, so a place in an epoch is
found without reading a shard.
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from formats.shards import REPEAT_UNITS, ShardEntry

Ints = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
"""Per clip 64 bits of the hash of its id."""


@dataclass(frozen=True)
class ClipFacts:
    """What the loader must know of a clip before it reads the video."""

    clip_id: str
    label_id: int
    repeats: float
    """How often square-root sampling draws it per epoch, on average (paper 3.1.1)."""
    label_ids: tuple[int, ...] = ()
    """All labels of a clip that may carry several, `label_id` among them; else empty."""


class Draws(NamedTuple):
    """Uses of clips in an epoch."""

    clip_D: Ints
    """Position of the clip in the arrays it was drawn from."""
    number_D: Ints
    """0, 1 ... for a clip drawn more than once."""


class Window(NamedTuple):
    """Shards whose clips are mixed."""

    shards: tuple[ShardEntry, ...]
    first: int
    """Number of its first draw in the epoch."""
    end: int


@dataclass(frozen=True)
class Epoch:
    """One pass over a split: the key of everything random in it."""

    rng_seed: int
    number: int

    def fractions(self, *ids: str | int) -> tuple[float, float, float, float]:
        """Four independent numbers in [0, 1) that depend on nothing but the epoch and the ids."""
        # 53 bits are what a float holds; more could round up to 1.
        a, b, c, d = ((number >> 11) / (1 << 53) for number in self.words(*ids))
        return a, b, c, d

    def words(self, *ids: str | int) -> tuple[int, ...]:
        """Four independent numbers of 64 bits."""
        text = ":".join(str(part) for part in (self.rng_seed, self.number, *ids))
        return struct.unpack(">4Q", hashlib.sha256(text.encode()).digest())


def plan(shards: Sequence[tuple[ShardEntry, int]], size: int, epoch: Epoch) -> list[Window]:
    """The shards in the epoch's order, in windows of `size`.

    With each shard stands the sum of its clips' repeats in units of 1 / REPEAT_UNITS.
    """
    order = sorted(shards, key=lambda shard: epoch.words("shard", shard[0].path)[0])
    windows, first = [], 0
    for i in range(0, len(order), size):
        group = order[i : i + size]
        end = first + sum(
            (units + _offset(entry.path, epoch)) // REPEAT_UNITS for entry, units in group
        )
        windows.append(Window(tuple(entry for entry, _ in group), first, end))
        first = end
    return windows


def draw_shard(key_N: Keys, units_N: Ints, name: str, epoch: Epoch) -> Draws:
    """Every draw of the clips of the shard of that name in the epoch, in no order.

    A clip with 2.3 repeats is drawn twice, and a third time in three epochs of ten. The clips are
    laid end to end in a random order, each as long as its repeats, and every whole number that
    falls on a clip from a random start is one draw (systematic sampling): so each clip has its
    repeats on average, never one draw more or fewer than they allow, and so has their sum.
    """
    order = np.argsort(mixed(key_N, epoch.words("repeats", name)[0]), kind="stable")
    end_N = np.cumsum(units_N[order]) + _offset(name, epoch)
    count_N = end_N // REPEAT_UNITS - (end_N - units_N[order]) // REPEAT_UNITS
    clip_D = np.repeat(order, count_N)
    number_D = np.arange(len(clip_D)) - np.repeat(np.cumsum(count_N) - count_N, count_N)
    return Draws(clip_D, number_D)


def shuffled(key_D: Keys, number_D: Ints, epoch: Epoch) -> Ints:
    """In which order draws with these clips' keys and these numbers come."""
    salt = epoch.words("order")[0]
    value_D = mixed(mixed(key_D, salt) ^ number_D.astype(np.uint64), salt)
    return np.lexsort((key_D, number_D, value_D))


def mixed(key_N: Keys, salt: int) -> Keys:
    """Keys as other, unrelated ones: the finaliser of SplitMix64 (Steele et al., OOPSLA 2014)."""
    x = key_N ^ np.uint64(salt)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def key_of(clip_id: str) -> int:
    """64 bits of the hash of a clip's id."""
    return int.from_bytes(hashlib.sha256(clip_id.encode()).digest()[:8], "big")


def _offset(name: str, epoch: Epoch) -> int:
    return epoch.words("shard", name)[1] % REPEAT_UNITS
