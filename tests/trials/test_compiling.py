"""The network as torch.compile makes it, forward and backward, beside the same in float64.

It is only used on GPUs, but what it assumes of sizes and memory orders is asserted on any device:
this runs on a GPU where there is one.
"""

import copy
import shutil

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from training.learner import build_model
from training.options import ModelOptions

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

pytestmark = [
    pytest.mark.trial,
    pytest.mark.skipif(not shutil.which("g++"), reason="needs a C++ compiler"),
]


def outcome(network: nn.Module, model: nn.Module, frames: Tensor, half: bool) -> list[Tensor]:
    """Logits, and the gradient of all weights, in training."""
    model.train().zero_grad()
    with torch.autocast(DEVICE, torch.bfloat16, enabled=half):
        logits = network(frames)
    truth = torch.arange(len(logits), device=DEVICE)
    functional.cross_entropy(logits.double(), truth).backward()
    gradients = [weight.grad.flatten().double() for weight in model.parameters()]  # type: ignore[union-attr]
    return [logits.detach().double(), torch.cat(gradients)]


def errors(found: list[Tensor], exact: list[Tensor]) -> list[float]:
    return [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]


@pytest.mark.parametrize(("depth", "frames"), [(18, 8), (34, 8)])
def test_a_compiled_network_is_as_near_to_the_exact_one(depth: int, frames: int) -> None:
    model = build_model(ModelOptions(depth=depth), 12, 0)
    model = model.to(DEVICE, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    clips = torch.randn(4, frames, 48, 48, 3, generator=torch.Generator().manual_seed(0))
    clips = clips.permute(0, 4, 1, 2, 3).to(DEVICE)
    precise = copy.deepcopy(model).double()
    exact = outcome(precise, precise, clips.double(), False)
    compiled = torch.compile(model, dynamic=False)
    for half in (False, True):
        eager = errors(outcome(model, model, clips, half), exact)
        ours = errors(outcome(compiled, model, clips, half), exact)
        # A network that has learned nothing yet magnifies what is rounded, in either way.
        assert all(a <= 2 * b for a, b in zip(ours, eager, strict=True)), (half, ours, eager)
    torch._dynamo.reset()
