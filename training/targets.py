"""Labelled benchmarks on which transfer is measured, as the stage `targets` leaves them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from formats.settings import SettingsError
from formats.shards import MANIFEST
from training.clip_options import ClipOptions
from training.options import Options
from training.scratch import own_scratch
from training.truth import TargetError, Truth, holdout, read_truth, refuse_other_labels

TARGETS = "target_shards"


@dataclass(frozen=True)
class Target:
    """A benchmark with videos to learn from and others to be tested on."""

    name: str
    folder: str
    clips: ClipOptions
    """How its videos are looked at."""
    train: Truth
    tests: Mapping[str, Truth]
    """Split -> what is right there."""

    def split(self, name: str) -> str:
        """Where the shards of a split lie."""
        return f"{self.folder}/{name}"


def find_targets(data: str) -> list[str]:
    """The labelled target sets that the dataset job wrote below `data`."""
    return [str(path) for path in sorted((Path(data) / TARGETS).glob("*")) if path.is_dir()]


def without_training(folders: Sequence[str]) -> list[str]:
    """Those of the sets that have no video to learn from: they serve deduplication alone."""
    return [folder for folder in folders if not (Path(folder) / "train").is_dir()]


def open_targets(folders: Sequence[str], options: Options, scratch: str) -> list[Target]:
    """The targets in these folders or s3:// and gs:// places.

    What is known of their shards is kept in `scratch`, unless the options name another folder:
    so a shard is checked once and not for every point of a grid.

    Raises:
        TargetError: there is none, two have one name, the splits of one differ in labels, or one
            lacks a split.
        ShardError: a split is not finished, or a shard is not what its manifest says.
    """
    if not folders:
        raise TargetError("no target set to measure on: name one with TARGET= (--target)")
    if len({_name(folder) for folder in folders}) < len(folders):
        raise TargetError("two targets have the same name: measure them one by one")
    return [_open(folder.rstrip("/"), options, scratch) for folder in folders]


def check_targets(folders: Sequence[str], options: Options) -> None:
    """Refuse targets that a classifier could not be fitted to or tested on, before any training.

    Takes the shards' bytes on trust: they are checked when they are used.

    Raises:
        ShardError, TargetError: as for `open_targets`, and for a target that is too small.
        SettingsError: as `refuse_larger_test`.
    """
    if not folders:
        return
    refuse_larger_test(options)
    options = replace(options, clips=replace(options.clips, verify="size"))
    try:
        with own_scratch() as scratch:
            for target in open_targets(folders, options, scratch):
                held_out(target, options.evaluate.holdout_fraction, options.train.rng_seed)
    except TargetError as error:
        alone = "`.venv/bin/python -m training pretrain` trains without measuring"
        raise TargetError(f"{error}; nothing was trained yet, and {alone}") from error


def refuse_larger_test(options: Options) -> None:
    """Refuse a fully-convolutional test of `linear`, whose features are of the training size.

    Raises:
        SettingsError: it is asked for.
    """
    if options.evaluate.fully_convolutional:
        raise SettingsError(
            "evaluate.fully_convolutional is for finetune and evaluate: fc-only looks at features "
            "of clips as large as in training"
        )


def held_out(target: Target, fraction: float, rng_seed: int) -> frozenset[str]:
    """Which of its training videos are held out, as `holdout` says.

    Raises:
        TargetError: it is too small; it is named.
    """
    try:
        return holdout(target.train, fraction, rng_seed)
    except TargetError as error:
        raise TargetError(f"{target.split('train')}: {error}") from error


def _open(folder: str, options: Options, scratch: str) -> Target:
    _refuse_missing(folder, ("train", *options.evaluate.splits))
    clips = with_scratch(options.clips, scratch)
    train = read_truth(f"{folder}/train", clips)
    tests = {split: read_truth(f"{folder}/{split}", clips) for split in options.evaluate.splits}
    refuse_other_labels([train, *tests.values()], folder)
    return Target(_name(folder), folder, clips, train, tests)


def _refuse_missing(folder: str, splits: Sequence[str]) -> None:
    if "://" in folder:
        return
    missing = [split for split in splits if not (Path(folder) / split / MANIFEST).is_file()]
    if missing:
        raise TargetError(
            f"{folder}: this target set has no finished split {' and no '.join(missing)}: it needs "
            "labelled videos to learn from (subset train) and others to be tested on"
        )


def lone_split(folder: str, truth: Truth, clips: ClipOptions) -> tuple[Target, tuple[str, Truth]]:
    """A split that is tested on and not learned from, named for the folder that it lies in."""
    parts = [part for part in folder.rstrip("/").split("/") if part]
    name = parts[-2] if len(parts) > 1 else "target"
    return Target(name, folder, clips, truth, {}), (parts[-1], truth)


def with_scratch(clips: ClipOptions, scratch: str) -> ClipOptions:
    """The options with a folder for what is known of shards, if they name none."""
    return ClipOptions(**{**vars(clips), "scratch": clips.scratch or scratch})


def _name(folder: str) -> str:
    name = Path(folder).resolve().name if "://" not in folder else folder.rstrip("/").split("/")[-1]
    return name or "target"
