"""Which network a state dict belongs to, told from its names and shapes alone.

Public weights come without a word of what they are: torchvision's, those of ig65m-pytorch and of
VMZ share their names and differ in shapes only, other projects have names of their own.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from training.models import r2d, r2plus1d, r3d
from training.models.networks import BLOCKS, VideoResNet
from training.options import ModelOptions

# Names that only these use; their networks are not those of the paper.
_STRANGERS = {
    ".conv_s.": "mmaction2's, whose stem has 83 channels and a max pooling",
    "blocks.": "pytorchvideo's, another family",
    "pathway0_": "SlowFast's, another family",
    "conv1_middle": "Caffe2's; take the .pth that VMZ or ig65m-pytorch made of it",
    "comp_0_conv_": "Caffe2's; take the .pth that VMZ or ig65m-pytorch made of it",
}
_COUNTER = "num_batches_tracked"
Shape = tuple[int, ...]


class LayoutError(Exception):
    """A state dict belongs to no network of ours; the message says what does not fit."""


def build(options: ModelOptions, num_classes: int) -> VideoResNet:
    """The network that the options name, its weights drawn from PyTorch's generator.

    Raises:
        ValueError: a depth that does not exist.
    """
    eps = options.eps or None
    if options.kind == "r2plus1d":
        model = r2plus1d(
            options.depth, num_classes, midplanes=options.midplanes, width=options.width, eps=eps
        )
    else:
        of_kind = r3d if options.kind == "r3d" else r2d
        model = of_kind(options.depth, num_classes, width=options.width, eps=eps)
    model.fold(options.folded)
    return model


def network_of(state: Mapping[str, Tensor]) -> ModelOptions:
    """The network that a state dict fits name by name, with whatever number of classes.

    Raises:
        LayoutError: there is none.
    """
    guess = _guess(state)
    forms = ("paper", "torchvision") if guess.kind == "r2plus1d" else ("paper",)
    misfits = [(form, _misfits(replace(guess, midplanes=form), state)) for form in forms]
    form, wrong = min(misfits, key=lambda misfit: len(misfit[1]))
    if wrong:
        more = f" (and {len(wrong) - 1} more names differ)" if len(wrong) > 1 else ""
        raise LayoutError(f"near to {describe(guess)}, but {wrong[0]}{more}")
    return replace(guess, midplanes=form)


def refuse_unusual(state: Mapping[str, Any]) -> None:
    """Refuse what is no plain tensor of finite numbers that the file really holds.

    Raises:
        LayoutError: it names the first such entry.
    """
    for name, value in state.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        if not plain or value.device.type != "cpu":
            raise LayoutError(f"{name} is a {type(value).__name__}, not a plain tensor")
        # One number can claim to be a million of them.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise LayoutError(f"{name} claims {value.numel()} numbers, more than the file holds")
        real = value.is_floating_point() or name.endswith(_COUNTER)
        if not real or not bool(torch.isfinite(value).all()):
            raise LayoutError(f"{name} holds what is no finite number")


def describe(network: ModelOptions) -> str:
    """A network as people call it, and whose weights are laid out like that."""
    name = {"r2plus1d": "R(2+1)D", "r3d": "R3D", "r2d": "R2D"}[network.kind]
    narrow = f" of width {network.width}" if network.width != ModelOptions.width else ""
    whose = "its authors" if network.midplanes == "paper" else "torchvision"
    return f"{name}-{network.depth}{narrow} as {whose} define{'' if whose[0] == 'i' else 's'} it"


def _guess(state: Mapping[str, Tensor]) -> ModelOptions:
    for sign, whose in _STRANGERS.items():
        if any(sign in name for name in state):
            raise LayoutError(f"the names are {whose}")
    stem, last = state.get("stem.0.weight"), state.get("stem.3.weight")
    if stem is None or stem.ndim != 5:
        example = next(iter(state), "nothing")
        raise LayoutError(f"there is no stem.0.weight of a video network (but {example})")
    blocks = tuple(
        len({name.split(".")[1] for name in state if name.startswith(f"layer{n}.")})
        for n in (1, 2, 3, 4)
    )
    deep = any(".conv3." in name for name in state)
    depths = [d for d, known in BLOCKS.items() if known == blocks and (d > 34) == deep]
    if not depths:
        kind = "bottlenecks" if deep else "plain blocks"
        raise LayoutError(f"its layers have {blocks} {kind}; known are depths {list(BLOCKS)}")
    try:
        if last is not None:
            return ModelOptions("r2plus1d", depths[0], last.shape[0])
        return ModelOptions("r3d" if stem.shape[2] > 1 else "r2d", depths[0], stem.shape[0])
    except (ValueError, IndexError) as error:
        raise LayoutError(f"its stem is none of a network of ours: {error}") from error


def _misfits(network: ModelOptions, state: Mapping[str, Tensor]) -> list[str]:
    """What differs between a state dict and a network's, as clauses."""
    bias = state.get("fc.bias")
    with torch.device("meta"):
        model = build(network, bias.numel() if bias is not None and bias.numel() else 1)
    wanted = {name: _shape(value) for name, value in model.state_dict().items()}
    given = {name: _shape(value) for name, value in state.items()}
    # Weights made before PyTorch counted batches, or outside of it, have no counters.
    missing = [n for n in wanted if n not in given and not n.endswith(_COUNTER)]
    return [
        *(
            f"{n} is {_text(given[n])}, not {_text(wanted[n])}"
            for n in wanted
            if given.get(n, wanted[n]) != wanted[n]
        ),
        *(f"{n} is missing" for n in missing),
        *(f"{n} has no place" for n in given if n not in wanted),
    ]


def _shape(value: Tensor) -> Shape:
    return tuple(value.shape)


def _text(shape: Shape) -> str:
    return "x".join(str(size) for size in shape) or "one number"
