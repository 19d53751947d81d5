import copy
from typing import Any

import pytest
import torch
from torch import nn

from training.restoring import restore_momenta, restore_network


def learned(seed: int = 0) -> tuple[nn.Module, torch.optim.SGD]:
    """A network with two layers after a step, the first of them kept as it is."""
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    network[0].bias.requires_grad_(False)
    optimiser = torch.optim.SGD(network.parameters(), lr=0.1 * (1 + seed), momentum=0.9)
    network(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    return network, optimiser


def test_momenta_come_back_and_rates_stay() -> None:
    saved = learned()[1].state_dict()
    _, optimiser = learned(seed=1)
    restore_momenta(optimiser, copy.deepcopy(saved))
    after = optimiser.state_dict()
    assert after["param_groups"][0]["lr"] == 0.2
    assert after["state"].keys() == saved["state"].keys() == {0, 2, 3}
    for number, state in saved["state"].items():
        assert torch.equal(after["state"][number]["momentum_buffer"], state["momentum_buffer"])


def changed(state: object = None, **groups: object) -> Any:
    saved = copy.deepcopy(learned()[1].state_dict())
    saved["param_groups"][0].update(groups)
    if state is not None:
        saved["state"] = state
    return saved


@pytest.mark.parametrize(
    "saved",
    [
        [],
        {},
        {"param_groups": []},
        {"param_groups": [3], "state": {}},
        changed(params=[0, 1, 2]),
        changed(params=[3, 2, 1, 0]),
        changed([]),
        changed({7: {"momentum_buffer": torch.ones(1)}}),
        changed({0: {"momentum_buffer": torch.ones(1)}}),
        changed({0: {"momentum_buffer": "x"}}),
        changed({0: {}}),
    ],
)
def test_an_optimiser_of_another_network_is_refused_and_nothing_changed(saved: Any) -> None:
    _, optimiser = learned()
    before = copy.deepcopy(optimiser.state_dict())
    with pytest.raises(ValueError, match="its optimiser is of another network"):
        restore_momenta(optimiser, saved)
    assert str(optimiser.state_dict()) == str(before)


def test_weights_of_another_network_are_refused() -> None:
    network, _ = learned()
    with pytest.raises(ValueError, match="it is of another network: .*size mismatch for 0.weight"):
        restore_network(network, {**network.state_dict(), "0.weight": torch.ones(1)})
