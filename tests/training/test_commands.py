import json
from dataclasses import replace
from pathlib import Path

import pytest

from formats.shards import ShardError
from tests.training.moving_clips import LABELS, moving_split
from training import commands
from training.checkpoint import Checkpoint
from training.journal import LOG
from training.options import Options, load_options

SMALL = [
    "model.width=4", "model.precision=float32", "clips.num_frames=4", "clips.fps=0",
    "clips.height=20", "clips.width=26", "clips.crop=16", "train.threads=1", "train.clips=24",
    "train.batch_size=4", "train.warmup_clips=0",
]  # fmt: skip


@pytest.fixture(scope="module")
def options() -> Options:
    return load_options("sample", SMALL)


def test_pre_training_reads_the_split_that_the_options_name(
    options: Options, tmp_path: Path
) -> None:
    moving_split(tmp_path / "shards" / "all", per_label=2, frames=8)
    checkpoint = commands.pretrain(str(tmp_path), str(tmp_path / "run"), options)
    assert (checkpoint.step, checkpoint.labels) == (6, LABELS)
    rows = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == list(range(6))


def summary_at(loss: float, labels: tuple[str, ...], trained: Checkpoint, out: Path) -> str:
    rows = [{"step": step, "loss": loss + (step < 95)} for step in range(100)]
    (out / LOG).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return commands.summary(replace(trained, labels=labels), str(out))


def test_a_network_that_only_guesses_is_said_to_have_learned_nothing(
    options: Options, tmp_path: Path
) -> None:
    moving_split(tmp_path / "shards" / "all", per_label=2, frames=8)
    trained = commands.pretrain(str(tmp_path), str(tmp_path / "run"), options)
    labels = tuple(f"label {number}" for number in range(11))
    how = replace(options.train, warmup_clips=options.train.clips)
    cold = replace(trained, options=replace(options, train=how))
    assert summary_at(2.39, labels, cold, tmp_path).endswith(
        f"; all of it was warm-up (train.warmup_clips={how.clips}): train longer (train.clips)"
    )
    assert summary_at(2.39, labels, trained, tmp_path).splitlines()[1:] == [
        "loss 2.39 is that of guessing among 11 labels: nothing was learned; lower train.lr or "
        "train longer (train.clips)"
    ]
    for loss, known in ((2.2, labels), (0.0, ("one",))):
        said = summary_at(loss, known, trained, tmp_path)
        assert said == f"trained 6 steps over 6 epochs: {tmp_path}"


def test_a_folder_without_a_dataset_and_a_dataset_without_the_split_are_told_apart(
    options: Options, tmp_path: Path
) -> None:
    with pytest.raises(ShardError, match="nothere: holds no finished dataset: `make dataset OUT="):
        commands.dataset_clips(str(tmp_path / "nothere"), options)
    moving_split(tmp_path / "shards" / "short", per_label=1, frames=8)
    with pytest.raises(ShardError, match=r"has no split 'all': .* with clips\.split: short"):
        commands.dataset_clips(str(tmp_path), options)
