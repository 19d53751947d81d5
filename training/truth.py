"""What is right for every clip of a target: its labels, and which of its clips are held out."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from formats.shards import ShardError
from training.clip_options import ClipOptions
from training.clips import Batch, Chosen, TrainingClips
from training.draws import Epoch
from training.samples import scan_shard
from training.store import ShardStore

Bools = npt.NDArray[np.bool_]


class TargetError(Exception):
    """A target cannot be measured on, or not in this way."""


@dataclass(frozen=True)
class Truth:
    """The labels of every clip of one split."""

    dataset_id: str
    labels: tuple[str, ...]
    """Position = `label_id`."""
    label_ids: Mapping[str, tuple[int, ...]]
    """clip_id -> its labels, the main one first."""
    several: bool
    """Whether a clip may carry several labels: then each is a yes or no of its own."""

    def matrix(self, clip_ids: Sequence[str]) -> Bools:
        """Which labels the clips carry, [V, C]."""
        truth_VC = np.zeros((len(clip_ids), len(self.labels)), dtype=np.bool_)
        for row, clip_id in enumerate(clip_ids):
            truth_VC[row, list(self.label_ids[clip_id])] = True
        return truth_VC


def read_truth(folder: str, options: ClipOptions) -> Truth:
    """The labels of a split; its samples either all have `label_ids`, or none has.

    Raises:
        ShardError: the split is not what its manifest says, or facts cannot be true.
        TargetError: only some clips say that they may carry several labels.
    """
    store = ShardStore(folder, options)
    label_ids, listing = dict[str, tuple[int, ...]](), 0
    for entry in store.manifest.shards:
        shard = store.open(entry)
        for clip, _ in scan_shard(shard.file, shard.path, len(store.manifest.labels)):
            if clip.clip_id in label_ids:
                raise ShardError(f"{folder}: clip {clip.clip_id} is there twice")
            others = [i for i in clip.label_ids if i != clip.label_id]
            label_ids[clip.clip_id] = (clip.label_id, *others)
            listing += bool(clip.label_ids)
    if listing not in (0, len(label_ids)):
        raise TargetError(f"{folder}: {listing} of {len(label_ids)} clips have label_ids, not all")
    return Truth(store.manifest.dataset_id, store.manifest.labels, label_ids, listing > 0)


def holdout(truth: Truth, fraction: float, rng_seed: int) -> frozenset[str]:
    """Which clips are held out: the same share of every main label, by hash of (rng_seed, clip_id).

    A label with one clip gives none.

    Raises:
        TargetError: no clip can be held out, or there is only one label.
    """
    key, members = Epoch(rng_seed, 0), dict[int, list[str]]()
    for clip_id, label_ids in truth.label_ids.items():
        members.setdefault(label_ids[0], []).append(clip_id)
    held: set[str] = set()
    for clip_ids in members.values():
        order = sorted(clip_ids, key=lambda clip_id: key.fractions("holdout", clip_id))
        held |= set(order[: min(len(order) - 1, max(1, round(fraction * len(order))))])
    if not held or len(members) < 2:
        raise TargetError(
            f"{len(truth.label_ids)} training videos of {len(members)} labels are too few: want "
            "two labels, one of them with two videos"
        )
    return frozenset(held)


class SeveralLabelClips(TrainingClips):
    """Training clips whose batches have 0 and 1 for every label of a clip, float32 [B, C]."""

    def __init__(self, *args: Any, truth: Truth, **options: Any):
        super().__init__(*args, **options)
        self._truth = truth

    def batches(self, *args: Any, **options: Any) -> Iterator[Batch]:
        """As of `TrainingClips`, with all labels."""
        for batch in super().batches(*args, **options):
            truth_BC = self._truth.matrix(batch.clip_ids)
            yield batch._replace(label_id_B=torch.from_numpy(truth_BC).float())


def training_clips(
    folder: str, truth: Truth, options: ClipOptions, chosen: Chosen | None = None, **how: int
) -> TrainingClips:
    """The loader of a target's training videos, all or the chosen ones."""
    if truth.several:
        return SeveralLabelClips(folder, options, truth=truth, chosen=chosen, **how)
    return TrainingClips(folder, options, chosen=chosen, **how)


def refuse_other_labels(parts: Iterable[Truth], target: str) -> None:
    """Raise TargetError unless all splits of a target have one list of labels and one kind."""
    if len({(part.labels, part.several) for part in parts}) > 1:
        raise TargetError(f"{target}: its splits have different labels")
