"""The README tells the truth: its commands run, its lists are whole."""

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from formats.fates import Fate, Reason
from formats.video import encode_frames
from pipelines.benchmarks.target_specs import NAMES
from pipelines.reporting.reasons import ADVICE
from pipelines.run import STAGES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    for line in block.strip().splitlines()
]
# Too long, or itself, to run from inside a test; the words are checked by `make --dry-run`.
TOO_LONG = {"make test"}


def run(command: str, folder: Path, *more: str) -> str:
    """Run a README command with the files that it names lying in `folder`."""
    words = [*shlex.split(command), "-f", str(ROOT / "Makefile"), *more]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        words, cwd=folder, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder: a catalog with five videos of yoga, a target table, a file of labels."""
    path = tmp_path_factory.mktemp("user")
    rng = np.random.default_rng(0)
    rows = [["video_id", "uri", "caption", "text"]]
    for number in range(7):
        still = rng.integers(0, 255, (96, 128, 3), dtype=np.uint8)
        frames = (np.roll(still, 2 * shift, axis=1) for shift in range(24))
        encode_frames(str(path / f"{number}.mp4"), frames, fps=12)
        rows.append([f"v{number}", f"{number}.mp4", "#yoga", "#yoga"])
    with open(path / "posts.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows[:6])
    (path / "kinetics_val.csv").write_text("video_id,uri,label\nt,5.mp4,yoga\nu,6.mp4,yoga\n")
    (path / "leak.csv").write_text("video_id,uri\nt,0.mp4\n")
    (path / "ucf").mkdir()
    (path / "ucf" / "v_Archery_g01_c01.mp4").write_bytes((path / "6.mp4").read_bytes())
    archery = [f"Archery/v_Archery_g01_c0{number}.avi 1\n" for number in (1, 2)]
    (path / "ucf" / "trainlist01.txt").write_text("".join(archery))
    for name, content in re.findall(r"`(my/[\w.]+)`,[^\n]*\n\n```\w*\n(.*?)```", README, re.DOTALL):
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text(content)
    for number, name in enumerate(("clips/lake.mp4", "clips/five.mp4", "benchmark/asana.mp4")):
        (path / "my" / name).parent.mkdir(exist_ok=True)
        (path / "my" / name).write_bytes((path / f"{number}.mp4").read_bytes())
    (path / "gone.txt").write_text("# asked for\nv1\nuri:2.mp4\nuploader:nobody\n")
    return path


@pytest.fixture(scope="module")
def virtual_environment(folder: Path) -> tuple[str, ...]:
    """The environment that runs the tests stands in for the one that make would install."""
    home = folder / "venv"
    (home / "bin").mkdir(parents=True)
    python = home / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    for stamp in (".dataset", ".train", ".dev"):
        (home / stamp).touch()
    for name in ("pyproject.toml", "constraints.txt"):
        (folder / name).write_text("")
        os.utime(folder / name, (0, 0))
    return (f"VENV={home}",)


def test_every_command_is_one_of_make_or_prints_hashtags(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    of_make = [command for command in COMMANDS if command.startswith("make ")]
    assert of_make
    for command in of_make:
        run(command, folder, "--dry-run", *virtual_environment)
    (other,) = set(COMMANDS) - set(of_make)
    python, *words = shlex.split(other)
    assert python == ".venv/bin/python"
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, check=True)
    assert {b"#catchingafish", b"#catchfish", b"#fishcatching"} <= set(done.stdout.split())


@pytest.mark.slow
def test_the_three_files_and_the_command_for_a_beginning_run(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    (command,) = (command for command in COMMANDS if "my/posts.csv" in command)
    said = run(command, folder, *virtual_environment)
    assert re.search(r"clip +2\n", said) and re.search(r"unmatched +1\n", said)
    assert "short, long, long_center are empty: no label has a video of 55-60.5 s" in said


@pytest.mark.slow
def test_the_commands_for_a_catalog_of_ones_own_run(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    own = [command for command in COMMANDS if re.search("CATALOG|verify|overlap|takedown", command)]
    own = [command for command in own if not re.search("preflight|RETRY|my/", command)]
    assert len(own) == 5
    said = [run(command, folder, *virtual_environment) for command in own]
    assert "clip                     5" in said[0]
    assert "all as written" in said[1]
    assert re.search(r"exact +1/400 +0\.2%", said[2])
    assert "all as written" in said[3]
    assert "2 videos taken down" in said[4]
    assert "taken_down               2" in run(own[0], folder, *virtual_environment)


@pytest.mark.slow
def test_a_forecast_leaves_what_is_done_and_a_retry_finds_what_came_back(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    forecast, retry = (command for command in COMMANDS if re.search("preflight|RETRY", command))
    away = folder / "away.mp4"
    (folder / "3.mp4").rename(away)
    here = (*virtual_environment, "OUT=out/again")
    assert "yield                80.0%" in run(forecast, folder, *here)
    first = run(retry.partition(" RETRY")[0], folder, *here, "SET=label.min_videos=4")
    assert "4 of 5 videos stored (80.0 %)" in first and "link rot" in first
    away.rename(folder / "3.mp4")
    said = run(forecast, folder, *here)
    assert "5 of 5 matches fetched" in said and "yield               100.0%" in said
    said = run(retry, folder, *here)
    assert "5 of 5 videos stored (100.0 %)" in said and "clip                     5" in said
    (line,) = (line for line in said.splitlines() if line.startswith("match "))
    assert "done before" in line


@pytest.mark.slow
def test_a_removal_is_judged_and_the_report_says_so(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    judging = [command for command in COMMANDS if re.search("make (audit|report)", command)]
    draw, measure, report = judging
    here = (*virtual_environment, "OUT=out/judged")
    build = "make dataset CATALOG=posts.csv TARGETS=leak.csv SET=label.min_videos=4"
    assert "duplicate                1" in run(build, folder, *here)
    assert "1 of 1 removals drawn" in run(draw, folder, *here)
    pairs = (folder / "out" / "judged" / "audit" / "pairs.csv").read_text()
    (pair,) = (row["pair"] for row in csv.DictReader(pairs.splitlines()))
    (folder / "verdicts.csv").write_text(f"pair,verdict\n{pair},same\n")
    assert "1 of 1 judged right, precision 100.0 %" in run(measure, folder, *here)
    run(report, folder, *here)
    for name in ("report/index.html", "DATASET_CARD.md"):
        assert "precision 100.0 %" in (folder / "out" / "judged" / name).read_text()


@pytest.mark.slow
def test_a_benchmark_is_hashed_as_its_authors_hand_it_out(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    (command,) = [c for c in COMMANDS if c.startswith("make targets")]
    assert "failed 1" in run(command, folder, *virtual_environment)
    out = folder / "out" / "ucf"
    assert (out / "target_shards" / "ucf101" / "train" / "MANIFEST.json").exists()
    assert "c02" in (out / "target_videos" / "ucf101.failed").read_text()


@pytest.mark.slow
def test_recall_on_edited_targets_is_measured_and_the_report_says_so(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    (measure,) = (command for command in COMMANDS if "make dedup-eval" in command)
    here = (*virtual_environment, "OUT=out/measured")
    build = "make dataset CATALOG=posts.csv TARGETS=kinetics_val.csv SET=label.min_videos=4"
    run(build, folder, *here)
    said = run(measure, folder, *here)
    assert "2 of 2 target videos were edited in 37 ways" in said
    assert "Of 5 stored source videos 0 are like a target" in said
    run("make report", folder, *here)
    for name in ("report/index.html", "DATASET_CARD.md"):
        told = (folder / "out" / "measured" / name).read_text()
        assert "2 of 2 target videos were edited in 37 ways" in told


@pytest.mark.slow
def test_the_two_commands_of_the_first_screen_run(
    virtual_environment: tuple[str, ...], folder: Path
) -> None:
    first = COMMANDS[:2]
    assert first == ["make dataset SEED=kinetics", "make train"]
    assert "248" in run(first[0], folder, *virtual_environment)
    # A short training is enough here: what the whole one reaches stands in the README.
    short = "SET=train.clips=48 train.warmup_clips=12 evaluate.linear_clips=1"
    said = run(first[1], folder, short, *virtual_environment)
    assert "random" in said
    for name in ("report/index.html", "DATASET_CARD.md", "training/linear.json"):
        assert (folder / "out" / "kinetics" / name).stat().st_size > 0
    linear, tune = (line for line in COMMANDS if re.search("make (linear|finetune)", line))
    assert "fc-only top-1 pre-trained" in run(linear, folder, short, *virtual_environment)
    short = "SET=finetune.clips=16 finetune.grid_lr=0.02 evaluate.clips=1 finetune.scratch=true"
    said = run(tune, folder, short, *virtual_environment)
    assert "full-ft top-1 pre-trained" in said and "random" in said
    for name in ("linear.html", "finetune.html", "finetune.json"):
        assert (folder / "out" / "kinetics" / "training" / name).stat().st_size > 0


def test_every_reason_is_explained_as_in_the_report() -> None:
    for reason, advice in ADVICE.items():
        assert f"| `{reason}` | {advice.meaning} | {advice.remedy} |\n" in README


def test_every_benchmark_is_laid_out() -> None:
    for name in NAMES:
        assert f"`{name.removesuffix('-2').removesuffix('-3')}`" in README


def test_a_misspelt_or_missing_variable_ends_make_with_its_name() -> None:
    for words, said in (
        ("dataset CATALOGUE=posts.csv", "no such variable: CATALOGUE; there are "),
        ("report SETS=a.b=1", "no such variable: SETS; there are "),
        ("takedown IDS=gone.txt", "takedown needs OUT=FOLDER"),
        ("takedown OUT=out/mine", "takedown needs IDS=FILE"),
        ("overlap OUT=out/mine", "overlap needs LABELS="),
    ):
        make = ["make", "--dry-run", *words.split()]
        done = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2 and said in done.stderr


def test_every_reason_fate_and_stage_is_explained() -> None:
    for word in (*Reason, *Fate, *STAGES):
        assert f"`{word}`" in README


def test_links_and_pictures_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
