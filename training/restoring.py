"""Taking up weights and momenta of a checkpoint, which may hold anything."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def restore_network(network: nn.Module, saved: Mapping[str, Tensor]) -> None:
    """Take up weights that another device may have written.

    Raises:
        ValueError: they are of another network.
    """
    try:
        network.load_state_dict(saved)
    except RuntimeError as error:
        told = " ".join(str(error).split())
        raise ValueError(f"it is of another network: {told}") from error


def restore_momenta(optimiser: torch.optim.SGD, saved: Mapping[str, Any]) -> None:
    """Take up the momenta of an optimiser; rates, factors and the rest stay as they are here.

    Raises:
        ValueError: they are of another network.
    """
    groups = optimiser.state_dict()["param_groups"]
    parameters = [p for group in optimiser.param_groups for p in group["params"]]
    try:
        given = [group["params"] for group in saved["param_groups"]]
        state = dict(_momenta(saved["state"], parameters))
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"its optimiser is of another network: {error!r}") from error
    if given != [group["params"] for group in groups]:
        raise ValueError("its optimiser is of another network: its parameters are others")
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _momenta(
    states: Mapping[int, Mapping[str, object]], parameters: Sequence[Tensor]
) -> Iterator[tuple[int, dict[str, Tensor]]]:
    for number, state in states.items():
        momentum = state["momentum_buffer"]
        # One that does not learn has none.
        if momentum is None:
            continue
        if not isinstance(momentum, Tensor) or momentum.shape != parameters[number].shape:
            raise TypeError(f"the momentum of parameter {number} is none of its shape")
        yield number, {"momentum_buffer": momentum}
