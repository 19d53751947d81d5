import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training import commands
from training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from training.clips import Batch, TrainingClips
from training.errors import DivergedError, TrainingError
from training.journal import CURVE, LOG, OPTIONS, TENSORBOARD
from training.learner import Learner, Outcome, build_model
from training.loop import TrainingStopped, train
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


def run(data: Path, out: Path, options: Options = TINY, origin: str = "") -> Checkpoint:
    clips = TrainingClips(
        str(data / "shards" / "all"),
        options.clips,
        rng_seed=options.train.rng_seed,
        batch_size=options.train.batch_size,
    )
    model = build_model(options.model, len(clips.manifest.labels), options.train.rng_seed)
    learner = Learner(model, options.train, options.model, CPU, origin)
    return train(learner, clips, options, section="train", out=str(out))


def assert_equal(one: Checkpoint, other: Checkpoint) -> None:
    assert (one.step, one.epoch, one.clips) == (other.step, other.epoch, other.clips)
    assert one.model.keys() == other.model.keys()
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    for key, state in one.optimiser["state"].items():
        assert torch.equal(
            state["momentum_buffer"], other.optimiser["state"][key]["momentum_buffer"]
        )


def rows(out: Path) -> list[dict[str, float]]:
    lines = (out / LOG).read_text().splitlines()
    times = {"seconds", "waited"}
    return [{k: v for k, v in json.loads(line).items() if k not in times} for line in lines]


def test_a_run_leaves_options_log_curve_and_checkpoint(data: Path, tmp_path: Path) -> None:
    checkpoint = run(data, tmp_path)
    assert (checkpoint.step, checkpoint.epoch, checkpoint.clips) == (11, 2, 12)
    assert sorted(file.name for file in tmp_path.iterdir()) == [
        CHECKPOINT, LOG, CURVE, OPTIONS, TENSORBOARD,
    ]  # fmt: skip
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

    def learn_and_die(self: Learner, batch: Batch, step: int, *, stop: bool) -> Outcome:
        if step == after:
            raise Killed
        return learn(self, batch, step, stop=stop)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", learn_and_die)
        with pytest.raises(Killed):
            run(data, tmp_path / "cut")
    assert len(rows(tmp_path / "cut")) == after
    assert_equal(run(data, tmp_path / "cut"), straight)
    assert_equal(load_checkpoint(str(tmp_path / "cut" / CHECKPOINT)), straight)
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="bit for bit is promised for CPUs")
def test_a_process_that_is_killed_again_and_again_ends_like_one_that_lived(
    data: Path, tmp_path: Path
) -> None:
    words = [
        "model.depth=18", "model.width=4", "model.precision=float32", "clips.num_frames=4",
        "clips.height=20", "clips.width=26", "clips.crop=16", "train.clips=400",
        "train.batch_size=4", "train.checkpoint_steps=5", "train.threads=1",
    ]  # fmt: skip
    cut, interval = tmp_path / "cut", 5
    command = [sys.executable, "-m", "training", "pretrain", "--data", str(data)]
    command += [part for word in words for part in ("--set", word)]
    ends = []
    for number, at in ((signal.SIGKILL, 7), (signal.SIGKILL, 33), (signal.SIGTERM, 61)):
        with subprocess.Popen(
            [*command, "--out", str(cut)], stderr=subprocess.PIPE, text=True
        ) as process:
            while not (cut / LOG).exists() or len(rows(cut)) < at:
                assert process.poll() is None
                time.sleep(0.01)
            process.send_signal(number)
            _, told = process.communicate()
        ends.append(process.returncode)
        held = load_checkpoint(str(cut / CHECKPOINT)).step if at > interval else 0
        assert len(rows(cut)) - held <= (interval if number == signal.SIGKILL else 0)
    assert ends == [-signal.SIGKILL, -signal.SIGKILL, 143]
    assert f"tagreel: stopped by SIGTERM after step {held} of 100, which {cut}" in told
    options = load_options("sample", words)
    straight = commands.pretrain(str(data), str(tmp_path / "straight"), options)
    assert_equal(commands.pretrain(str(data), str(cut), options), straight)
    assert rows(cut) == rows(tmp_path / "straight")


def test_a_run_that_is_asked_to_end_writes_a_checkpoint_and_says_so(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(data, tmp_path / "straight")
    learn = Learner.learn

    def learn_and_ask(self: Learner, batch: Batch, step: int, *, stop: bool) -> Outcome:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return learn(self, batch, step, stop=stop)

    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(Learner, "learn", learn_and_ask)
        with pytest.raises(TrainingStopped, match="stopped by SIGTERM after step 6 of 11"):
            run(data, tmp_path / "cut")
    assert signal.getsignal(signal.SIGTERM) == before
    assert load_checkpoint(str(tmp_path / "cut" / CHECKPOINT)).step == 6
    assert_equal(run(data, tmp_path / "cut"), straight)
    assert rows(tmp_path / "cut") == rows(tmp_path / "straight")


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
    with pytest.raises(
        TrainingError, match=r"holds a run with train.lr = 0.02, not 0.5: name another OUT="
    ):
        run(data, tmp_path, other)


def test_a_run_with_another_number_of_clips_per_step_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path)
    other = replace(TINY, train=replace(TINY.train, batch_size=8))
    with pytest.raises(TrainingError, match=r"a run of 1 x 4 clips per step, not 1 x 8: set train"):
        run(data, tmp_path, other)


def test_a_run_that_began_with_other_weights_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path, origin="aa")
    with pytest.raises(TrainingError, match="holds a run that began with other weights"):
        run(data, tmp_path, origin="bb")


def test_a_run_on_another_dataset_is_refused(data: Path, tmp_path: Path) -> None:
    run(data, tmp_path / "out")
    moving_split(tmp_path / "shards" / "all", per_label=2, rng_seed=1, frames=8)
    with pytest.raises(TrainingError, match="holds a run on another dataset"):
        run(tmp_path, tmp_path / "out")


def test_a_damaged_checkpoint_is_not_trained_over(data: Path, tmp_path: Path) -> None:
    (tmp_path / CHECKPOINT).write_bytes(b"broken")
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        run(data, tmp_path)


def changed(out: Path, **content: object) -> None:
    """Write a checkpoint with other content in the place of the one that is there."""
    held = load_checkpoint(str(out / CHECKPOINT))
    save_checkpoint(str(out / CHECKPOINT), replace(held, **content))  # type: ignore[arg-type]


def test_a_checkpoint_that_cannot_be_of_the_run_is_not_trained_over(
    data: Path, tmp_path: Path
) -> None:
    whole = run(data, tmp_path)
    changed(tmp_path, step=12)
    with pytest.raises(CheckpointError, match="stands at step 12, behind its end"):
        run(data, tmp_path)
    changed(tmp_path, step=10, optimiser={**whole.optimiser, "state": {0: {}}})
    with pytest.raises(CheckpointError, match="not a checkpoint of ours: its optimiser is of an"):
        run(data, tmp_path)


def test_weights_that_overflow_do_not_replace_a_checkpoint(data: Path, tmp_path: Path) -> None:
    # The loss of the only step is that of the weights before.
    high = replace(TINY.train, clips=4, lr=3e38, warmup_clips=0)
    with pytest.raises(DivergedError, match="weights are not finite after step 1: lower"):
        run(data, tmp_path, replace(TINY, train=high))
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_dataset_that_draws_nothing_is_an_error(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 8, 0))
    write_split(tmp_path / "shards" / "all", [("aa", video, 0, 0.0)])
    with pytest.raises(TrainingError, match="epoch 0 draws no clip"):
        run(tmp_path, tmp_path / "out")
