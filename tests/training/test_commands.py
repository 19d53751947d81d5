import json
from pathlib import Path

import pytest

from tests.training.moving_clips import LABELS, moving_split
from training import commands
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
