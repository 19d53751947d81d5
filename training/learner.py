"""A network with its optimiser, and one step of learning (paper 3.3)."""

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.clips import Batch
from training.models import r2d, r2plus1d, r3d
from training.models.networks import VideoResNet
from training.options import ModelOptions, TrainOptions
from training.schedule import learning_rate
from training.transforms import normalise


class TrainingError(Exception):
    """Training cannot go on, or not in this way."""


def build_model(options: ModelOptions, num_classes: int, rng_seed: int) -> VideoResNet:
    """A freshly initialised network; the same seed gives the same weights.

    Raises:
        ValueError: a depth that does not exist.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng_seed)
        if options.kind == "r3d":
            return r3d(options.depth, num_classes, width=options.width)
        if options.kind == "r2d":
            return r2d(options.depth, num_classes, width=options.width)
        return r2plus1d(
            options.depth, num_classes, midplanes=options.midplanes, width=options.width
        )


def use_device(threads: int) -> torch.device:
    """The GPU where there is one, else the CPU with this many threads (0 = one per core)."""
    torch.set_num_threads(threads or len(os.sched_getaffinity(0)))
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Every batch has the same shape, so the search for the fastest kernels pays.
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda")


class Learner:
    """A network on a device, learning by Nesterov's SGD."""

    def __init__(
        self,
        model: VideoResNet,
        options: TrainOptions,
        model_options: ModelOptions,
        device: torch.device,
    ):
        self.device = device
        self.model = model.to(device).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.optimiser = torch.optim.SGD(
            parameter_groups(self.model, options.weight_decay),
            lr=learning_rate(0, options),
            momentum=options.momentum,
            nesterov=options.momentum > 0,
        )
        self._options = options
        self._model_options = model_options

    def learn(self, batch: Batch, step: int) -> float:
        """Take one step; return the loss before it.

        Raises:
            TrainingError: the loss is not finite, so the learning rate is too high.
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self._options)
        self.model.train()
        logits = forward(self.model, batch.frames_BTHWC, self._model_options)
        labels = batch.label_id_B.to(self.device, non_blocking=True)
        loss = functional.cross_entropy(logits, labels)
        value = float(loss.detach())
        if not torch.isfinite(loss):
            raise TrainingError(f"the loss is {value} at step {step}: lower train.lr")
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        self.optimiser.step()
        return value


def forward(
    model: VideoResNet, frames_BTHWC: Tensor, options: ModelOptions, *, features: bool = False
) -> Tensor:
    """float32 logits (or pooled features) of uint8 frames, on the model's device."""
    device = next(model.parameters()).device
    frames_BCTHW = normalise(frames_BTHWC.to(device, non_blocking=True), options.normalise)
    auto = options.precision == "auto" and _has_bfloat16(device)
    half = auto or options.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=half):
        output = model.features(frames_BCTHW) if features else model(frames_BCTHW)
    return output.float()


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Weights and batch-norm scales with weight decay, biases without, as Caffe2 tags them."""
    return [
        {"params": list(_named(model, bias=False)), "weight_decay": weight_decay},
        {"params": list(_named(model, bias=True)), "weight_decay": 0.0},
    ]


@cache
def _has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself; emulated, it would be slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "avx512_bf16" in cpu.read_text().split()


def _named(model: nn.Module, *, bias: bool) -> Iterator[nn.Parameter]:
    for name, parameter in model.named_parameters():
        if name.endswith(".bias") == bias:
            yield parameter
