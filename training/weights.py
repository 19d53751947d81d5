"""Weights from a file of ours or of others: read without running code, and fitted to a network."""

import argparse
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from formats.storage import sha256_file
from training.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    named_code,
    refuse_compressed,
)
from training.layouts import LayoutError, describe, network_of, refuse_unusual
from training.models.networks import VideoResNet
from training.options import ModelOptions, Options

# Under these keys programs keep the state dict; before these prefixes, its names.
_WRAPPERS = ("state_dict", "model", "model_state_dict", "model_state")
_PREFIXES = ("module.", "_orig_mod.", "model.")
# What `torch.load` raises on damaged bytes and on what could run code.
_UNREADABLE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    pickle.UnpicklingError,
    RuntimeError,
    TypeError,
    ValueError,
)
_COUNTER = "num_batches_tracked"
# Dictionaries in dictionaries; a file can hold itself.
_DEEPEST = 4


class WeightsError(CheckpointError):
    """A file holds no weights for a network of ours; the message says what does not fit."""


@dataclass(frozen=True)
class Weights:
    """A network at rest."""

    network: ModelOptions
    state: dict[str, Tensor]
    labels: tuple[str, ...] | None
    """Position = class; nothing where the file does not name them."""
    found: str
    """What the file turned out to be."""
    digest: str
    """SHA-256 of the file."""

    @property
    def classes(self) -> int:
        """Classes that the last layer tells apart."""
        return self.state["fc.bias"].numel()


def load_weights(path: str) -> Weights:
    """Read a checkpoint of ours, or a state dict with public names, onto the CPU.

    Known are R(2+1)D of torchvision, ig65m-pytorch and VMZ, R3D and R2D; wrapped or not, saved by
    DataParallel or not, in PyTorch's present format or that of before 2020. No code that the file
    may hold is run.

    Raises:
        WeightsError: the file is missing, damaged, holds anything but weights, or they fit no
            network of ours.
    """
    if not Path(path).is_file():
        raise WeightsError(f"{path}: no such file")
    content = _read(path)
    ours = isinstance(content, dict) and {"options", "labels", "optimiser"} <= content.keys()
    try:
        if ours:
            return _of_checkpoint(path, load_checkpoint(path))
        state = _plain(_unwrap(content))
        network = network_of(state)
    except LayoutError as error:
        raise WeightsError(f"{path}: no weights for a network of ours: {error}") from error
    found = f"{describe(network)}, {state['fc.bias'].numel()} classes"
    if network.kind == "r3d":
        found += " (its eps is not in the file: torchvision's needs model.eps=1e-5)"
    return Weights(network, state, None, found, sha256_file(path))


def put_weights(model: VideoResNet, weights: Weights, labels: tuple[str, ...]) -> str:
    """Copy weights into a network of their form; return what became of the last layer.

    It is kept where the classes are `labels`, or as many without a name; else `model` keeps its
    own, freshly drawn.
    """
    same = weights.classes == len(labels) and weights.labels in (None, labels)
    state = {
        name: value for name, value in weights.state.items() if same or not name.startswith("fc.")
    }
    model.load_state_dict({**model.state_dict(), **state})
    if not same:
        return f"the last layer of {weights.classes} classes is replaced by one of {len(labels)}"
    trust = "" if weights.labels else ", trusting that its classes are in the order of ours"
    return f"the last layer is kept{trust}"


def as_checkpoint(weights: Weights, options: Options) -> Checkpoint:
    """Weights as a checkpoint at step 0, with the network of theirs in the options.

    `labels` is empty where the file does not name them.
    """
    return Checkpoint(
        options=replace(options, model=fitted(weights, options.model)),
        labels=weights.labels or (),
        dataset_id="",
        model=weights.state,
        optimiser={},
        step=0,
        epoch=0,
        clips=0,
        ranks=1,
        rng_state=torch.get_rng_state(),
        origin=weights.digest,
    )


def fitted(weights: Weights, options: ModelOptions) -> ModelOptions:
    """The options with the network of the weights; how it is computed stays theirs."""
    network = weights.network
    return replace(
        options,
        kind=network.kind,
        depth=network.depth,
        width=network.width,
        midplanes=network.midplanes,
        eps=network.eps or options.eps,
    )


def refuse_misfit(weights: Weights, options: ModelOptions) -> None:
    """Refuse a network in the options that is not that of the weights.

    Raises:
        WeightsError: it differs; the message says what to set.
    """
    wanted = fitted(weights, options)
    words = [
        f"model.{name}={getattr(wanted, name)}"
        for name in ("kind", "depth", "width", "midplanes", "eps")
        if getattr(wanted, name) != getattr(options, name)
    ]
    if words:
        raise WeightsError(
            f"the weights are {weights.found}; the options name {describe(options)}: "
            f"set {', '.join(words)}"
        )


def _of_checkpoint(path: str, checkpoint: Checkpoint) -> Weights:
    state = checkpoint.model
    network = replace(network_of(state), eps=checkpoint.options.model.eps)
    found = f"a checkpoint of ours: {describe(network)}"
    return Weights(
        network,
        state,
        checkpoint.labels or None,
        f"{found}, {checkpoint.model['fc.bias'].numel()} classes, step {checkpoint.step}",
        sha256_file(path),
    )


def _read(path: str) -> Any:
    try:
        refuse_compressed(path)
        # A training script's own options, as VMZ and torchvision save them beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(f"{path}: {_why(path, error)}") from error


def _why(path: str, error: Exception) -> str:
    if path.endswith(".pkl"):
        return "Caffe2's files are not read: take the .pth that VMZ or ig65m-pytorch made of it"
    return named_code(error) or "not weights that PyTorch saved, or damaged"


def _unwrap(content: Any) -> Mapping[str, Any]:
    """The innermost dictionary of a file that holds tensors."""
    for _ in range(_DEEPEST):
        if not isinstance(content, dict):
            break
        script = content.get("args")
        if getattr(script, "use_pool1", False) or content.get("use_pool1") is True:
            raise LayoutError("it was trained with a pool1, which the paper's networks do not have")
        inner = [content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)]
        if not inner:
            return content
        content = inner[0]
    raise LayoutError(f"the file holds a {type(content).__name__}, not names with tensors")


def _plain(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """A state dict with the names that the network itself has."""
    for prefix in (*_PREFIXES, *_PREFIXES):
        if state and all(str(name).startswith(prefix) for name in state):
            state = {str(name).removeprefix(prefix): value for name, value in state.items()}
    state = {str(name): value for name, value in state.items()}
    refuse_unusual(state)
    counters = {
        name.replace("running_var", _COUNTER): torch.tensor(0)
        for name in state
        if name.endswith("running_var")
    }
    return {**counters, **state}
