"""A training run at rest: weights, optimiser, position; whole under its name or not there."""

import pickle
import re
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formats.storage import publish
from training.layouts import LayoutError, describe, network_of, refuse_unusual
from training.options import Options, from_sections

CHECKPOINT = "checkpoint.pt"
FORMAT = 2
# What `torch.load` raises on damaged bytes, and a dictionary with other keys.
_NOT_OURS = (
    AttributeError,
    EOFError,
    LayoutError,
    LookupError,
    pickle.UnpicklingError,
    RuntimeError,
    TypeError,
    ValueError,
)
_OPTIMISER = {"state", "param_groups"}


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
    # To a file of Python's: PyTorch's own say that writing failed, but not why.
    with publish(path) as temporary, open(temporary, "wb") as file:
        try:
            torch.save(content, file)
        except RuntimeError as error:
            # Closing the archive after the disk's refusal fails too, and would hide it.
            if isinstance(error.__context__, OSError):
                raise error.__context__ from error
            raise


def load_checkpoint(path: str) -> Checkpoint:
    """Read a checkpoint onto the CPU; runs no code that the file may hold.

    Raises:
        CheckpointError: the file is missing, damaged or not a checkpoint of ours.
    """
    if not Path(path).is_file():
        raise CheckpointError(f"{path}: no checkpoint there")
    try:
        if not refuse_compressed(path):
            raise ValueError("cut short or another format")
        _refuse_changed(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError("weights of others are read with WEIGHTS= (--weights)")
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']}, this version reads {FORMAT}")
        checkpoint = Checkpoint(**{**content, "options": from_sections(content["options"])})
        _refuse_other_types(checkpoint)
        _refuse_another_network(checkpoint)
    except _NOT_OURS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"{path}: not a checkpoint of ours: {named_code(error) or reason}"
        ) from error
    return checkpoint


def named_code(error: Exception) -> str:
    """What PyTorch refused to run of a file; empty if it refused it for something else.

    Its own message goes on to say how to run it.
    """
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    if not named:
        return ""
    return f"names {named[1]}, which weights do not need and which could run code: refused"


def refuse_compressed(path: str) -> bool:
    """Whether a file is of PyTorch's present format; the one before 2020 was no zip.

    Raises:
        ValueError: it would grow when it is read: PyTorch compresses nothing. Or it is damaged.
    """
    try:
        if not zipfile.is_zipfile(path):
            return False
        with zipfile.ZipFile(path) as file:
            packed = [m.filename for m in file.infolist() if m.compress_type != zipfile.ZIP_STORED]
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"cut or damaged: {error}") from error
    if packed:
        raise ValueError(f"{packed[0]} is compressed, which PyTorch never does")
    return True


def _refuse_changed(path: str) -> None:
    """Refuse an archive whose bytes changed at rest, which PyTorch reads without a look at them."""
    with zipfile.ZipFile(path) as file:
        # Members that overlap would be read over and over.
        if sum(member.file_size for member in file.infolist()) > Path(path).stat().st_size:
            raise ValueError("damaged: it holds more than it is long")
        changed = file.testzip()
    if changed:
        raise ValueError(f"damaged: the bytes of {changed} changed since it was written")


def _refuse_other_types(checkpoint: Checkpoint) -> None:
    weights, counts = checkpoint.model, (checkpoint.step, checkpoint.epoch, checkpoint.clips)
    if not all(isinstance(value, Tensor) for value in weights.values()) or "fc.bias" not in weights:
        raise ValueError("its model is no dictionary of tensors with a last layer")
    labels = checkpoint.labels
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise ValueError("its labels are no texts")
    if not all(type(count) is int and count >= 0 for count in counts):
        raise ValueError(f"it stands at step, epoch and clip {counts}")
    rng, wanted = checkpoint.rng_state, torch.get_rng_state()
    if not isinstance(rng, Tensor) or (rng.dtype, rng.shape) != (wanted.dtype, wanted.shape):
        raise ValueError("its rng_state is none")
    if not isinstance(checkpoint.optimiser, dict) or checkpoint.optimiser.keys() - _OPTIMISER:
        raise ValueError("its optimiser is none")


def _refuse_another_network(checkpoint: Checkpoint) -> None:
    refuse_unusual(checkpoint.model)
    held, said = network_of(checkpoint.model), checkpoint.options.model
    if describe(held) != describe(said):
        raise ValueError(f"it holds {describe(held)}, but says {describe(said)}")
    classes = checkpoint.model["fc.bias"].numel()
    if classes != len(checkpoint.labels):
        raise ValueError(f"it has {classes} classes and {len(checkpoint.labels)} labels")
