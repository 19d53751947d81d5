import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.moving_clips import moving_split, two_motions_split
from training import finetune
from training.finetune import Start, tune
from training.learner import build_model
from training.options import Options, load_options
from training.targets import Target, open_targets
from training.truth import TargetError, holdout

WORDS = [
    "model.width=4", "model.precision=float32", "clips.num_frames=4", "clips.fps=0",
    "clips.height=20", "clips.width=26", "clips.crop=16", "clips.mirror=false",
    "finetune.clips=12", "finetune.batch_size=4", "finetune.lr_batch_size=4",
    "finetune.grid_lr=0.001,0.01", "finetune.grid_weight_decay=0,0.01", "finetune.threads=1",
    "finetune.tensorboard=false", "evaluate.clips=1", "evaluate.holdout_fraction=0.34",
]  # fmt: skip


@pytest.fixture(scope="module")
def options() -> Options:
    return load_options("sample", WORDS)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory, options: Options) -> Target:
    folder = tmp_path_factory.mktemp("data")
    for seed, part in enumerate(("train", "val")):
        moving_split(folder / "discs" / part, per_label=3, rng_seed=seed, frames=6)
    (opened,) = open_targets([str(folder / "discs")], options, str(folder / "scratch"))
    return opened


@pytest.fixture
def start(options: Options) -> Start:
    return Start("w", build_model(options.model, 7, 5).state_dict())


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float, tuple[str, ...]]]:
    """(rate, weight decay, clips of an epoch) of every run that really trains."""
    runs = []
    train = finetune.train

    def watched(learner: Any, clips: Any, options: Options, **where: str) -> Any:
        seen = tuple(sorted(c for batch in clips.batches(0) for c in batch.clip_ids))
        how = options.finetune
        runs.append((how.lr, how.weight_decay, seen))
        return train(learner, clips, options, **where)  # type: ignore[arg-type]

    monkeypatch.setattr(finetune, "train", watched)
    return runs


def test_every_point_is_tried_on_the_hold_out_and_the_best_is_trained_on_all(
    target: Target, options: Options, start: Start, tmp_path: Path, trained: list[Any]
) -> None:
    tuned = tune(target, start, options, str(tmp_path))
    held = holdout(target.train, 0.34, 0)
    assert len(held) == 3
    assert [run[:2] for run in trained[:4]] == [(0.001, 0), (0.001, 0.01), (0.01, 0), (0.01, 0.01)]
    assert all(held.isdisjoint(run[2]) for run in trained[:4])
    assert any(held & set(run[2]) for run in trained[4:])
    (best,) = [choice for choice in tuned.choices if choice.taken]
    assert best.top1 == max(choice.top1 for choice in tuned.choices)
    assert trained[4][:2] == (best.settings["lr"], best.settings["weight_decay"])
    assert len(trained) == 5
    assert tuned.checkpoint.options.finetune.lr == best.settings["lr"]
    assert not list(tmp_path.glob("grid/*/checkpoint.pt"))


def test_a_point_that_is_done_is_not_trained_again(
    target: Target, options: Options, start: Start, tmp_path: Path, trained: list[Any]
) -> None:
    whole = tune(target, start, options, str(tmp_path / "whole"))
    trained.clear()
    broken = tmp_path / "broken"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "predict", _dies_after(2))
        with pytest.raises(KeyboardInterrupt):
            tune(target, start, options, str(broken))
    assert len(trained) == 3
    assert len(list(broken.glob("grid/*/holdout.json"))) == 2
    trained.clear()
    again = tune(target, start, options, str(broken))
    assert [run[:2] for run in trained[:2]] == [(0.01, 0), (0.01, 0.01)]
    assert len(trained) == 3
    assert again.choices == whole.choices
    for name, value in whole.checkpoint.model.items():
        assert torch.equal(value, again.checkpoint.model[name])


def _dies_after(calls: int) -> Any:
    left, predict = [calls], finetune.predict

    def dying(*args: Any, **words: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return predict(*args, **words)

    return dying


@pytest.mark.parametrize(
    ("word", "other"), [("finetune.clips=16", "w"), ("evaluate.clips=2", "w"), ("", "v")]
)
def test_another_search_in_the_same_folder_is_refused(
    target: Target, options: Options, start: Start, tmp_path: Path, word: str, other: str
) -> None:
    tune(target, start, options, str(tmp_path))
    changed = load_options("sample", [*WORDS, word] if word else WORDS)
    with pytest.raises(TargetError, match="of a search with other options or data: choose another"):
        tune(target, replace(start, digest=other), changed, str(tmp_path))


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"key": ""}', '{"top1": NaN, "mean_ap": 2, "diverged": false}']
)
def test_a_damaged_result_of_a_point_is_refused(
    target: Target, options: Options, start: Start, tmp_path: Path, content: str
) -> None:
    path = tmp_path / "grid" / "lr-0.001-decay-0" / "holdout.json"
    path.parent.mkdir(parents=True)
    path.write_text(content)
    with pytest.raises(TargetError, match="holdout.json: cannot be read, delete it"):
        tune(target, start, options, str(tmp_path))


def test_one_pair_needs_no_search(
    target: Target, options: Options, start: Start, tmp_path: Path, trained: list[Any]
) -> None:
    words = ["finetune.grid_lr=", "finetune.grid_weight_decay=0.25", "finetune.lr=0.003"]
    tuned = tune(target, start, load_options("sample", [*WORDS, *words]), str(tmp_path))
    assert (tuned.choices, [run[:2] for run in trained]) == ((), [(0.003, 0.25)])


def test_a_rate_at_which_the_loss_overflows_is_passed_over(
    target: Target, options: Options, start: Start, tmp_path: Path
) -> None:
    words = ["finetune.grid_lr=0.001,1e30", "finetune.grid_weight_decay="]
    tuned = tune(target, start, load_options("sample", [*WORDS, *words]), str(tmp_path))
    assert [(c.diverged, c.taken) for c in tuned.choices] == [(False, True), (True, False)]
    found = json.loads((tmp_path / "grid" / "lr-1e+30-decay-0.005" / "holdout.json").read_text())
    assert found["diverged"] is True
    words[0] = "finetune.grid_lr=1e29,1e30"
    with pytest.raises(TargetError, match="overflows at every rate"):
        tune(target, start, load_options("sample", [*WORDS, *words]), str(tmp_path / "all"))


def test_a_rate_at_which_the_very_last_step_overflows_is_passed_over(
    target: Target, options: Options, start: Start, tmp_path: Path
) -> None:
    # Its only loss is that of the weights before.
    words = ["finetune.clips=4", "finetune.grid_lr=0.001,1e30", "finetune.grid_weight_decay="]
    tuned = tune(target, start, load_options("sample", [*WORDS, *words]), str(tmp_path))
    assert [(c.diverged, c.taken) for c in tuned.choices] == [(False, True), (True, False)]


def test_layers_move_as_fast_as_they_are_told(
    target: Target, options: Options, start: Start, tmp_path: Path
) -> None:
    words = ["finetune.grid_lr=0.01", "finetune.grid_weight_decay=0"]
    words += ["finetune.layer_lr=stem=0,layer1=0.001,fc=10"]
    tuned = tune(target, start, load_options("sample", [*WORDS, *words]), str(tmp_path))
    after = {name: value.cpu() for name, value in tuned.checkpoint.model.items()}
    moved = {
        name: float((after[name] - start.body[name]).norm() / value.norm())
        for name, value in start.body.items()
        if name.endswith(".0.weight") and value.ndim == 5
    }
    assert moved["stem.0.weight"] == 0
    assert 0 < moved["layer1.0.conv1.0.0.weight"] < 0.05 * moved["layer2.0.conv1.0.0.weight"]


def test_weights_of_another_network_are_refused(
    target: Target, options: Options, tmp_path: Path
) -> None:
    other = replace(options.model, kind="r3d")
    body = build_model(other, 3, 0).state_dict()
    with pytest.raises(TargetError, match="the weights are of another network"):
        tune(target, Start("w", body), options, str(tmp_path))


def test_several_labels_are_chosen_by_map(options: Options, start: Start, tmp_path: Path) -> None:
    for part in ("train", "val"):
        two_motions_split(tmp_path / "pairs" / part, 2, frames=6)
    (target,) = open_targets([str(tmp_path / "pairs")], options, str(tmp_path / "scratch"))
    tuned = tune(target, start, options, str(tmp_path / "run"))
    (best,) = [choice for choice in tuned.choices if choice.taken]
    assert best.mean_ap == max(choice.mean_ap for choice in tuned.choices)


@pytest.mark.slow
def test_processes_that_learn_together_choose_the_same_and_the_first_one_writes(
    target: Target, options: Options, start: Start, tmp_path: Path
) -> None:
    learned = tmp_path / "weights.pt"
    torch.save(start.body, learned)
    words = [*WORDS, "finetune.grid_lr=0.01,1e30", "finetune.grid_weight_decay=0"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "training", "finetune", "--config", "sample", "--target", target.folder),
            *("--weights", str(learned), "--out", str(tmp_path / "out")),
            *(part for word in words for part in ("--set", word)),
        ],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("discs: full-ft top-1 pre-trained") == 1
    whole = json.loads((tmp_path / "out" / "finetune" / "discs.json").read_text())
    choices = whole["networks"]["pre-trained"]["choices"]
    assert [(c["settings"]["lr"], c["taken"]) for c in choices] == [(0.01, True), (1e30, False)]
