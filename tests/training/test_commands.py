import json
from pathlib import Path

import pytest

from tests.training.moving_clips import LABELS, moving_split, write_split
from training import commands
from training.checkpoint import Checkpoint, load_checkpoint
from training.learner import TrainingError
from training.linear import LinearError
from training.options import Options, load_options

WORDS = [
    "model.width=8", "model.precision=float32", "clips.num_frames=6", "clips.fps=0",
    "clips.height=26", "clips.width=34", "clips.crop=24", "clips.mirror=false", "train.threads=1",
    "train.clips=480", "train.batch_size=12", "train.lr=0.05", "train.lr_batch_size=12",
    "train.warmup_clips=24", "finetune.clips=24", "finetune.batch_size=12", "finetune.lr=0.01",
    "finetune.threads=1", "evaluate.clips=2", "evaluate.linear_clips=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def options() -> Options:
    return load_options("sample", WORDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=12, rng_seed=1)
    for number, part in enumerate(("train", "val")):
        moving_split(folder / "target_shards" / "discs" / part, per_label=8, rng_seed=2 + number)
    return folder


@pytest.fixture(scope="module")
def checkpoint(
    data: Path, options: Options, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    return commands.pretrain(str(data), str(tmp_path_factory.mktemp("run")), options)


def test_a_pre_trained_network_tells_motions_apart_and_a_random_one_does_not(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    targets = commands.find_targets(str(data))
    assert targets == [str(data / "target_shards" / "discs")]
    text = commands.linear(targets, checkpoint, str(tmp_path), options)
    both = json.loads((tmp_path / "linear.json").read_text())["discs"]
    ours, random = (both[name]["accuracy"]["top1"] for name in ("pre-trained", "random"))
    assert ours >= 0.9
    assert ours > random
    assert text == (
        f"discs: fc-only top-1 pre-trained {ours:.1%}, random weights {random:.1%} "
        f"({ours / random:.2f} times random); 3 classes, chance 33.3%, 24 videos"
    )


def test_fine_tuning_starts_from_the_checkpoint_with_a_new_last_layer(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    target = str(data / "target_shards" / "discs")
    accuracy = commands.finetune(target, checkpoint, str(tmp_path), options)
    tuned = load_checkpoint(str(tmp_path / "checkpoint.pt"))
    assert json.loads((tmp_path / "accuracy.json").read_text())["top1"] == accuracy.top1
    assert (tuned.step, tuned.labels) == (2, LABELS)
    # Two small steps leave the body near where it was; the last layer began anew.
    stem, moved = checkpoint.model["stem.0.weight"], tuned.model["stem.0.weight"]
    assert 0 < (moved - stem).norm() < 0.1 * stem.norm()
    head = checkpoint.model["fc.weight"]
    assert (tuned.model["fc.weight"] - head).norm() > 0.5 * head.norm()
    assert commands.measure(f"{target}/val", tuned) == accuracy


def test_a_split_with_other_labels_cannot_be_measured(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = write_split(tmp_path / "val", [("aa", b"", 0, 1.0)], labels=("up", "down", "still"))
    with pytest.raises(TrainingError, match="has other labels than the checkpoint"):
        commands.measure(folder, checkpoint)


@pytest.mark.parametrize(
    ("targets", "message"),
    [([], "no target to measure on"), (["a/x", "b/x"], "two targets have the same name")],
)
def test_targets_that_cannot_be_told_are_refused(
    targets: list[str], message: str, checkpoint: Checkpoint, options: Options, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=message):
        commands.linear(targets, checkpoint, str(tmp_path), options)


def test_a_target_whose_parts_differ_in_labels_is_refused(
    checkpoint: Checkpoint, options: Options, tmp_path: Path
) -> None:
    moving_split(tmp_path / "train", per_label=1, frames=6)
    write_split(tmp_path / "val", [("aa", b"", 0, 1.0)], labels=("up", "down", "still"))
    with pytest.raises(TrainingError, match="train and val have different labels"):
        commands.linear([str(tmp_path)], checkpoint, str(tmp_path), options)


def test_a_target_with_one_video_of_each_label_is_too_small(
    checkpoint: Checkpoint, options: Options, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        moving_split(tmp_path / part, per_label=1, frames=6)
    with pytest.raises(LinearError, match="too few"):
        commands.linear([str(tmp_path)], checkpoint, str(tmp_path), options)
