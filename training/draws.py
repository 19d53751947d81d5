"""Which clips an epoch draws, in which order: pure functions of (rng_seed, epoch, id)."""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from formats.shards import ShardEntry


@dataclass(frozen=True)
class ClipFacts:
    """What the loader must know of a clip before it reads the video."""

    clip_id: str
    label_id: int
    repeats: float
    """How often square-root sampling draws it per epoch, on average (paper 3.1.1)."""


@dataclass(frozen=True)
class Draw:
    """One use of a clip in an epoch."""

    clip: ClipFacts
    number: int
    """0, 1 ... for a clip drawn more than once."""


@dataclass(frozen=True)
class Epoch:
    """One pass over a split: the key of everything random in it."""

    rng_seed: int
    number: int

    def fractions(self, *ids: str | int) -> tuple[float, float, float, float]:
        """Four independent numbers in [0, 1) that depend on nothing but the epoch and the ids."""
        text = ":".join(str(part) for part in (self.rng_seed, self.number, *ids))
        numbers = struct.unpack(">4Q", hashlib.sha256(text.encode()).digest())
        # 53 bits are what a float holds; more could round up to 1.
        a, b, c, d = ((number >> 11) / (1 << 53) for number in numbers)
        return a, b, c, d


def draw_clips(clips: Iterable[ClipFacts], epoch: Epoch) -> list[Draw]:
    """Every draw of these clips in the epoch, shuffled.

    A clip with 2.3 repeats is drawn twice, and a third time in three epochs of ten.
    """
    draws = []
    for clip in clips:
        whole = int(clip.repeats)
        extra = epoch.fractions("repeats", clip.clip_id)[0] < clip.repeats - whole
        draws += [Draw(clip, number) for number in range(whole + extra)]
    return sorted(draws, key=lambda d: epoch.fractions("order", d.clip.clip_id, d.number))


def windows(shards: Sequence[ShardEntry], size: int, epoch: Epoch) -> list[tuple[ShardEntry, ...]]:
    """The shards, shuffled, in groups of `size` whose clips are mixed."""
    order = sorted(shards, key=lambda shard: epoch.fractions("shard", shard.path))
    return [tuple(order[i : i + size]) for i in range(0, len(order), size)]
