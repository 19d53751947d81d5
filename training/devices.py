"""What networks are computed on, what is wrong with it, and what it runs out of."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from training.errors import TrainingError
from training.options import ModelOptions
from training.ranks import local_rank

CUDNN = 91_500
"""The first version without known faults in 3D convolutions."""
_CPU_MEMORY = "DefaultCPUAllocator"
"""Without a GPU only these words tell what a RuntimeError is about."""


def use_device(threads: int) -> torch.device:
    """This process's GPU where there is one, else the CPU with this many threads.

    0 threads are one per core, shared among the processes that learn together on this machine.
    """
    number, count = local_rank()
    torch.set_num_threads(threads or max(1, len(os.sched_getaffinity(0)) // count))
    if not torch.cuda.is_available():
        return torch.device("cpu")
    # Every batch has the same shape, so the search for the fastest kernels pays.
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def in_half_precision(options: ModelOptions, device: torch.device) -> bool:
    """Whether convolutions are computed in bfloat16."""
    auto = options.precision == "auto" and _has_bfloat16(device)
    return auto or options.precision == "bfloat16"


def refuse_cudnn(version: int | None, model: nn.Module) -> None:
    """Refuse a cuDNN that computes 3D convolutions in bfloat16 wrongly, or without bounds.

    Up to 9.12 results can be wrong (pytorch#163539), before 9.15 memory grows 17-fold (#166643).
    Networks whose convolutions all run as 2D ones are free of both.

    Raises:
        TrainingError: the network has 3D convolutions, and cuDNN is older than 9.15.
    """
    solid = any(
        isinstance(module, nn.Conv3d) and not getattr(module, "folded", False)
        for module in model.modules()
    )
    if solid and version is not None and version < CUDNN:
        old = f"{version // 10_000}.{version // 100 % 100}.{version % 100}"
        raise TrainingError(
            f"cuDNN {old} computes 3D convolutions in bfloat16 wrongly or with far too much "
            "memory: install 9.15 or newer, or set model.precision=float32"
        )


@contextmanager
def memory_told() -> Iterator[None]:
    """Say what to do where the memory of the GPU, or of the machine, is not enough.

    Raises:
        TrainingError: it was not.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        told = str(error).partition(" GPU ")[0].partition(" Error code")[0]
        if _CPU_MEMORY in told:
            told = told[told.index(_CPU_MEMORY) :]
        elif not isinstance(error, (MemoryError, torch.OutOfMemoryError)):
            raise
        raise TrainingError(
            f"not enough memory ({told.rstrip('.') or 'of this machine'}): lower train.batch_size "
            "(for transfer finetune.batch_size and evaluate.batch_size), or take shorter clips or "
            "a smaller network"
        ) from error


def refuse_without_compiler() -> None:
    """Refuse torch.compile where what it compiles with is missing.

    Raises:
        TrainingError: there is no Triton, or no C compiler.
    """
    compilers = (os.environ.get("CC", ""), "gcc", "clang")
    if not find_spec("triton") or not any(shutil.which(name) for name in compilers if name):
        raise TrainingError(
            "train.compile=true needs Triton and a C compiler, which are not here: install gcc and "
            "triton, or set train.compile=false"
        )


@contextmanager
def compiling_told() -> Iterator[None]:
    """Say what to do where a network cannot be compiled, or does not run as it was compiled.

    Raises:
        TrainingError: torch.compile failed.
    """
    try:
        yield
    except (AssertionError, RuntimeError) as error:
        # What it assumed of strides and sizes is asserted in what it made.
        if not isinstance(error, (AssertionError, torch._dynamo.exc.TorchDynamoException)):
            raise
        first, *others = (str(error).strip() or repr(error)).splitlines()
        said = f"{first} {others[0]}" if first.endswith(":") and others else first
        raise TrainingError(
            f"torch.compile failed ({said}): set train.compile=false, which is slower"
        ) from error


@cache
def _has_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is computed by the processor itself; emulated, it would be slower."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu = Path("/proc/cpuinfo")
    return cpu.is_file() and "avx512_bf16" in cpu.read_text().split()
