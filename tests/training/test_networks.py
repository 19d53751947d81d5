import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tests.training.reference_nets import Mid, Reference, mid_of_authors, mid_of_torchvision
from training.models import inflate, r2d, r2plus1d, r3d
from training.models.convolutions import CubicConv
from training.models.networks import VideoResNet, count_parameters


def gmacs(model: VideoResNet, frames: int = 32, side: int = 112) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, 3, frames, side, side, device="meta"))
    return float(round(counter.get_total_flops() / 2e9, 3))


@pytest.mark.parametrize(
    ("depth", "parameters", "work", "keys"),
    [
        (18, 33_349_806, 82.992, 224),
        (34, 63_676_142, 152.356, 416),
        (101, 85_966_776, 176.468, 830),
        (152, 118_142_776, 251.997, 1238),
    ],
)
def test_size_work_and_names_are_the_papers(
    depth: int, parameters: int, work: float, keys: int
) -> None:
    with torch.device("meta"):
        model = r2plus1d(depth, 359)
    assert (count_parameters(model), gmacs(model), len(model.state_dict())) == (
        parameters,
        work,
        keys,
    )


@pytest.mark.parametrize(
    ("depth", "parameters", "decayed", "work"),
    [
        (18, 33_370_839, 33_344_279, (20.748, 41.496, 82.992)),
        (34, 63_697_175, 63_646_487, (38.089, 76.178, 152.356)),
        (101, 86_050_785, 85_908_375, (44.117, 88.234, 176.469)),
        (152, 118_226_785, 118_021_015, (63.0, 125.999, 251.997)),
    ],
)
def test_with_400_classes_work_is_linear_in_the_frames(
    depth: int, parameters: int, decayed: int, work: tuple[float, ...]
) -> None:
    with torch.device("meta"):
        model = r2plus1d(depth, 400)
    kernels = sum(p.numel() for p in model.parameters() if p.ndim > 1)
    # The authors' own count is of the weights of convolutions and the last layer alone.
    assert (count_parameters(model), kernels) == (parameters, decayed)
    assert tuple(gmacs(model, frames) for frames in (8, 16, 32)) == pytest.approx(work, abs=0.0011)


@pytest.mark.parametrize(("depth", "frames", "work"), [(34, 32, 199.0), (34, 8, 49.7)])
def test_work_at_128_pixels_is_that_of_the_authors_model_zoo(
    depth: int, frames: int, work: float
) -> None:
    with torch.device("meta"):
        model = r2plus1d(depth, 400)
    assert gmacs(model, frames, 128) == pytest.approx(work, abs=0.05)


def test_the_487_class_network_has_the_size_of_the_public_weights() -> None:
    with torch.device("meta"):
        assert count_parameters(r2plus1d(34, 487)) == 63_741_806


def test_r3d_and_r2d_have_the_authors_size() -> None:
    with torch.device("meta"):
        nets = [r3d(18, 359), r3d(34, 359), r2d(18, 359)]
    sizes = [(count_parameters(n), gmacs(n), len(n.state_dict())) for n in nets]
    assert sizes == [
        (33_350_439, 81.393, 122),
        (63_660_071, 150.756, 218),
        (11_360_679, 55.202, 122),
    ]


def test_torchvision_variant_shares_midplanes_within_a_block() -> None:
    with torch.device("meta"):
        model = r2plus1d(18, 400, midplanes="torchvision")
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm3d)} == {1e-5}
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    assert count_parameters(model) == 31_505_325
    assert shapes["layer2.0.conv2.0.0.weight"] == (230, 128, 1, 3, 3)
    assert gmacs(model) == 81.038


def test_names_and_shapes_are_those_of_the_public_weights() -> None:
    with torch.device("meta"):
        state = r2plus1d(34, 359).state_dict()
    shapes = {name: tuple(value.shape) for name, value in state.items()}
    wanted = {
        "stem.0.weight": (45, 3, 1, 7, 7),
        "stem.1.running_var": (45,),
        "stem.3.weight": (64, 45, 3, 1, 1),
        "stem.4.bias": (64,),
        "layer1.0.conv1.0.0.weight": (144, 64, 1, 3, 3),
        "layer2.0.conv1.0.3.weight": (128, 230, 3, 1, 1),
        "layer2.0.conv2.0.0.weight": (288, 128, 1, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1, 1),
        "layer4.2.conv2.1.num_batches_tracked": (),
        "fc.weight": (359, 512),
        "fc.bias": (359,),
    }
    assert {name: shapes[name] for name in wanted} == wanted


def test_bottleneck_names_are_those_of_the_public_weights() -> None:
    with torch.device("meta"):
        shapes = {k: tuple(v.shape) for k, v in r2plus1d(152, 359).state_dict().items()}
    wanted = {
        "layer1.0.conv1.0.weight": (64, 64, 1, 1, 1),
        "layer1.0.conv2.0.0.weight": (144, 64, 1, 3, 3),
        "layer1.0.conv3.0.weight": (256, 64, 1, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1, 1),
        "layer4.0.conv2.0.3.weight": (512, 1152, 3, 1, 1),
        "fc.weight": (359, 2048),
    }
    assert {name: shapes[name] for name in wanted} == wanted


def test_batch_norm_is_the_authors() -> None:
    norms = [m for m in r2plus1d(18, 2, width=4).modules() if isinstance(m, nn.BatchNorm3d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.1)}


def test_layers_halve_time_and_space_as_in_the_paper() -> None:
    shapes = []
    with torch.device("meta"):
        model = r2plus1d(18, 400)
        hidden = torch.empty(1, 3, 32, 112, 112)
    for name in ("stem", "layer1", "layer2", "layer3", "layer4"):
        hidden = model.get_submodule(name)(hidden)
        shapes.append(tuple(hidden.shape[1:]))
    assert shapes == [
        (64, 32, 56, 56),
        (64, 32, 56, 56),
        (128, 16, 28, 28),
        (256, 8, 14, 14),
        (512, 4, 7, 7),
    ]


@pytest.mark.parametrize(
    ("depth", "blocks", "form", "mid", "eps"),
    [
        (18, (2, 2, 2, 2), "torchvision", mid_of_torchvision, 1e-5),
        (18, (2, 2, 2, 2), "paper", mid_of_authors, 1e-3),
        (34, (3, 4, 6, 3), "paper", mid_of_authors, 1e-3),
        (101, (3, 4, 23, 3), "paper", mid_of_authors, 1e-3),
        (152, (3, 8, 36, 3), "paper", mid_of_authors, 1e-3),
    ],
)
def test_weights_of_the_public_definitions_load_strictly_and_give_their_outputs(
    depth: int, blocks: tuple[int, ...], form: str, mid: Mid, eps: float
) -> None:
    torch.manual_seed(0)
    public = Reference(blocks, 5, 8, mid, eps).eval()
    for module in public.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, 0, 0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    model = r2plus1d(depth, 5, midplanes=form, width=8).eval()
    assert list(model.state_dict()) == list(public.state_dict())
    model.load_state_dict(public.state_dict(), strict=True)
    frames = torch.randn(2, 3, 8, 24, 24)
    with torch.inference_mode():
        torch.testing.assert_close(model(frames), public(frames), rtol=1e-4, atol=1e-5)


def test_r2plus1d_learns_through_every_parameter() -> None:
    torch.manual_seed(0)
    model = r2plus1d(18, 3, width=8)
    model(torch.randn(2, 3, 8, 32, 32)).square().sum().backward()
    assert [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_an_inflated_network_sees_equal_frames_as_their_one_frame() -> None:
    torch.manual_seed(0)
    flat, deep = r2d(18, 3, width=4).eval(), r3d(18, 3, width=4).eval()
    for norm in (m for m in flat.modules() if isinstance(m, nn.BatchNorm3d)):
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
    inflate(flat.state_dict(), deep)
    frame = torch.randn(1, 3, 1, 16, 16)
    with torch.inference_mode():
        thin, thick = flat.activations(frame), deep.activations(frame.expand(-1, -1, 128, -1, -1))
    # Every eighth frame is left; the zero padding at the ends reaches 54 frames into the clip.
    assert thick.shape[2] == 16
    torch.testing.assert_close(thick[:, :, 7:9], thin.expand(-1, -1, 2, -1, -1))
    assert (thick[:, :, 0] - thin[:, :, 0]).abs().max() > 1e-3


def test_an_inflated_network_that_repeats_its_borders_gives_the_2d_logits() -> None:
    torch.manual_seed(0)
    flat, deep = r2d(18, 3, width=4).eval(), r3d(18, 3, width=4).eval()
    inflate(flat.state_dict(), deep)
    for conv in (m for m in deep.modules() if isinstance(m, CubicConv)):
        padding = (*[conv.padding[2]] * 2, *[conv.padding[1]] * 2)
        conv.padding = (0, 0, 0)
        conv.register_forward_pre_hook(lambda _, given, sides=padding: _bordered(given[0], sides))
    frame = torch.randn(1, 3, 1, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(deep(frame.expand(-1, -1, 8, -1, -1)), flat(frame))


def _bordered(frames: torch.Tensor, sides: tuple[int, ...]) -> torch.Tensor:
    """Zeros around every frame as before, the first and the last frame once more in time."""
    longer = torch.cat((frames[:, :, :1], frames, frames[:, :, -1:]), 2)
    return functional.pad(longer, sides)


def test_inflating_a_deeper_network_is_refused() -> None:
    with pytest.raises(RuntimeError, match="Missing key"):
        inflate(r2d(18, 3, width=4).state_dict(), r3d(34, 3, width=4))


def test_an_unknown_depth_is_refused() -> None:
    with pytest.raises(ValueError, match="depth must be one of 18, 34, 101, 152, got 50"):
        r2plus1d(50, 10)


def test_unknown_midplanes_are_refused() -> None:
    with pytest.raises(ValueError, match="midplanes must be paper or torchvision, got 'formula'"):
        r2plus1d(18, 10, midplanes="formula")


def test_a_width_that_leaves_no_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="width >= 2, got 10 and 1"):
        r2plus1d(18, 10, width=1)
