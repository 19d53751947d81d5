"""A table whose videos carry several labels, from the stage `targets` to mAP."""

import csv
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from formats.shards import read_manifest
from pipelines.options import Options as JobOptions
from pipelines.options import RunOptions
from pipelines.run import Job, run_stage
from tests.training.moving_clips import LABELS, draw_motion, encode
from training import transfer
from training.models import r2plus1d
from training.options import load_options
from training.weights import as_checkpoint, load_weights

WORDS = [
    "model.width=8", "model.precision=float32", "clips.num_frames=6", "clips.fps=0",
    "clips.height=26", "clips.width=34", "clips.crop=24", "clips.mirror=false",
    "clips.recolour=false", "train.threads=1", "finetune.threads=1", "finetune.clips=960",
    "finetune.batch_size=12", "finetune.lr=0.05", "finetune.lr_batch_size=12",
    "finetune.grid_lr=", "finetune.grid_weight_decay=", "finetune.tensorboard=false",
    "evaluate.clips=2", "evaluate.linear_clips=2",
]  # fmt: skip


def write_table(folder: Path) -> str:
    """36 training and 36 test videos of two motions, one above the other."""
    rows = [["video_id", "uri", "subset", "labels"]]
    for number, (subset, upper, lower, _) in enumerate(
        itertools.product(("train", "val"), LABELS, LABELS, range(4))
    ):
        halves = [draw_motion(label, 12, 2 * number + i, (24, 64))
                  for i, label in enumerate((upper, lower))]  # fmt: skip
        (folder / f"{number}.mp4").write_bytes(encode(np.concatenate(halves, 1), preset="fast"))
        rows.append([f"v{number}", f"{number}.mp4", subset, f"{upper}; {lower}"])
    with open(folder / "motions.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return str(folder / "motions.csv")


@pytest.mark.slow
def test_a_table_of_several_labels_is_learned_with_sigmoids_and_measured_by_map(
    tmp_path: Path,
) -> None:
    (tmp_path / "bench").mkdir()
    table, out = write_table(tmp_path / "bench"), tmp_path / "out"
    job = Job(out, "kinetics", JobOptions(run=RunOptions(workers=1)), targets=(table,))
    run_stage("targets", job)
    folder = out / "target_shards" / "motions"
    assert read_manifest(str(folder / "val")).labels == tuple(sorted(LABELS))
    options = load_options("sample", WORDS)
    torch.manual_seed(0)
    torch.save(r2plus1d(18, 2, width=8).state_dict(), tmp_path / "random.pth")
    start = as_checkpoint(load_weights(str(tmp_path / "random.pth")), options)
    text = transfer.finetune([str(folder)], start, str(out), options)
    assert text.startswith("motions: full-ft mAP pre-trained ")
    whole = json.loads((out / "finetune" / "motions.json").read_text())
    found = whole["networks"]["pre-trained"]["scores"]["mean_ap"]["value"]
    truth_VC, score_VC = np.zeros((2, 36, 3))
    for row, video in enumerate(whole["videos"]):
        truth_VC[row, video["label_ids"]] = 1
        for label_id, score in video["guesses"]["pre-trained"]:
            score_VC[row, label_id] = score
    assert whole["several"] is True
    assert truth_VC.sum(1).tolist().count(2) == 24
    # A sigmoid for each: together they are more than one, or less.
    assert np.abs(score_VC.sum(1) - 1).min() > 0 and score_VC.sum(1).max() > 1.2
    assert found == pytest.approx(average_precision_score(truth_VC, score_VC), abs=1e-3)
    # Half of the videos carry each label.
    assert found > truth_VC.mean() + 0.2
