import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training.checkpoint import CHECKPOINT, Checkpoint, CheckpointError, load_checkpoint
from training.clips import TrainingClips
from training.learner import Learner, TrainingError, build_model
from training.loop import CURVE, LOG, OPTIONS, train
from training.options import ClipOptions, ModelOptions, Options, TrainOptions, load_options

TINY = Options(
    model=ModelOptions(depth=18, width=4, precision="float32"),
    clips=ClipOptions(num_frames=4, height=20, width=26, crop=16, cache_mib=10),
    train=TrainOptions(
        clips=44, batch_size=4, lr=0.02, lr_batch_size=4, warmup_clips=8, checkpoint_steps=3,
        threads=1,
    ),
)  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    # Sums over threads are only the same for the same number of them.
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=6, frames=8)
    return folder


def run(data: Path, out: Path, options: Options = TINY) -> Checkpoint:
    clips = TrainingClips(
        str(data / "shards" / "all"),
        options.clips,
        rng_seed=options.train.rng_seed,
        batch_size=options.train.batch_size,
    )
    model = build_model(options.model, len(clips.manifest.labels), options.train.rng_seed)
    learner = Learner(model, options.train, options.model, CPU)
    return train(learner, clips, options, section="train", out=str(out))


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.step, one.epoch, one.batch) == (other.step, other.epoch, other.batch)
    assert one.model.keys() == other.model.keys()
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    for key, state in one.optimiser["state"].items():
        assert torch.equal(
            state["momentum_buffer"], other.optimiser["state"][key]["momentum_buffer"]
        )


def rows(out: Path) -> list[dict[str, float]]:
    lines = (out / LOG).read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


def test_a_run_leaves_options_log_curve_and_checkpoint(data: Path, tmp_path: Path) -> None:
    checkpoint = run(data, tmp_path)
    assert (checkpoint.step, checkpoint.epoch, checkpoint.batch) == (11, 2, 3)
    assert sorted(file.name for file in tmp_path.iterdir()) == [CHECKPOINT, LOG, CURVE, OPTIONS]
    assert [(row["step"], row["epoch"]) for row in rows(tmp_path)] == [
        (step, step // 4) for step in range(11)
    ]
    assert load_options(str(tmp_path / OPTIONS), []) == TINY
    assert (tmp_path / CURVE).read_bytes().startswith(b"\x89PNG")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("after", [1, 3, 5, 10])
def test_a_run_cut_and_taken_up_ends_like_one_that_was_not(
    data: Path, tmp_path: Path, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(data, tmp_path / "straight")
    learn = Learner.learn

    def learn_and_die(self: Learner, batch: object, step: int) -> float:
        if step == after:
            raise Killed
        return learn(self, batch, step)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", learn_and_die)
        with pytest.raises(Killed):
            run(data, tmp_path / "cut")
    assert len(rows(tmp_path / "cut")) == after
    assert_equal(run(data, tmp_path / "cut"), straight)
    assert_equal(load_checkpoint(str(tmp_path / "cut" / CHECKPOINT)), straight)
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")


@pytest.mark.slow
def test_a_killed_process_and_its_second_try_end_like_one_that_lived(
    data: Path, tmp_path: Path
) -> None:
    words = [
        "model.depth=18", "model.width=4", "clips.num_frames=4", "clips.height=20",
        "clips.width=26", "clips.crop=16", "train.clips=400", "train.batch_size=4",
        "train.checkpoint_steps=5", "train.threads=1",
    ]  # fmt: skip
    command = [sys.executable, "-m", "training", "pretrain", "--data", str(data)]
    command += [part for word in words for part in ("--set", word)]
    subprocess.run([*command, "--out", str(tmp_path / "straight")], check=True)
    with subprocess.Popen([*command, "--out", str(tmp_path / "cut")]) as process:
        while not (tmp_path / "cut" / CHECKPOINT).exists():
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    assert load_checkpoint(str(tmp_path / "cut" / CHECKPOINT)).step < 100
    subprocess.run([*command, "--out", str(tmp_path / "cut")], check=True)
    straight, cut = (
        load_checkpoint(str(tmp_path / name / CHECKPOINT)) for name in ("straight", "cut")
    )
    assert_equal(cut, straight)


def test_a_finished_run_started_again_changes_nothing(data: Path, tmp_path: Path) -> None:
    first = run(data, tmp_path)
    before = (tmp_path / LOG).read_text()
    assert_equal(run(data, tmp_path), first)
    assert (tmp_path / LOG).read_text() == before


def test_how_the_work_is_done_may_change_between_two_tries(data: Path, tmp_path: Path) -> None:
    straight = run(data, tmp_path / "a")
    run(data, tmp_path / "b")
    other = replace(TINY, clips=replace(TINY.clips, cache_mib=0, workers=1, verify="size"))
    assert_equal(run(data, tmp_path / "b", other), straight)
    assert_equal(run(data, tmp_path / "c", other), straight)


def test_a_run_with_other_options_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path)
    other = replace(TINY, train=replace(TINY.train, lr=0.5))
    with pytest.raises(TrainingError, match=r"holds a run with train.lr = 0.02, not 0.5: choose"):
        run(data, tmp_path, other)


def test_a_run_on_another_dataset_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    moving_split(tmp_path / "shards" / "all", per_label=2, rng_seed=1, frames=8)
    with pytest.raises(TrainingError, match="holds a run on another dataset"):
        run(tmp_path, tmp_path / "out")


def test_a_damaged_checkpoint_is_not_trained_over(data: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        run(data, tmp_path)


def test_a_dataset_that_draws_nothing_is_an_error(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 8, 0))
    write_split(tmp_path / "shards" / "all", [("aa", video, 0, 0.0)])
    with pytest.raises(TrainingError, match="epoch 0 draws no clip"):
        run(tmp_path, tmp_path / "out")
