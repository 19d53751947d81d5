import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from formats.settings import SettingsError
from tests.training.frozen_norms import learn
from tests.training.moving_clips import moving_split
from training import commands
from training.checkpoint import CHECKPOINT, load_checkpoint
from training.journal import CURVE, LOG, OPTIONS, TENSORBOARD
from training.options import load_options
from training.ranks import Ranks, agree, joined, local_rank, ranks, refuse_more_than, summed
from training.run_folder import run_folder

ROOT = Path(__file__).parents[2]
WORDS = [
    "model.depth=18", "model.width=4", "model.precision=float32", "model.normalise=colour",
    "clips.num_frames=4", "clips.fps=0", "clips.height=20", "clips.width=26", "clips.crop=16",
    "clips.recolour=false", "clips.cache_mib=0", "train.threads=1", "train.lr=0.02",
    "train.lr_batch_size=4", "train.warmup_clips=8",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # 18 clips in shards of 4, 4, 4, 4 and 2.
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=6, frames=8)
    return folder


def torchrun(*words: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    return subprocess.Popen(
        [*command, "--nproc-per-node=2", *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def log(out: Path) -> list[dict[str, float]]:
    lines = (out / LOG).read_text().splitlines() if (out / LOG).exists() else []
    return [json.loads(line) for line in lines]


def test_a_process_on_its_own_is_the_only_rank() -> None:
    with joined() as alone:
        assert alone == ranks() == Ranks(0, 1)
        assert alone.writes
        assert local_rank() == (0, 1)
        assert agree(3)
        assert torch.equal(summed(torch.ones(2)), torch.ones(2))


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    refuse_more_than(None)
    refuse_more_than(4)
    with pytest.raises(SettingsError, match=r"^4 processes \(GPUS\) on .* each sees 2 GPUs: start"):
        refuse_more_than(2)


@pytest.mark.slow
def test_two_ranks_have_the_losses_and_weights_of_one_with_the_double_batch(
    data: Path, tmp_path: Path
) -> None:
    split = str(data / "shards" / "all")
    words = [*WORDS, "train.clips=60"]
    script = str(ROOT / "tests" / "training" / "frozen_norms.py")
    with torchrun(script, split, str(tmp_path / "two"), *words, "train.batch_size=2") as both:
        _, told = both.communicate()
        assert both.returncode == 0, told
    # Gradients lie in memory as their weights do, so nothing is copied to exchange them.
    assert "strides do not match" not in told
    learn(split, str(tmp_path / "one"), [*words, "train.batch_size=4"])
    one, two = log(tmp_path / "one"), log(tmp_path / "two")
    assert len(one) == len(two) == 15
    for name in ("step", "epoch", "lr"):
        assert [row[name] for row in one] == [row[name] for row in two]
    assert [row["loss"] for row in two] == pytest.approx([row["loss"] for row in one], rel=1e-4)
    first, second = (load_checkpoint(str(tmp_path / name / CHECKPOINT)) for name in ("one", "two"))
    assert (first.ranks, second.ranks) == (1, 2)
    assert (first.epoch, first.clips) == (second.epoch, second.clips)
    for name, value in first.model.items():
        torch.testing.assert_close(second.model[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_ranks_are_stopped_together_and_one_goes_on_alone(data: Path, tmp_path: Path) -> None:
    # 18 clips and 6 per step: every epoch has three steps on both ranks.
    words = [*WORDS, "train.clips=600", "train.checkpoint_steps=7"]
    call = ["-m", "training", "pretrain", "--data", str(data), "--out", str(tmp_path)]
    sets = [part for word in [*words, "train.batch_size=3"] for part in ("--set", word)]
    with torchrun(*call, *sets) as both:
        while len(log(tmp_path)) < 10:
            assert both.poll() is None
            time.sleep(0.05)
        both.send_signal(signal.SIGTERM)
        out, told = both.communicate(timeout=120)
    assert both.returncode != 0
    assert out == ""
    assert told.count("tagreel: stopped by SIGTERM after step") == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        [CHECKPOINT, LOG, CURVE, OPTIONS, TENSORBOARD]
    )
    held = load_checkpoint(str(tmp_path / CHECKPOINT))
    assert held.step == len(log(tmp_path)) < 100
    assert (held.epoch, held.clips, held.ranks) == (
        (held.step - 1) // 3, 6 * ((held.step - 1) % 3 + 1), 2,
    )  # fmt: skip
    options = load_options("sample", [*words, "train.batch_size=6"])
    end = commands.pretrain(str(data), str(tmp_path), options)
    assert (end.step, end.ranks) == (100, 1)
    assert [row["step"] for row in log(tmp_path)] == list(range(100))
    assert [row["epoch"] for row in log(tmp_path)] == [step // 3 for step in range(100)]


LEFT_ALONE = """
import os, signal
from training.ranks import PeerError, joined, wait_for_all
signal.signal(signal.SIGTERM, signal.SIG_IGN)
try:
    with joined() as here:
        wait_for_all()
        if here.number == 1:
            os._exit(3)
        wait_for_all()
except PeerError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_rank_that_is_left_alone_says_so_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "left_alone.py").write_text(LEFT_ALONE)
    with torchrun(str(tmp_path / "left_alone.py")) as both:
        out, _ = both.communicate(timeout=120)
    assert out == (
        "process 0 of 2 stops because another one ended; if that one said nothing, it was killed\n"
    )


ENDS_LATE = """
import os, sys, threading
from training.ranks import joined
with joined() as here:
    if here.writes:
        threading.Event().wait(2)
        open(sys.argv[1], "w").close()
print(os.path.exists(sys.argv[1]))
"""


@pytest.mark.slow
def test_no_rank_ends_before_the_first_one(tmp_path: Path) -> None:
    (tmp_path / "ends_late.py").write_text(ENDS_LATE)
    with torchrun(str(tmp_path / "ends_late.py"), str(tmp_path / "ended")) as both:
        out, told = both.communicate(timeout=120)
    assert (both.returncode, out.count("True")) == (0, 2), told


STARTED_AGAIN = """
import os
from training.ranks import joined, wait_for_all
with joined() as here:
    wait_for_all()
    if here.number == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os._exit(3)
    wait_for_all()
    print("joined again")
"""


@pytest.mark.slow
def test_ranks_that_torchrun_starts_again_find_each_other_or_are_refused_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "started_again.py").write_text(STARTED_AGAIN)
    words = ["--max-restarts=1", str(tmp_path / "started_again.py")]
    with torchrun(*words) as both:
        out, told = both.communicate(timeout=120)
    assert out == ""
    assert "SettingsError: torchrun --max-restarts: processes that it starts again" in told
    monkeypatch.setenv("TORCH_DISABLE_SHARE_RDZV_TCP_STORE", "1")
    with torchrun(*words) as both:
        out, told = both.communicate(timeout=120)
    assert (both.returncode, out.count("joined again")) == (0, 2), told


@pytest.mark.slow
def test_only_the_rank_that_fails_says_why(data: Path, tmp_path: Path) -> None:
    call = ["-m", "training", "pretrain", "--data", str(data), "--out", str(tmp_path)]
    sets = [part for word in [*WORDS, "train.clips=60"] for part in ("--set", word)]
    with run_folder(str(tmp_path)), torchrun(*call, *sets) as both:
        _, told = both.communicate(timeout=120)
    assert both.returncode != 0
    assert told.count(f"tagreel: {tmp_path}: another command is writing there") == 1
    assert "/gloo/" not in told
