"""Loaders of small clips, and what they gave."""

from collections.abc import Iterable

import torch

from training.clips import Batch, TrainingClips
from training.options import ClipOptions

SMALL = ClipOptions(num_frames=4, height=20, width=26, crop=16, shards_per_window=2)


def training(folder: str, options: ClipOptions = SMALL, batch_size: int = 4) -> TrainingClips:
    return TrainingClips(folder, options, rng_seed=0, batch_size=batch_size)


def ids(batches: Iterable[Batch]) -> list[str]:
    return [clip_id for batch in batches for clip_id in batch.clip_ids]


def assert_same(some: Iterable[Batch], others: Iterable[Batch]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.clip_ids == other.clip_ids
        assert torch.equal(one.frames_BTHWC, other.frames_BTHWC)
        assert torch.equal(one.label_id_B, other.label_id_B)
