import copy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from training.clips import Batch
from training.errors import TrainingError
from training.learner import Learner, build_model, forward, loss_of, parameter_groups
from training.options import FinetuneOptions, ModelOptions, TrainOptions
from training.transforms import normalise

TINY = ModelOptions(depth=18, width=4, precision="float32")
CPU = torch.device("cpu")


def batch(size: int = 4) -> Batch:
    pixels = torch.randint(
        256, (size, 4, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    return Batch(pixels, torch.arange(size) % 2, tuple("abcd"[:size]))


def loss_at(learner: Learner, step: int) -> float:
    loss, stop = learner.learn(batch(), step).read()
    assert not stop
    return loss


def test_the_same_seed_builds_the_same_network_whatever_ran_before() -> None:
    first = build_model(TINY, 3, 5).state_dict()
    torch.rand(7)
    second, other = build_model(TINY, 3, 5).state_dict(), build_model(TINY, 3, 6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])


@pytest.mark.parametrize(("kind", "shape"), [("r3d", (3, 7, 7)), ("r2d", (1, 7, 7))])
def test_the_kind_says_which_network(kind: str, shape: tuple[int, ...]) -> None:
    model = build_model(ModelOptions(kind=kind, depth=18, width=4), 3, 0)
    assert tuple(model.state_dict()["stem.0.weight"].shape[2:]) == shape


def test_weights_and_batch_norm_scales_decay_but_biases_do_not() -> None:
    model = build_model(TINY, 3, 0)
    decayed, spared = parameter_groups(model, 0.005)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.005, 0.0)
    spared_names = {names[id(p)] for p in spared["params"]}  # type: ignore[attr-defined]
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.BatchNorm3d)}
    assert spared_names == {"fc.bias", *(f"{norm}.bias" for norm in norms)}
    assert len(decayed["params"]) + len(spared_names) == len(names)  # type: ignore[arg-type]


def test_a_factor_multiplies_the_rate_of_its_layer_and_0_keeps_it() -> None:
    model = build_model(TINY, 3, 0)
    factors = {"stem": 0.0, "layer2": 0.5, "fc": 10.0}
    groups = parameter_groups(model, 0.005, factors)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {}
    for group in groups:
        for parameter in group["params"]:  # type: ignore[attr-defined]
            name = names[id(parameter)]
            found[name] = group["lr_factor"]
            assert group["weight_decay"] == (0.0 if name.endswith(".bias") else 0.005)
            assert parameter.requires_grad == (group["lr_factor"] != 0)
    assert found == {name: factors.get(name.split(".")[0], 1.0) for name in names.values()}


def test_layers_learn_at_their_own_rates_as_the_schedule_goes() -> None:
    options = FinetuneOptions(
        clips=16,
        batch_size=4,
        lr=0.1,
        lr_batch_size=4,
        reductions=1,
        layer_lr=("stem=0", "fc=10"),
    )
    learner = Learner(build_model(TINY, 2, 0), options, TINY, CPU)
    before = {name: value.clone() for name, value in learner.model.state_dict().items()}
    rates = []
    for step in (0, 3):
        loss_at(learner, step)
        rates.append(sorted({group["lr"] for group in learner.optimiser.param_groups}))
    assert rates == [pytest.approx([0, 0.1, 1]), pytest.approx([0, 0.01, 0.1])]
    for name, value in learner.model.named_parameters():
        assert torch.equal(value, before[name]) == name.startswith("stem.")


def test_several_labels_have_a_sigmoid_each_summed_over_the_labels_of_a_clip() -> None:
    logits_BC = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
    truth_BC = torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    shares = logits_BC.sigmoid()
    right = torch.where(truth_BC == 1, shares, 1 - shares)
    torch.testing.assert_close(loss_of(logits_BC, truth_BC), -right.log().sum(1).mean())


def test_a_step_is_nesterovs_by_the_book() -> None:
    options = TrainOptions(
        clips=100, batch_size=4, lr=0.1, lr_batch_size=4, reductions=0, warmup_clips=0
    )
    learner = Learner(build_model(TINY, 2, 0), options, TINY, CPU)
    bias = learner.model.fc.bias
    value, momentum = bias.detach().clone(), torch.zeros_like(bias)
    for step in range(3):
        copy = build_model(TINY, 2, 0)
        copy.load_state_dict(learner.model.state_dict())
        loss = functional.cross_entropy(
            copy.train()(normalise(batch().frames_BTHWC, "colour")), batch().label_id_B
        )
        (gradient,) = torch.autograd.grad(loss, [copy.fc.bias])
        momentum = 0.9 * momentum + gradient
        value = value - 0.1 * (gradient + 0.9 * momentum)
        assert loss_at(learner, step) == pytest.approx(float(loss.detach()), rel=1e-4)
        torch.testing.assert_close(bias.detach(), value, rtol=1e-4, atol=1e-6)


def test_every_step_uses_the_schedules_rate() -> None:
    options = TrainOptions(
        clips=16, batch_size=4, lr=0.8, lr_batch_size=32, reductions=1, warmup_clips=8
    )
    learner = Learner(build_model(TINY, 2, 0), options, TINY, CPU)
    rates = []
    for step in range(4):
        learner.learn(batch(), step)
        rates.append({group["lr"] for group in learner.optimiser.param_groups})
    assert rates == [{0.05}, {0.1}, {0.05}, {0.05}]


def test_a_loss_that_is_not_finite_stops_training() -> None:
    learner = Learner(build_model(TINY, 2, 0), TrainOptions(), TINY, CPU)
    nn.init.constant_(learner.model.fc.bias, float("inf"))
    with pytest.raises(TrainingError, match=r"the loss is nan at step 3: lower train.lr"):
        learner.learn(batch(), 3).read()


def test_an_outcome_carries_the_wish_to_stop() -> None:
    learner = Learner(build_model(TINY, 2, 0), TrainOptions(), TINY, CPU)
    assert learner.learn(batch(), 0, stop=True).read()[1] is True


def test_a_checkpoint_of_another_device_is_taken_up_as_this_one_computes() -> None:
    first = Learner(build_model(TINY, 2, 0), TrainOptions(), TINY, CPU)
    loss_at(first, 0)
    state = copy.deepcopy(first.optimiser.state_dict())
    for group in state["param_groups"]:
        group["fused"] = True
    second = Learner(build_model(TINY, 2, 1), TrainOptions(), TINY, CPU)
    second.restore(first.model.state_dict(), state)
    assert [group["fused"] for group in second.optimiser.param_groups] == [False, False]
    assert loss_at(second, 1) == loss_at(first, 1)
    assert torch.equal(first.model.fc.weight, second.model.fc.weight)


def test_compiling_is_for_gpus() -> None:
    options = replace(TrainOptions(), compile=True)
    learner = Learner(build_model(TINY, 2, 0), options, TINY, CPU)
    assert loss_at(learner, 0) == loss_at(
        Learner(build_model(TINY, 2, 0), TrainOptions(), TINY, CPU), 0
    )


def test_half_precision_gives_nearly_the_same_logits_in_float32() -> None:
    model, other = build_model(TINY, 2, 0).eval(), replace(TINY, precision="bfloat16")
    with torch.inference_mode():
        full = forward(model, batch().frames_BTHWC, TINY, features=True)
        half = forward(model, batch().frames_BTHWC, other, features=True)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.05 * float(full.abs().max()))
