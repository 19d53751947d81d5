import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.moving_clips import moving_split
from training.__main__ import main
from training.models import r2plus1d

SMALL = [
    part
    for word in (
        "model.width=4", "clips.num_frames=4", "clips.height=20", "clips.width=26",
        "clips.crop=16", "train.clips=24", "train.batch_size=4", "train.threads=1",
        "evaluate.clips=1", "evaluate.linear_clips=1", "finetune.clips=8", "finetune.threads=1",
    )
    for part in ("--set", word)
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=2, frames=8)
    for part in ("train", "val"):
        moving_split(folder / "target_shards" / "discs" / part, per_label=2, frames=8)
    return folder


def test_the_verbs_follow_each_other(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, target = str(tmp_path / "run"), str(data / "target_shards" / "discs")
    assert main(["pretrain", "--data", str(data), "--out", run, *SMALL]) == 0
    assert capsys.readouterr().out.startswith(f"trained 6 steps over 6 epochs: {run}\n")
    assert main(["linear", "--data", str(data), "--out", run]) == 0
    assert capsys.readouterr().out.startswith("discs: fc-only top-1 pre-trained ")
    tuned = str(tmp_path / "tuned")
    words = ["--checkpoint", f"{run}/checkpoint.pt", "--target", target, "--set"]
    assert main(["finetune", *words, "finetune.grid_lr=0.02", "--out", tuned]) == 0
    before, _, line = capsys.readouterr().out.partition(" pre-trained ")
    assert before == "discs: full-ft top-1"
    checkpoint = f"{tuned}/finetune/discs/pre-trained/checkpoint.pt"
    words = ["--checkpoint", checkpoint, "--target", f"{target}/val", "--out", tuned]
    assert main(["evaluate", *words]) == 0
    assert capsys.readouterr().out == f"discs: evaluated top-1 checkpoint {line}"
    assert main(["evaluate", *words, "--set", "evaluate.clips=3"]) == 0
    assert (tmp_path / "tuned" / "evaluate.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "train.lrr=1"], "tagreel: 'lrr' is no option of [train]; did you mean"),
        (["--config", "sampel"], "tagreel: 'sampel' is no config; known: ig-kinetics"),
        ([], ": holds no finished dataset: `make dataset OUT="),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pretrain", "--data", str(tmp_path), "--out", str(tmp_path), *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_catalog_without_targets_is_trained_on_and_nothing_is_measured(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(data / "shards", tmp_path / "mine" / "shards")
    bench = tmp_path / "mine" / "target_shards" / "bench"
    (bench / "val").mkdir(parents=True)
    words = ["--data", str(tmp_path / "mine"), "--out", str(tmp_path / "run"), *SMALL]
    assert main(["train", *words]) == 0
    left_out, said = capsys.readouterr().out.split("\n", 1)
    assert left_out == f"{bench}: no video to learn from (subset train), so not measured on"
    assert said.startswith("trained 6 steps")
    assert said.endswith(
        "no target set: nothing measured; `make linear TARGET=...` measures on one\n"
    )
    assert main(["linear", *words]) == 1
    assert capsys.readouterr().err == (
        "tagreel: no target set to measure on: name one with TARGET= (--target)\n"
    )


def test_training_measures_on_the_targets_of_its_data_as_linear_does(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--data", str(data), "--out", str(tmp_path), *SMALL]
    assert main(["train", *words]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "fc-only top-1" in line)
    assert main(["linear", *words, "--config", "sample"]) == 0
    assert capsys.readouterr().out == f"{line}\n"


@pytest.mark.parametrize(("per_label", "parts"), [(2, ["train"]), (1, ["train", "val"])])
def test_a_target_that_cannot_be_measured_on_is_named_before_training(
    per_label: int,
    parts: list[str],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(data / "shards", tmp_path / "mine" / "shards")
    target = tmp_path / "mine" / "target_shards" / "tsub"
    for part in parts:
        moving_split(target / part, per_label=per_label, frames=8)
    run = tmp_path / "run"
    assert main(["train", "--data", str(tmp_path / "mine"), "--out", str(run), *SMALL]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"tagreel: {target}") and said.count("\n") == 1
    assert said.endswith("`.venv/bin/python -m training pretrain` trains without measuring\n")
    assert not (run / "checkpoint.pt").exists()


def test_a_run_is_not_mixed_into_its_dataset(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(data.rglob("*"))
    assert main(["pretrain", "--data", str(data), "--out", str(data), *SMALL]) == 1
    assert f"leave OUT= (--out) away, for {data}/training" in capsys.readouterr().err
    assert sorted(data.rglob("*")) == before


def test_a_damaged_shard_ends_the_command_with_an_error(tmp_path: Path) -> None:
    folder = Path(moving_split(tmp_path / "shards" / "all", per_label=1, frames=4))
    shard = next(folder.glob("*.tar"))
    content = bytearray(shard.read_bytes())
    content[1000] ^= 1
    shard.write_bytes(content)
    command = ["-m", "training", "pretrain", "--data", str(tmp_path), "--out", str(tmp_path / "o")]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"tagreel: {shard}: its bytes changed since it was written (SHA-256 differs)\n"
    )


def test_a_missing_checkpoint_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["linear", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == (
        f"tagreel: {tmp_path}/checkpoint.pt: no checkpoint there: run `make train` first, or name "
        "one with CHECKPOINT= or WEIGHTS= (--checkpoint, --weights)\n"
    )


def test_a_wrong_call_ends_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["pretrain"])
    assert caught.value.code == 2
    assert "required: --data, --out" in capsys.readouterr().err


def test_weights_of_others_begin_every_verb_and_are_named(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = str(tmp_path / "public.pth")
    state = r2plus1d(18, 7, width=4, midplanes="torchvision").state_dict()
    torch.save({"state_dict": {f"module.{name}": v for name, v in state.items()}}, weights)
    words = ["--data", str(data), "--out", str(tmp_path / "run"), "--weights", weights, *SMALL]
    assert main(["pretrain", *words]) == 1
    found = "R(2+1)D-18 of width 4 as torchvision defines it, 7 classes"
    assert capsys.readouterr().err == (
        f"tagreel: the weights are {found}; the options name R(2+1)D-18 of width 4 as its "
        "authors define it: set model.midplanes=torchvision\n"
    )
    assert main(["pretrain", *words, "--set", "model.midplanes=torchvision"]) == 0
    assert (
        f"{weights}: {found}; the last layer of 7 classes is replaced by one of 3\n"
        in capsys.readouterr().err
    )
    target = str(data / "target_shards" / "discs")
    words = ["--target", target, "--weights", weights, "--out", str(tmp_path / "l"), *SMALL]
    assert main(["linear", *words]) == 0
    assert f"{weights}: {found}; classes without names" in capsys.readouterr().err
    assert main(["evaluate", "--target", f"{target}/val", "--weights", weights]) == 1
    assert "/val has 3 labels, the network 7\n" in capsys.readouterr().err


def test_what_is_set_by_name_changes_a_checkpoints_clips_with_or_without_a_config(
    data: Path, tmp_path: Path
) -> None:
    run, target = tmp_path / "run", str(data / "target_shards" / "discs")
    assert main(["pretrain", "--data", str(data), "--out", str(run), *SMALL]) == 0
    sets = ["--set", "clips.num_frames=2", "--set", "evaluate.clips=1"]
    for number, config in enumerate(([], ["--config", "sample"])):
        out = tmp_path / str(number)
        words = ["--checkpoint", str(run / "checkpoint.pt"), "--target", target, "--out", str(out)]
        assert main(["linear", *words, *config, *sets]) == 0
        protocol = json.loads((out / "linear" / "discs.json").read_text())["protocol"]
        assert (protocol["clips"]["num_frames"], protocol["clips"]["crop"]) == (2, 16)


def test_an_r2d_is_inflated_by_its_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inflate", "--checkpoint", "none.pt", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "tagreel: none.pt: no checkpoint there\n"
