from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.moving_clips import moving_split
from tests.training.test_checkpoint import checkpoint
from training import commands
from training.checkpoint import CHECKPOINT, load_checkpoint, save_checkpoint
from training.errors import TrainingError
from training.inflation import inflate_checkpoint
from training.layouts import build
from training.options import ModelOptions, Options, load_options

WORDS = [
    "model.width=4", "model.precision=float32", "clips.height=20", "clips.width=26",
    "clips.crop=16", "clips.workers=0", "train.clips=24", "train.batch_size=4",
    "train.lr_batch_size=4", "train.lr=0.01", "train.threads=1", "train.warmup_clips=0",
    "finetune.clips=8", "finetune.threads=1",
]  # fmt: skip


def test_an_r2d_learns_from_single_frames_and_goes_on_as_an_r3d_on_clips(tmp_path: Path) -> None:
    moving_split(tmp_path / "shards" / "all", per_label=2, frames=10)
    options = load_options("ig-kinetics-r2d-18", WORDS)
    assert (options.model.kind, options.clips.num_frames) == ("r2d", 1)
    flat = commands.pretrain(str(tmp_path), str(tmp_path / "flat"), options)
    source = str(tmp_path / "flat" / CHECKPOINT)
    told = inflate_checkpoint(source, str(tmp_path / "deep"), [])
    path = tmp_path / "deep" / CHECKPOINT
    assert told == f"inflated to R3D-18 of width 4 as its authors define it, 8 frames: {path}"
    deep = load_checkpoint(str(path))
    assert deep.options == replace(
        options,
        model=replace(options.model, kind="r3d"),
        clips=replace(options.clips, num_frames=8),
    )
    assert (deep.step, deep.labels, deep.dataset_id) == (0, flat.labels, flat.dataset_id)
    thin, thick = flat.model["layer2.0.conv1.0.weight"], deep.model["layer2.0.conv1.0.weight"]
    assert torch.equal(thick, thin.cpu().expand(-1, -1, 3, -1, -1) / 3)
    norm = "layer4.1.conv2.1.running_var"
    assert torch.equal(deep.model[norm], flat.model[norm].cpu())
    # It is where pre-training and transfer may start from.
    words = ["model.kind=r3d", "clips.num_frames=8"]
    end = commands.pretrain(
        str(tmp_path),
        str(tmp_path / "more"),
        load_options("ig-kinetics-r2d-18", [*WORDS, *words]),
        str(path),
    )
    assert (end.step, len(end.origin)) == (6, 64)


def test_only_an_r2d_is_inflated(tmp_path: Path) -> None:
    save_checkpoint(str(tmp_path / "a.pt"), checkpoint())
    with pytest.raises(TrainingError, match=r"a checkpoint of R\(2\+1\)D-18 .* want model.kind"):
        inflate_checkpoint(str(tmp_path / "a.pt"), str(tmp_path / "out"), [])


def test_a_run_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    network = ModelOptions("r2d", 18, 2)
    flat = replace(
        checkpoint(), options=Options(model=network), model=build(network, 2).state_dict()
    )
    save_checkpoint(str(tmp_path / CHECKPOINT), flat)
    with pytest.raises(TrainingError, match="exists already: choose another --out"):
        inflate_checkpoint(str(tmp_path / CHECKPOINT), str(tmp_path), [])
