"""Clips per second that networks learn from, beside torchvision's R(2+1)D-18 as it comes.

Run: python -m benchmarks.trainer [--nets 18x8,34x8,34x32] [--batch N] [--steps N] [--out FILE.json]

Pixels are random and lie on the device, so this is the network alone: forward, backward and the
optimiser's step. `python -m training bench --data ...` measures it with the loader.

    reference  torchvision's R(2+1)D-18: plain nn.Conv3d, float32, eager, channels first, SGD with
               momentum. Where torchvision is not installed (it would bring another torch), the same
               layers are built by `midplanes="torchvision"`, which loads its weights. PyTorch's
               defaults hold, which let cuDNN use TF32 for them.
    DxT        ours of depth D on clips of T frames: 2D convolutions in channels-last memory, and
               bfloat16 where the processor has it; once eager, on a GPU also by torch.compile

The reference sees clips of the first net's length and batches as large. All run one after the other
on one device; the ratio is that of the first net's figures to the reference's.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from training.bench import CLASSES, pace, synthetic
from training.clips import Batch
from training.devices import use_device
from training.learner import Learner, Outcome, build_model
from training.models import r2plus1d
from training.models.networks import WIDTH
from training.options import ClipOptions, ModelOptions, Options, TrainOptions
from training.transforms import normalise

WARM = 8


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    side: str
    batch_size: int
    clips_per_s: float
    step_ms: float
    device_mib: int


def main(words: argparse.Namespace) -> None:
    """Print the table, and write it with the command that made it."""
    device = use_device(0)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    print(f"{name}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    print(f"{'':28}{'batch':>7}{'clips/s':>10}{'ms/step':>10}{'GPU MiB':>10}{'ratio':>7}")
    rows: list[Row] = []
    for row in measurements(words, device):
        rows.append(row)
        ratio = row.clips_per_s / rows[0].clips_per_s
        figures = f"{row.clips_per_s:10.1f}{row.step_ms:10.1f}{row.device_mib:10}{ratio:7.2f}"
        print(f"{row.side:28}{row.batch_size:7}{figures}", flush=True)
        if words.out:
            # After every row: what comes next may fail.
            record = {
                "command": " ".join(["python -m benchmarks.trainer", *sys.argv[1:]]),
                "device": name,
                "torch": torch.__version__,
                "cudnn": torch.backends.cudnn.version(),
                "rows": [vars(row) for row in rows],
            }
            Path(words.out).parent.mkdir(parents=True, exist_ok=True)
            Path(words.out).write_text(json.dumps(record, indent=1) + "\n")


def measurements(words: argparse.Namespace, device: torch.device) -> Iterator[Row]:
    """The reference, then every net of ours."""
    nets = [tuple(int(n) for n in net.split("x")) for net in words.nets.split(",")]
    yield reference(options_of(words, *nets[0]), device, words.steps)
    for compiled in (False, True) if device.type == "cuda" else (False,):
        for depth, frames in nets:
            yield ours(options_of(words, depth, frames), device, words.steps, compiled)


def options_of(words: argparse.Namespace, depth: int, frames: int) -> Options:
    """Options of one net; 32 frames take the quarter of the clips that 8 do."""
    batch = max(1, words.batch * 8 // frames)
    return Options(
        model=ModelOptions(depth=depth, width=words.width, precision="auto"),
        clips=ClipOptions(num_frames=frames, crop=words.crop, height=words.crop, width=words.crop),
        train=TrainOptions(batch_size=batch),
    )


def ours(options: Options, device: torch.device, steps: int, compiled: bool) -> Row:
    """The speed of a network of ours."""
    train = replace(options.train, compile=compiled)
    model = build_model(options.model, CLASSES, 0)
    learner = Learner(model, train, options.model, device)
    how = "compiled" if compiled else "eager"
    name = f"{options.model.depth}x{options.clips.num_frames} {how}"
    batches = synthetic(options, CLASSES, device)
    return measured(name, batches, learner.learn, options, steps)


def reference(options: Options, device: torch.device, steps: int) -> Row:
    """The speed of torchvision's definition at the same settings, in the usual way."""
    model, whose = reference_model(options.model.width)
    model.to(device)
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)

    def learn(batch: Batch, step: int) -> Outcome:
        frames = normalise(batch.frames_BTHWC, "colour").contiguous()
        loss = functional.cross_entropy(model(frames), batch.label_id_B)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        return Outcome(step, loss, False)

    name = f"{whose} 18x{options.clips.num_frames}"
    return measured(name, synthetic(options, CLASSES, device), learn, options, steps)


def reference_model(width: int) -> tuple[nn.Module, str]:
    """R(2+1)D-18 in plain layers, and who built it."""
    if width == WIDTH and find_spec("torchvision"):
        torchvision = import_module("torchvision")
        built: nn.Module = torchvision.models.video.r2plus1d_18(num_classes=CLASSES)
        return built, f"torchvision {torchvision.__version__.partition('+')[0]}"
    model = r2plus1d(18, CLASSES, midplanes="torchvision", width=width)
    model.fold(False)
    return model, "reference"


def measured(
    name: str,
    batches: Iterator[Batch],
    learn: Callable[[Batch, int], Outcome],
    options: Options,
    steps: int,
) -> Row:
    """One side's row."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    speed = pace(batches, learn, steps, WARM if gpu else 1)
    size = options.train.batch_size
    mib = torch.cuda.max_memory_allocated() // 2**20 if gpu else 0
    return Row(name, size, round(speed.clips_per_s * size, 2), speed.step_ms, mib)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", default="18x8,34x8,34x32", help="depth x frames each")
    parser.add_argument("--batch", type=int, default=64, help="clips of 8 frames per step")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--crop", type=int, default=112, help="pixels; the paper's are 112")
    parser.add_argument("--width", type=int, default=64, help="channels; the paper's are 64")
    parser.add_argument("--out", help="JSON file with the command and the figures")
    main(parser.parse_args())
