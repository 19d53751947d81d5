"""A training run at rest: weights, optimiser, position; whole under its name or not there."""

import pickle
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formats.storage import publish
from training.options import Options, from_sections

CHECKPOINT = "checkpoint.pt"
FORMAT = 2
# What `torch.load` raises on damaged bytes, and a dictionary with other keys.
_NOT_OURS = (
    AttributeError,
    EOFError,
    LookupError,
    pickle.UnpicklingError,
    RuntimeError,
    TypeError,
    ValueError,
)


class CheckpointError(Exception):
    """A checkpoint is missing, damaged, or belongs to another run."""


@dataclass(frozen=True)
class Checkpoint:
    """Everything that a run needs to go on as if it had never stopped."""

    options: Options
    """Of the run that wrote it."""
    labels: tuple[str, ...]
    """Position = `label_id`."""
    dataset_id: str
    """Of the split it learned from."""
    model: dict[str, Tensor]
    optimiser: dict[str, Any]
    step: int
    """Steps done."""
    epoch: int
    clips: int
    """Clips of that epoch done, by all ranks."""
    ranks: int
    """Processes that learned together; a step takes `batch_size` clips of each."""
    rng_state: Tensor
    origin: str = ""
    """SHA-256 of the weights that the run began with; empty for random ones."""
    format: int = FORMAT


def save_checkpoint(path: str, checkpoint: Checkpoint) -> None:
    """Write a checkpoint atomically: a run killed meanwhile leaves the one before.

    Raises:
        StorageError: the disk is full or refuses.
    """
    content = {name: getattr(checkpoint, name) for name in Checkpoint.__dataclass_fields__}
    content["options"] = asdict(checkpoint.options)
    with publish(path) as temporary:
        torch.save(content, temporary)


def load_checkpoint(path: str) -> Checkpoint:
    """Read a checkpoint onto the CPU; runs no code that the file may hold.

    Raises:
        CheckpointError: the file is missing, damaged or not a checkpoint of ours.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no checkpoint there")
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path}: not a checkpoint of ours: cut short or another format")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.get("format") != FORMAT:
            raise ValueError(f"format {content.get('format')}, this version reads {FORMAT}")
        checkpoint = Checkpoint(**{**content, "options": from_sections(content["options"])})
        _refuse_other_types(checkpoint)
    except _NOT_OURS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path}: not a checkpoint of ours: {reason}") from error
    return checkpoint


def _refuse_other_types(checkpoint: Checkpoint) -> None:
    weights, counts = checkpoint.model, (checkpoint.step, checkpoint.epoch, checkpoint.clips)
    if not all(isinstance(value, Tensor) for value in weights.values()) or "fc.bias" not in weights:
        raise ValueError("its model is no dictionary of tensors with a last layer")
    if not all(isinstance(label, str) for label in checkpoint.labels):
        raise ValueError("its labels are no texts")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"it stands at step, epoch and clip {counts}")
