"""A network with its optimiser, and one step of learning (paper 3.3)."""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.clips import Batch
from training.devices import (
    compiling_told,
    in_half_precision,
    refuse_cudnn,
    refuse_without_compiler,
)
from training.errors import DivergedError
from training.layouts import build
from training.models.networks import VideoResNet
from training.options import ModelOptions, TrainOptions, lr_factors
from training.ranks import averaging, from_first, ranks, summed
from training.restoring import restore_momenta, restore_network
from training.schedule import learning_rate
from training.transforms import normalise
from training.yuv import YuvClips


def build_model(options: ModelOptions, num_classes: int, rng_seed: int) -> VideoResNet:
    """A freshly initialised network; the same seed gives the same weights.

    Raises:
        ValueError: a depth that does not exist.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng_seed)
        return build(options, num_classes)


class Outcome:
    """The loss of a step, before it; on a GPU it is known some time after the step was asked for.

    Reading it waits for that, so a loop that reads the outcome of the step before keeps a GPU busy.
    """

    def __init__(self, step: int, loss: Tensor, stop: bool):
        self.step = step
        both = torch.stack((loss.detach(), torch.full_like(loss, stop)))
        self._both = summed(both)
        self._copied = None
        if both.device.type == "cuda":
            self._both = torch.empty(2, pin_memory=True).copy_(both, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    def read(self) -> tuple[float, bool]:
        """The mean loss over all ranks, and whether any of them asked to stop.

        Raises:
            DivergedError: the loss is not finite, so the learning rate is too high.
        """
        if self._copied:
            self._copied.synchronize()
        loss, stop = self._both.tolist()
        loss /= ranks().count
        if not math.isfinite(loss):
            raise DivergedError(f"the loss is {loss} at step {self.step}: lower train.lr")
        return loss, stop > 0


class Learner:
    """A network on a device, learning by Nesterov's SGD, alone or with the other ranks.

    Every rank sees batches of its own and normalises by their statistics; gradients are averaged.

    Raises:
        TrainingError: this cuDNN would compute the network wrongly.
    """

    def __init__(
        self,
        model: VideoResNet,
        options: TrainOptions,
        model_options: ModelOptions,
        device: torch.device,
        origin: str = "",
    ):
        self.device = device
        self.lag = 1 if device.type == "cuda" else 0
        """Steps after which an outcome is read, so that the device always has work queued."""
        self.origin = origin
        """SHA-256 of the weights that `model` came with; empty for random ones."""
        self.model = model.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        if device.type == "cuda" and in_half_precision(model_options, device):
            version = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
            refuse_cudnn(version, model)
        self.optimiser = torch.optim.SGD(
            parameter_groups(self.model, options.weight_decay, lr_factors(options)),
            lr=learning_rate(0, options, ranks().count),
            momentum=options.momentum,
            nesterov=options.momentum > 0,
            fused=device.type == "cuda",
        )
        self._options = options
        self._model_options = model_options
        self._compiled = options.compile and device.type == "cuda"
        self._network = self._with_the_others()

    def learn(self, batch: Batch, step: int, *, stop: bool = False) -> Outcome:
        """Take one step; `stop` tells the other ranks that this one is asked to end.

        Raises:
            TrainingError: torch.compile fails.
        """
        rate = learning_rate(step, self._options, ranks().count)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_factor", 1.0)
        self.model.train()
        # It compiles at the first step: the one half when asked forward, the other backward.
        with compiling_told() if self._compiled else nullcontext():
            logits = _run(self._network, batch.frames_BTHWC, self._model_options, self.device)
            labels = batch.label_id_B.to(self.device, non_blocking=True)
            loss = loss_of(logits, labels)
            outcome = Outcome(step, loss, stop)
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
        self.optimiser.step()
        return outcome

    def restore(self, model: Mapping[str, Tensor], optimiser: Mapping[str, object]) -> None:
        """Take up the weights and the momenta of a checkpoint, whatever device wrote it.

        Raises:
            ValueError: they are of another network.
        """
        restore_network(self.model, model)
        restore_momenta(self.optimiser, optimiser)

    def take_first_norms(self) -> None:
        """Take over the first rank's batch-norm statistics, which are what a checkpoint holds."""
        for buffer in self.model.buffers():
            from_first(buffer)

    def refuse_overflow(self, step: int) -> None:
        """Refuse weights that are not finite, of whatever rank.

        Raises:
            DivergedError: some are not; on all ranks.
        """
        values = [v for v in self.model.state_dict().values() if v.is_floating_point()]
        broken = torch.stack([~torch.isfinite(value).all() for value in values]).sum()
        if float(summed(broken.float().reshape(1))):
            raise DivergedError(f"weights are not finite after step {step}: lower train.lr")

    def _with_the_others(self) -> nn.Module:
        network: nn.Module = self.model
        if ranks().count > 1:
            network = averaging(network, self.device)
        if self._compiled:
            refuse_without_compiler()
            network = cast(nn.Module, torch.compile(network, dynamic=False))
        return network


def forward(
    model: VideoResNet,
    frames_BTHWC: Tensor | YuvClips,
    options: ModelOptions,
    *,
    features: bool = False,
) -> Tensor:
    """float32 logits (or pooled features) of uint8 frames, on the model's device."""
    device = next(model.parameters()).device
    return _run(model.features if features else model, frames_BTHWC, options, device)


def _run(
    network: Callable[[Tensor], Tensor],
    frames_BTHWC: Tensor | YuvClips,
    options: ModelOptions,
    device: torch.device,
) -> Tensor:
    frames_BCTHW = normalise(frames_BTHWC.to(device, non_blocking=True), options.normalise)
    with torch.autocast(device.type, torch.bfloat16, enabled=in_half_precision(options, device)):
        output = network(frames_BCTHW)
    return output.float()


def loss_of(logits_BC: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross-entropy of label ids [B]; a sigmoid's, per label, of zeros and ones [B, C].

    The second is summed over the labels of a clip: with hundreds of them a mean would leave next
    to no gradient for the few that it carries.
    """
    if labels.ndim == 1:
        return functional.cross_entropy(logits_BC, labels)
    every = functional.binary_cross_entropy_with_logits(logits_BC, labels, reduction="sum")
    return every / len(labels)


def parameter_groups(
    model: nn.Module, weight_decay: float, factors: Mapping[str, float] = MappingProxyType({})
) -> list[dict[str, object]]:
    """Weights and batch-norm scales with weight decay, biases without, as Caffe2 tags them.

    `factors` multiply the learning rate of the layers (`stem`, `layer1` ... `fc`) they name; one of
    0 keeps a layer's weights as they are.
    """
    groups: list[dict[str, object]] = []
    for factor in sorted({factors.get(_layer(name), 1.0) for name, _ in model.named_parameters()}):
        for bias, decay in ((False, weight_decay), (True, 0.0)):
            own = [
                (name, parameter)
                for name, parameter in model.named_parameters()
                if name.endswith(".bias") == bias and factors.get(_layer(name), 1.0) == factor
            ]
            for _, parameter in own:
                parameter.requires_grad_(factor != 0)
            group = {"params": [p for _, p in own], "weight_decay": decay, "lr_factor": factor}
            groups += [group] if own else []
    return groups


def _layer(parameter: str) -> str:
    return parameter.partition(".")[0]
