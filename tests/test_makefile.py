"""What the Makefile makes of its variables: the one line of Python that it would run."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def line_of(*words: str) -> str:
    command = ["make", "-n", "-o", ".venv/.dataset", "VENV=.venv", *words]
    # What a `make test` around passes on, or a shell exports, is not for this one.
    own = {"PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True, check=True)
    return " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "targets"),
    [
        (("TARGETS=mine.csv",), ' --targets "mine.csv"'),
        (("NAME=ucf101", "ROOT=ucf"), ' --targets "ucf101:ucf"'),
        (("NAME=ucf101",), ' --targets "ucf101:"'),
        (("TARGETS=mine.csv", "NAME=ucf101", "ROOT=ucf"), ' --targets "mine.csv,ucf101:ucf"'),
        ((), ""),
    ],
)
@pytest.mark.parametrize("stage", ["targets", "dataset"])
def test_a_benchmark_is_a_target_set_beside_the_others(
    stage: str, words: tuple[str, ...], targets: str
) -> None:
    python = f'.venv/bin/python -m pipelines {stage} --seed "kinetics" --out "new"'
    assert line_of(stage, "OUT=new", *words) == python + targets


@pytest.mark.parametrize("verb", ["linear", "finetune"])
def test_transfer_takes_the_options_of_its_network_unless_a_config_is_named(verb: str) -> None:
    def asked(*words: str) -> str:
        return line_of("-o", ".venv/.train", verb, "DATA=data", *words)

    start = f'.venv/bin/python -m training {verb} --data "data"'
    assert asked() == f'{start} --out "data/training"'
    words = asked("WEIGHTS=public.pth", "CONFIG=ig-kinetics-34-8f")
    assert words == (
        f'{start} --weights "public.pth" --out "data/training" --config "ig-kinetics-34-8f"'
    )
