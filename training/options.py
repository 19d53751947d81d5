"""Every option of the training side: typed, with unit, default and paper section, checked."""

import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from formats.settings import SettingsError, load_settings, to_toml
from training.clip_options import ClipOptions as ClipOptions
from training.option_checks import at_least, one_of, operational

CONFIGS = Path(__file__).parent / "configs"
_LENGTH = "'clips' (processed in all, repeats counted)"
_WORDS_OF_OTHERS = {
    **dict.fromkeys(("epoch", "epochs", "steps", "max_steps", "iterations"), _LENGTH),
    "learning_rate": "'lr'",
}
DEPTHS = (18, 34, 101, 152)
LAYERS = ("stem", "layer1", "layer2", "layer3", "layer4", "fc")


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
    eps: float = 0.0
    """Of batch normalisation; 0 = the authors' 1e-3, or 1e-5 with torchvision's mid-planes."""
    normalise: str = "colour"
    """`colour`: subtract the authors' mean colour. `motion`: subtract each clip's mean frame and
    even out its contrast, for small datasets whose labels are motions, not scenes."""
    precision: str = "auto"
    """`float32`, `bfloat16` convolutions, or `auto`: bfloat16 where the processor has it."""
    folded: bool = operational(True)
    """Run convolutions over space or time as 2D ones; the weights are the same."""

    def __post_init__(self) -> None:
        one_of(self, "kind", "r2plus1d", "r3d", "r2d")
        one_of(self, "midplanes", "paper", "torchvision")
        one_of(self, "normalise", "colour", "motion")
        one_of(self, "precision", "auto", "float32", "bfloat16")
        at_least(self, width=2, eps=0)
        if self.depth not in DEPTHS:
            raise ValueError(f"depth must be one of {DEPTHS}, got {self.depth}")


@dataclass(frozen=True)
class TrainOptions:
    """How long and how fast to learn (paper 3.3)."""

    rng_seed: int = 0
    """Everything random is a hash of this and an id."""
    clips: int = 490_000_000
    """Clips processed in all, repeats counted."""
    batch_size: int = 6
    """Clips per step of each process that learns; torchrun starts one per GPU."""
    lr: float = 0.192
    """At `lr_batch_size` clips per step; scaled linearly to those that all processes take."""
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
    compile: bool = operational(False)
    """Let torch.compile fuse the network's layers; only on a GPU, needs Triton and a C compiler."""
    tensorboard: bool = operational(True)
    """Also write loss, rate and speed for TensorBoard, to `tensorboard/` in the run's folder."""

    def __post_init__(self) -> None:
        at_least(self, clips=1, batch_size=1, lr_batch_size=1, reductions=0, warmup_clips=0)
        at_least(self, threads=0, checkpoint_steps=1, lr=0, momentum=0, weight_decay=0, lr_factor=0)
        if self.momentum >= 1:
            raise ValueError(f"momentum must be below 1, got {self.momentum}")


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
    grid_lr: tuple[float, ...] = (2e-4, 8e-4, 3.2e-3)
    """Values of `lr` to choose from on a hold-out of the training videos; none: `lr` itself."""
    grid_weight_decay: tuple[float, ...] = (5e-4, 5e-3)
    """Values of `weight_decay` to choose from together with them; none: `weight_decay` itself."""
    layer_lr: tuple[str, ...] = ()
    """What multiplies the rate of single layers, as in `stem=0, layer1=0.1, fc=10`; 0 keeps a
    layer's weights as they were pre-trained; its batch norms go on following the clips."""
    scratch: bool = False
    """Also train the same network from random weights, with a grid of its own (Table 2)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not all(0 <= value < math.inf for value in (*self.grid_lr, *self.grid_weight_decay)):
            raise ValueError("grid_lr and grid_weight_decay must be numbers, none of them below 0")
        lr_factors(self)


def lr_factors(options: TrainOptions) -> dict[str, float]:
    """Layer -> what multiplies its learning rate; layers that are not named have 1.

    Raises:
        ValueError: an entry that is not `layer=number`, with a layer of ours and a number >= 0.
    """
    factors = {}
    for entry in getattr(options, "layer_lr", ()):
        layer, _, number = (part.strip() for part in entry.partition("="))
        known = re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", number, re.IGNORECASE)
        if layer not in LAYERS or not known or layer in factors:
            raise ValueError(
                f"layer_lr has {entry!r}, want each of {', '.join(LAYERS)} once at most, as fc=10"
            )
        factors[layer] = float(number)
    return factors


@dataclass(frozen=True)
class EvaluateOptions:
    """How a network is measured (paper 4)."""

    splits: tuple[str, ...] = ("val",)
    """Folders of a target that are measured on, beside the `train` it is fitted to."""
    clips: int = 10
    """Clips per video, evenly spread; their predictions are averaged."""
    batch_size: int = 4
    """Videos at once."""
    linear_clips: int = 10
    """Clips per training video whose features the fc-only classifier sees."""
    linear_c: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0, 10.0)
    """Inverse strengths of the L2 penalty to choose from on a hold-out of the training videos."""
    holdout_fraction: float = 0.1
    """Share of every label's training videos on which C, or the fine-tuning grid, is chosen."""
    fully_convolutional: bool = False
    """Test on a larger square, its predictions averaged over every window of the training size
    (paper 4.4); not for `linear`."""
    full_crop: int = 128
    """Side of that square in pixels."""

    def __post_init__(self) -> None:
        at_least(self, clips=1, batch_size=1, linear_clips=1, full_crop=16)
        if not self.splits or not all(re.fullmatch(r"[\w-]+", split) for split in self.splits):
            raise ValueError(f"splits must be names of folders, got {self.splits}")
        if not self.linear_c or not all(0 < c < math.inf for c in self.linear_c):
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
    _refuse_words_of_others(overrides)
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
    _refuse_words_of_others(overrides)
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(to_toml(options))
        file.flush()
        return load_settings(Options, [file.name], overrides)


def _refuse_words_of_others(overrides: Sequence[str]) -> None:
    """Refuse what other trainers call our options, which no spelling leads to."""
    for word in overrides:
        section, _, name = word.partition("=")[0].strip().partition(".")
        if section in ("train", "finetune") and name in _WORDS_OF_OTHERS:
            raise SettingsError(
                f"{name!r} is no option of [{section}]; did you mean {_WORDS_OF_OTHERS[name]}?"
            )


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
