from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from training.devices import (
    compiling_told,
    memory_told,
    refuse_cudnn,
    refuse_without_compiler,
    use_device,
)
from training.errors import TrainingError
from training.learner import build_model
from training.options import ModelOptions


def test_without_a_c_compiler_nothing_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("training.devices.find_spec", lambda name: name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(TrainingError, match=r"needs Triton and a C compiler.* set train.compile=f"):
        refuse_without_compiler()
    (tmp_path / "gcc").touch(0o755)
    refuse_without_compiler()
    monkeypatch.setattr("training.devices.find_spec", lambda name: None)
    with pytest.raises(TrainingError, match="needs Triton"):
        refuse_without_compiler()


@pytest.mark.parametrize(
    ("model", "version", "fine"),
    [
        (ModelOptions("r3d", 18, 4), 91_002, False),
        (ModelOptions("r3d", 18, 4), 91_500, True),
        (ModelOptions("r3d", 18, 4), None, True),
        (ModelOptions("r2plus1d", 18, 4), 90_100, True),
        (ModelOptions("r2plus1d", 18, 4, folded=False), 91_499, False),
    ],
)
def test_a_cudnn_that_errs_in_3d_is_refused_where_it_is_used(
    model: ModelOptions, version: int | None, fine: bool
) -> None:
    if fine:
        refuse_cudnn(version, build_model(model, 2, 0))
        return
    with pytest.raises(TrainingError, match=r"cuDNN 9.1\d.\d+ computes .* install 9.15 or newer"):
        refuse_cudnn(version, build_model(model, 2, 0))


def test_threads_are_those_asked_for() -> None:
    before = torch.get_num_threads()
    device = use_device(1)
    assert torch.get_num_threads() == 1
    assert device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(before)


def test_too_little_memory_is_said_in_one_sentence() -> None:
    told = r"^not enough memory \(DefaultCPUAllocator: .* allocate \d+ bytes\): lower train.batch"
    with pytest.raises(TrainingError, match=told), memory_told():
        torch.empty(1 << 55, dtype=torch.uint8)
    with pytest.raises(TrainingError, match=r"\(Unable to allocate 32.0 PiB .*\): "), memory_told():
        np.empty(1 << 55, np.uint8)
    with (
        pytest.raises(TrainingError, match=r"^not enough memory \(of this machine\)"),
        memory_told(),
    ):
        b" " * (1 << 60)
    with pytest.raises(RuntimeError, match="must match"), memory_told():
        torch.ones(2) + torch.ones(3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_too_little_memory_of_a_gpu_is_said_in_one_sentence() -> None:
    told = r"^not enough memory \(CUDA out of .* allocate [\d.]+ \w+\): lower train.batch"
    with pytest.raises(TrainingError, match=told), memory_told():
        torch.empty(1 << 50, dtype=torch.uint8, device="cuda")


def test_what_cannot_be_compiled_is_said_in_one_sentence() -> None:
    def unable(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> nn.Module:
        raise ValueError("no such instruction\non this machine")

    network = torch.compile(nn.Linear(2, 2), backend=unable)
    told = r"^torch.compile failed \(.*no such instruction\): set train.compile=false"
    with pytest.raises(TrainingError, match=told), compiling_told():
        network(torch.ones(1, 2))
    with pytest.raises(TrainingError, match="expected size 2"), compiling_told():
        torch._C._dynamo.guards.assert_size_stride(torch.ones(2), (3,), (1,))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), compiling_told():
        nn.Linear(2, 2)(torch.ones(1, 3))
