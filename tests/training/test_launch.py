import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.moving_clips import moving_split
from training.checkpoint import CHECKPOINT, load_checkpoint
from training.journal import LOG
from training.launch import main

ROOT = Path(__file__).parents[2]
WORDS = [
    "model.depth=18", "model.width=4", "model.precision=float32", "clips.num_frames=4",
    "clips.height=20", "clips.width=26", "clips.crop=16", "clips.cache_mib=0", "clips.workers=1",
    "train.clips=100000", "train.batch_size=2", "train.checkpoint_steps=1000", "train.threads=1",
]  # fmt: skip


def launched(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "training.launch", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=4, frames=8)
    return folder


@pytest.mark.parametrize("words", [[], ["0", "bench"], ["two", "bench"], ["-1", "bench"]])
def test_without_a_number_of_processes_it_says_so(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("tagreel: the number of processes (GPUS) must be 1 or more, got ")


def test_a_wrong_call_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["2", "bench", "--steps", "0"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("want at least 1, got 0") == 1


@pytest.mark.slow
def test_what_all_processes_meet_is_one_line(tmp_path: Path) -> None:
    with launched("2", "bench", "--data", str(tmp_path)) as both:
        out, told = both.communicate(timeout=120)
    assert (both.returncode, out) == (1, "")
    assert told.startswith(f"tagreel: {tmp_path}: holds no finished dataset: ")
    assert told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("kill one", 137, "of 2 was ended by SIGKILL; the same command goes on from the last"),
        ("ask all", 143, "tagreel: stopped by SIGTERM after step "),
        (
            "interrupt all",
            130,
            "tagreel: stopped; the same command goes on from the last checkpoint",
        ),
    ],
)
def test_an_end_from_outside_is_told_in_lines(
    data: Path, tmp_path: Path, how: str, code: int, line: str
) -> None:
    sets = [part for word in WORDS for part in ("--set", word)]
    call = ["2", "pretrain", "--data", str(data), "--out", str(tmp_path), *sets]
    with launched(*call) as both:
        until(lambda: (tmp_path / LOG).exists() and (tmp_path / LOG).stat().st_size > 0)
        assert both.poll() is None
        if how == "kill one":
            os.kill(children(both.pid)[1], signal.SIGKILL)
        elif how == "interrupt all":
            os.killpg(both.pid, signal.SIGINT)  # As a terminal does.
        else:
            both.send_signal(signal.SIGTERM)
        out, told = both.communicate(timeout=120)
    assert (both.returncode, out) == (code, "")
    assert told.count(line) == 1
    assert "Traceback" not in told and "Warning" not in told
    if how == "ask all":
        assert load_checkpoint(str(tmp_path / CHECKPOINT)).step > 0


def children(parent: int) -> list[int]:
    """The processes that one started, oldest first."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return sorted(int(number) for one in lists for number in one.read_text().split())


def until(done: Callable[[], object]) -> None:
    while not done():
        time.sleep(0.05)
