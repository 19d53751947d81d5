from dataclasses import replace

import pytest
import torch
from torch import Tensor

from training.layouts import LayoutError, build, describe, network_of
from training.models.networks import BLOCKS
from training.options import DEPTHS, ModelOptions

State = dict[str, Tensor]


def state_of(options: ModelOptions, classes: int = 400) -> State:
    with torch.device("meta"):
        return build(options, classes).state_dict()


def test_the_depths_of_the_options_are_those_of_the_networks() -> None:
    assert tuple(BLOCKS) == DEPTHS
    with pytest.raises(ValueError, match=r"depth must be one of \(18, 34, 101, 152\), got 50"):
        ModelOptions(depth=50)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (ModelOptions(depth=18), "R(2+1)D-18 as its authors define it"),
        (ModelOptions(depth=34), "R(2+1)D-34 as its authors define it"),
        (ModelOptions(depth=152), "R(2+1)D-152 as its authors define it"),
        (
            ModelOptions(depth=18, midplanes="torchvision"),
            "R(2+1)D-18 as torchvision defines it",
        ),
        (ModelOptions("r3d", 34), "R3D-34 as its authors define it"),
        (ModelOptions("r2d", 18, 16), "R2D-18 of width 16 as its authors define it"),
    ],
)
def test_a_network_is_known_by_its_names_and_shapes(network: ModelOptions, name: str) -> None:
    assert network_of(state_of(network)) == network
    assert describe(network) == name


def test_counters_that_are_not_there_are_not_missed() -> None:
    state = state_of(ModelOptions(depth=34), 487)
    spare = {name: v for name, v in state.items() if not name.endswith("num_batches_tracked")}
    assert len(state) - len(spare) == 69
    assert network_of(spare).depth == 34


NET = ModelOptions(depth=18, width=8)


def changed(name: str, value: Tensor | None) -> State:
    state = state_of(NET)
    if value is None:
        del state[name]
    else:
        state[name] = value
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (changed("layer3.1.conv2.1.bias", None), r"but layer3.1.conv2.1.bias is missing$"),
        (changed("layer5.weight", torch.ones(1)), "but layer5.weight has no place$"),
        (
            changed("stem.0.weight", torch.ones(10, 3, 1, 7, 7)),
            "near to R.2.1.D-18 of width 8 .* but stem.0.weight is 10x3x1x7x7, not 5x3x1x7x7$",
        ),
        (changed("fc.bias", torch.ones(2)), "but fc.weight is 400x64, not 2x64$"),
        ({"stem.0.weight": torch.ones(())}, "there is no stem.0.weight of a video network"),
        (
            changed("stem.3.weight", torch.ones(1, 3, 3, 1, 1)),
            "its stem is none .* at least 2, got 1",
        ),
        (changed("stem.3.weight", torch.ones(())), "its stem is none of a network of ours"),
        ({"conv1.weight": torch.ones(1)}, r"but conv1.weight\)"),
        ({}, r"but nothing\)"),
        ({"backbone.conv1.conv.conv_s.weight": torch.ones(1)}, "mmaction2's, whose stem has 83"),
        ({"blocks.0.conv.weight": torch.ones(1)}, "pytorchvideo's"),
        ({"s1.pathway0_stem.conv.weight": torch.ones(1)}, "SlowFast's"),
    ],
)
def test_what_does_not_fit_is_said(state: State, message: str) -> None:
    with pytest.raises(LayoutError, match=message):
        network_of(state)


def test_a_depth_that_is_not_ours_is_refused() -> None:
    state = {
        name: value
        for name, value in state_of(ModelOptions(depth=34)).items()
        if not name.startswith("layer3.5.")
    }
    with pytest.raises(LayoutError, match=r"layers have \(3, 4, 5, 3\) plain blocks; known are"):
        network_of(state)


def test_how_the_network_is_computed_follows_the_options() -> None:
    torch.manual_seed(0)
    model = build(replace(NET, folded=False, eps=0.5), 2)
    norms = {m.eps for m in model.modules() if isinstance(m, torch.nn.BatchNorm3d)}
    assert norms == {0.5}
    assert not any(getattr(module, "folded", False) for module in model.modules())
