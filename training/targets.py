"""Labelled benchmarks on which transfer is measured, as the stage `targets` leaves them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.clip_options import ClipOptions
from training.options import Options
from training.truth import TargetError, Truth, read_truth, refuse_other_labels

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


def open_targets(folders: Sequence[str], options: Options, scratch: str) -> list[Target]:
    """The targets in these folders or s3:// and gs:// places.

    What is known of their shards is kept in `scratch`, unless the options name another folder:
    so a shard is checked once and not for every point of a grid.

    Raises:
        TargetError: there is none, two have one name, or the splits of one differ in labels.
        ShardError: a split is not finished, or a shard is not what its manifest says.
    """
    if not folders:
        raise TargetError("no target to measure on: name one with --target")
    if len({_name(folder) for folder in folders}) < len(folders):
        raise TargetError("two targets have the same name: measure them one by one")
    return [_open(folder.rstrip("/"), options, scratch) for folder in folders]


def _open(folder: str, options: Options, scratch: str) -> Target:
    clips = with_scratch(options.clips, scratch)
    train = read_truth(f"{folder}/train", clips)
    tests = {split: read_truth(f"{folder}/{split}", clips) for split in options.evaluate.splits}
    refuse_other_labels([train, *tests.values()], folder)
    return Target(_name(folder), folder, clips, train, tests)


def lone_split(folder: str, truth: Truth, clips: ClipOptions) -> tuple[Target, tuple[str, Truth]]:
    """A split that is tested on and not learned from, named for the folder that it lies in."""
    parts = [part for part in folder.rstrip("/").split("/") if part]
    name = parts[-2] if len(parts) > 1 else "target"
    return Target(name, folder, clips, truth, {}), (parts[-1], truth)


@contextmanager
def own_scratch() -> Iterator[str]:
    """A folder for what is known of shards, gone after the block."""
    with tempfile.TemporaryDirectory(".tmp", "tagreel-") as folder:
        yield folder


def with_scratch(clips: ClipOptions, scratch: str) -> ClipOptions:
    """The options with a folder for what is known of shards, if they name none."""
    return ClipOptions(**{**vars(clips), "scratch": clips.scratch or scratch})


def _name(folder: str) -> str:
    name = Path(folder).resolve().name if "://" not in folder else folder.rstrip("/").split("/")[-1]
    return name or "target"
