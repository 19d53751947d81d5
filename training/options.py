"""Every option of the training side: typed, with unit, default and paper section, checked."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from formats.settings import SettingsError, load_settings, to_toml

CONFIGS = Path(__file__).parent / "configs"

Value = TypeVar("Value")


def operational(default: Value) -> Value:
    """A dataclass field whose value does not change what is learned."""
    return field(default=default, metadata={"operational": True})


@dataclass(frozen=True)
class ModelOptions:
    """Which network (paper 3.3)."""

    kind: str = "r2plus1d"
    """`r2plus1d`, `r3d` or `r2d`."""
    depth: int = 34
    width: int = 64
    """Channels of the first layer; the paper's networks have 64."""
    midplanes: str = "paper"
    """`torchvision` for the form that torchvision's 18-layer weights need."""
    normalise: str = "colour"
    """`colour`: subtract the authors' mean colour. `motion`: subtract each clip's mean frame and
    even out its contrast, for small datasets whose labels are motions, not scenes."""
    precision: str = "auto"
    """`float32`, `bfloat16` convolutions, or `auto`: bfloat16 where the processor has it."""

    def __post_init__(self) -> None:
        _one_of(self, "kind", "r2plus1d", "r3d", "r2d")
        _one_of(self, "midplanes", "paper", "torchvision")
        _one_of(self, "normalise", "colour", "motion")
        _one_of(self, "precision", "auto", "float32", "bfloat16")
        _at_least(self, width=2)


@dataclass(frozen=True)
class ClipOptions:
    """What the loader makes of a stored video (paper 3.3)."""

    split: str = "all"
    """Folder below `shards/` that pre-training reads."""
    num_frames: int = 8
    """Frames per clip, consecutive at `fps`."""
    fps: float = 0.0
    """Frames per second that are looked at; 0 = the video's own rate, as in the paper."""
    height: int = 128
    """Pixels that frames are scaled to, whatever their aspect ratio."""
    width: int = 171
    crop: int = 112
    """Side of the square cut from that: anywhere for training, from the centre for testing."""
    mirror: bool = True
    """Mirror every second training clip; turn it off where left and right are different labels."""
    recolour: bool = False
    """Shuffle the colours of training clips and invert every second one: for small datasets, where
    a network would learn its videos by their colours."""
    cache_mib: int = operational(0)
    """Keep decoded, scaled videos in memory up to this much; needs `workers = 0`."""
    workers: int = operational(0)
    """Processes that decode; 0 = decode between steps. The batches are the same."""
    shards_per_window: int = 4
    """Shards whose clips are mixed. Their bytes are in memory, once over all workers."""
    verify: str = operational("full")
    """`full` re-reads every shard's SHA-256 before the first step, `size` its size only."""

    def __post_init__(self) -> None:
        _one_of(self, "verify", "full", "size")
        _at_least(self, num_frames=1, fps=0, crop=16, cache_mib=0, workers=0)
        _at_least(self, shards_per_window=1, height=self.crop, width=self.crop)
        if self.cache_mib and self.workers:
            raise ValueError("cache_mib needs workers = 0: each worker would keep its own copy")


@dataclass(frozen=True)
class TrainOptions:
    """How long and how fast to learn (paper 3.3)."""

    rng_seed: int = 0
    """Everything random is a hash of this and an id."""
    clips: int = 490_000_000
    """Clips processed in all, repeats counted."""
    batch_size: int = 6
    lr: float = 0.192
    """At `lr_batch_size` clips per step; scaled linearly to `batch_size`."""
    lr_batch_size: int = 768
    reductions: int = 13
    """How often the learning rate is lowered, at equal distances."""
    lr_factor: float = 0.5
    """What each reduction multiplies it by."""
    warmup_clips: int = 1_000_000
    """Clips over which it rises linearly to its first value (the paper gives no length)."""
    momentum: float = 0.9
    """Of Nesterov's method."""
    weight_decay: float = 1e-4
    """On weights and batch-norm scales, not on biases (as Caffe2 did)."""
    threads: int = operational(0)
    """CPU threads of PyTorch; 0 = one per core."""
    checkpoint_steps: int = operational(1000)
    """Steps between checkpoints; one is also written at the end."""

    def __post_init__(self) -> None:
        _at_least(self, clips=1, batch_size=1, lr_batch_size=1, reductions=0, warmup_clips=0)
        _at_least(self, threads=0, checkpoint_steps=1, lr=0, momentum=0, weight_decay=0)


@dataclass(frozen=True)
class FinetuneOptions(TrainOptions):
    """Full fine-tuning on a target: the authors' published script, for 8 GPUs of 4 clips."""

    clips: int = 800_000
    batch_size: int = 4
    lr: float = 8e-4
    lr_batch_size: int = 32
    reductions: int = 3
    lr_factor: float = 0.1
    warmup_clips: int = 0
    weight_decay: float = 5e-3


@dataclass(frozen=True)
class EvaluateOptions:
    """How a network is measured (paper 4)."""

    clips: int = 10
    """Clips per video, evenly spread; their predictions are averaged."""
    batch_size: int = 4
    """Videos at once."""
    linear_clips: int = 10
    """Clips per training video whose features the fc-only classifier sees."""
    linear_c: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """Inverse strengths of the L2 penalty to choose from on a hold-out of the training videos."""
    holdout_fraction: float = 0.1

    def __post_init__(self) -> None:
        _at_least(self, clips=1, batch_size=1, linear_clips=1)
        if not self.linear_c or min(self.linear_c) <= 0:
            raise ValueError(f"linear_c must be positive numbers, got {self.linear_c}")
        if not 0 < self.holdout_fraction < 1:
            raise ValueError(f"holdout_fraction must be in (0, 1), got {self.holdout_fraction}")


@dataclass(frozen=True)
class Options:
    """Everything one training run can be told."""

    model: ModelOptions = field(default_factory=ModelOptions)
    clips: ClipOptions = field(default_factory=ClipOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    finetune: FinetuneOptions = field(default_factory=FinetuneOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)


def load_options(config: str, overrides: Sequence[str]) -> Options:
    """Defaults, then a config, then each `section.option=value`, the last one winning.

    `config` is the name of a file in `training/configs` or the path of a TOML file.

    Raises:
        SettingsError: no such config, an unknown name (with a hint) or a refused value.
    """
    path = Path(config)
    if path.suffix != ".toml":
        path = CONFIGS / f"{config}.toml"
        if not path.is_file():
            known = ", ".join(sorted(file.stem for file in CONFIGS.glob("*.toml")))
            raise SettingsError(f"{config!r} is no config; known: {known}, or a .toml file")
    return load_settings(Options, [str(path)], overrides)


def override(options: Options, overrides: Sequence[str]) -> Options:
    """The options with each `section.option=value` changed.

    Raises:
        SettingsError: an unknown name (with a hint) or a refused value.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(to_toml(options))
        file.flush()
        return load_settings(Options, [file.name], overrides)


def from_sections(sections: Mapping[str, Mapping[str, Any]]) -> Options:
    """The options that `dataclasses.asdict` took apart.

    Raises:
        ValueError: they are of another version, or one of them is out of bounds.
    """
    try:
        return Options(
            **{
                f.name: type(getattr(Options(), f.name))(**sections[f.name])
                for f in fields(Options)
            }
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"options of another version: {error}") from error


def _at_least(options: object, **bounds: float) -> None:
    for name, bound in bounds.items():
        if getattr(options, name) < bound:
            raise ValueError(f"{name} must be at least {bound}, got {getattr(options, name)}")


def _one_of(options: object, name: str, *known: str) -> None:
    if getattr(options, name) not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, got {getattr(options, name)!r}")
