from collections.abc import Callable

import pytest
import torch
from functorch.compile import make_boxed_func
from torch import nn
from torch._dynamo.backends.common import aot_autograd
from torch.nn import functional

from training.models import r2plus1d
from training.models.convolutions import (
    FoldingConv,
    FoldingNorm,
    PointConv,
    SpatialConv,
    TemporalConv,
    channels_last,
    midplanes,
)
from training.models.networks import VideoResNet


@pytest.mark.parametrize(
    ("planes", "mid"),
    [
        ((64, 64), 144),
        ((64, 128), 230),
        ((128, 128), 288),
        ((128, 256), 460),
        ((256, 256), 576),
        ((256, 512), 921),
        ((512, 512), 1152),
    ],
)
def test_midplanes_are_the_authors(planes: tuple[int, int], mid: int) -> None:
    assert midplanes(*planes) == mid


def test_midplanes_keep_the_number_of_weights() -> None:
    assert 3 * 3 * 64 * 144 + 3 * 144 * 64 == 27 * 64 * 64


@pytest.mark.parametrize(
    "conv",
    [
        SpatialConv(3, 5, kernel=7, stride=2),
        TemporalConv(3, 5, stride=2),
        PointConv(3, 5, stride=(2, 2)),
        PointConv(3, 5, stride=(1, 2)),
    ],
)
@pytest.mark.parametrize("length", [7, 1])
def test_folding_changes_no_value(conv: nn.Conv3d, length: int) -> None:
    frames = torch.randn(2, 3, length, 9, 11)
    plain = functional.conv3d(frames, conv.weight, None, conv.stride, conv.padding)
    for layout in (frames, channels_last(frames)):
        torch.testing.assert_close(conv(layout), plain, atol=1e-5, rtol=1e-5)


def test_gradients_of_pointwise_kernels_lie_in_memory_as_the_kernels_do() -> None:
    """Where they do not, DistributedDataParallel copies each of them and warns."""
    conv = PointConv(16, 32).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    conv(channels_last(torch.randn(2, 16, 3, 4, 4))).sum().backward()
    assert conv.weight.grad is not None
    assert conv.weight.grad.stride() == conv.weight.stride()


def test_compiled_one_frame_gives_the_values_and_gradients_of_the_whole_kernel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    conv, frames = TemporalConv(3, 5), channels_last(torch.randn(2, 3, 1, 4, 6))
    gradients = []
    for compiling in (False, True):
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda said=compiling: said)
        output = conv(frames)
        gradients.append((output, *torch.autograd.grad(output.square().sum(), conv.weight)))
    torch.testing.assert_close(*gradients)


@pytest.mark.slow
def test_no_memory_order_is_ambiguous_to_a_compiler() -> None:
    # PyTorch 2.11 for GPUs plans a kernel's gradient by input and weight, and lays it out by input
    # and output: where neither of these two tells an order, a compiled network fails.
    shapes: list[tuple[torch.Size, torch.Size]] = []

    def note(graph: torch.fx.GraphModule, _: object) -> Callable[..., object]:
        for node in graph.graph.nodes:
            if node.target == torch.ops.aten.convolution_backward.default:
                output, given, weight = (one.meta["val"].shape for one in node.args[:3])
                if max(weight[2:]) > 1:
                    shapes.append((output, given))
        return make_boxed_func(graph.forward)

    model = channels_last_weights(r2plus1d(18, 3, width=4))
    backend = aot_autograd(fw_compiler=note, bw_compiler=note)
    compiled = torch.compile(model, backend=backend, dynamic=False)
    # Behind the last layer's stride one of 8 frames is left.
    compiled(torch.randn(2, 3, 8, 48, 48)).sum().backward()
    assert len(shapes) > 20
    assert not [both for both in shapes if all(1 in shape[2:] for shape in both)]


def channels_last_weights(model: VideoResNet) -> VideoResNet:
    return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("learning", [False, True])
def test_a_network_gives_the_same_folded_or_not_in_either_memory_order(learning: bool) -> None:
    torch.manual_seed(0)
    model = r2plus1d(18, 3, width=8).train(learning)
    frames = torch.randn(2, 3, 4, 24, 24)
    with torch.inference_mode():
        folded = model(frames)
        model.fold(False)
        plain, lasting = model(frames), model(channels_last(frames))
    parts = [m for m in model.modules() if isinstance(m, FoldingConv | FoldingNorm)]
    assert not any(part.folded for part in parts)
    torch.testing.assert_close(plain, folded, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(lasting, folded, atol=1e-5, rtol=1e-4)
