"""How fast this machine trains: the loader alone, the network alone, and both together."""

import itertools
import json
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch

from training.clips import Batch, TrainingClips
from training.errors import TrainingError
from training.layouts import describe
from training.learner import Learner, Outcome
from training.options import Options
from training.ranks import ranks, summed

CLASSES = 400
"""Of the network where no dataset says how many."""


@dataclass(frozen=True)
class Speed:
    """What some steps came to."""

    clips_per_s: float
    """Of all ranks."""
    step_ms: float
    waiting: float
    """Share of the time that was spent waiting for data, of this rank."""


@dataclass(frozen=True)
class Bench:
    """A benchmark's figures and what they were taken on."""

    device: str
    torch: str
    network: str
    clip: str
    ranks: int
    batch_size: int
    steps: int
    speeds: dict[str, Speed]
    host_mib: int
    """Largest memory of this process."""
    worker_mib: int
    """Largest memory of a process that decodes."""
    device_mib: int
    """Largest memory that tensors took on the GPU; 0 without one."""


def bench(learner: Learner, clips: TrainingClips | None, options: Options, steps: int) -> Bench:
    """Measure `steps` steps of each side, after as many as it takes to reach an even pace.

    The network alone takes the same random clips again and again, from the device's own memory.
    Without `clips` only that is measured. The weights of `learner` change.

    Raises:
        TrainingError: an epoch draws no clip.
    """
    how = options.train
    speeds = {}
    # What the workers had ready before the first step must be used up before time is taken.
    warm = max(5, 2 * options.clips.workers + 1)
    if clips:
        speeds["loader alone"] = pace(_endless(clips), lambda *_: None, steps, warm)
    pixels = synthetic(options, learner.model.fc.out_features, learner.device)
    speeds["model alone"] = pace(pixels, learner.learn, steps, 5)
    if clips:
        speeds["both"] = pace(_endless(clips), learner.learn, steps, warm)
    gpu = learner.device.type == "cuda"
    return Bench(
        device=torch.cuda.get_device_name(learner.device)
        if gpu
        else f"CPU, {torch.get_num_threads()} threads",
        torch=torch.__version__,
        network=describe(options.model),
        clip=f"{options.clips.num_frames} x {options.clips.crop} x {options.clips.crop}",
        ranks=ranks().count,
        batch_size=how.batch_size,
        steps=steps,
        speeds={
            name: Speed(
                float(round(speed.clips_per_s * how.batch_size, 2)), speed.step_ms, speed.waiting
            )
            for name, speed in speeds.items()
        },
        host_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        worker_mib=resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
        device_mib=torch.cuda.max_memory_allocated(learner.device) // 2**20 if gpu else 0,
    )


def table(result: Bench) -> str:
    """The figures for people."""
    lines = [
        f"{result.network}, {result.clip}, {result.ranks} x {result.batch_size} clips per step",
        f"{result.device}, torch {result.torch}, {result.steps} steps",
        f"{'':14}{'clips/s':>12}{'ms per step':>14}{'waiting':>10}",
    ]
    for name, speed in result.speeds.items():
        lines.append(
            f"{name:14}{speed.clips_per_s:12.2f}{speed.step_ms:14.1f}{speed.waiting:10.1%}"
        )
    lines.append(
        f"memory: process {result.host_mib} MiB, largest worker {result.worker_mib} MiB, "
        f"GPU {result.device_mib} MiB"
    )
    return "\n".join(lines)


def as_json(result: Bench) -> str:
    """The figures for programs, on one line."""
    return json.dumps(asdict(result))


def pace(
    batches: Iterator[Batch],
    work: Callable[[Batch, int], Outcome | None],
    steps: int,
    warm: int,
) -> Speed:
    """Steps per second of all ranks after `warm` steps; each outcome is read a step late."""
    waited, before, started = 0.0, None, 0.0
    for step in range(warm + steps):
        if step == warm:
            _settle(before)
            waited, started = 0.0, time.perf_counter()
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        outcome = work(batch, step)
        if before:
            before.read()
        before = outcome
    _settle(before)
    seconds = time.perf_counter() - started
    rate = float(summed(torch.tensor([steps / seconds]))[0])
    return Speed(rate, round(1000 * seconds / steps, 2), round(waited / seconds, 4))


def _settle(outcome: Outcome | None) -> None:
    """Wait until the device has done all that was asked of it."""
    if outcome:
        outcome.read()
        if torch.cuda.is_available():
            torch.cuda.synchronize()


def _endless(clips: TrainingClips) -> Iterator[Batch]:
    for epoch in itertools.count():
        if not clips.num_batches(epoch):
            raise TrainingError(f"epoch {epoch} draws no clip: all repeats are near 0")
        yield from clips.batches(epoch)


def synthetic(options: Options, classes: int, device: torch.device) -> Iterator[Batch]:
    """One batch of random pixels on the device, again and again."""
    size, clips = options.train.batch_size, options.clips
    shape = (size, clips.num_frames, clips.crop, clips.crop, 3)
    random = torch.Generator().manual_seed(options.train.rng_seed)
    frames = torch.randint(256, shape, dtype=torch.uint8, generator=random).to(device)
    labels = torch.randint(classes, (size,), generator=random).to(device)
    while True:
        yield Batch(frames, labels, ("",) * size)
