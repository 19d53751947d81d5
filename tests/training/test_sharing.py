import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.moving_clips import moving_split
from training.__main__ import main
from training.models import r2plus1d
from training.ranks import Ranks
from training.sharing import collected, everyones, in_order, is_mine, places, told

ROOT = Path(__file__).parents[2]
WORDS = [
    "model.precision=float32", "model.normalise=colour", "clips.num_frames=4", "clips.height=20",
    "clips.width=26", "clips.crop=16", "clips.fps=0", "clips.cache_mib=0", "clips.workers=2",
    "train.threads=1", "finetune.threads=1", "evaluate.batch_size=2", "evaluate.clips=2",
    "evaluate.linear_clips=2", "finetune.clips=8", "finetune.batch_size=4",
    "finetune.lr_batch_size=8", "finetune.tensorboard=false",
]  # fmt: skip


@pytest.mark.parametrize("together", [1, 2, 4])
@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("videos", [1, 7, 12])
def test_every_video_is_one_ranks_in_batches_of_one_process(
    together: int, count: int, videos: int
) -> None:
    taken = [
        [i for i in range(videos) if is_mine(Ranks(rank, count), together, i)]
        for rank in range(count)
    ]
    assert [place.tolist() for place in places([len(own) for own in taken], together)] == taken
    assert in_order(taken, together) == list(range(videos))
    alone = [range(videos)[i : i + together] for i in range(0, videos, together)]
    for own in taken:
        assert all(range(own[i], own[i] + len(own[i : i + together])) in alone
                   for i in range(0, len(own), together))  # fmt: skip


def test_a_process_on_its_own_has_it_all() -> None:
    rows = torch.ones(3, 2).numpy()
    assert collected(rows, 2) is rows
    assert (everyones("a"), told("a")) == (["a"], "a")


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "discs"
    moving_split(folder / "train", per_label=3, rng_seed=1, frames=6)
    moving_split(folder / "val", per_label=5, rng_seed=2, frames=6)
    # One batch: the second rank has nothing to do.
    moving_split(folder / "few", per_label=1, rng_seed=3, frames=6)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    model = r2plus1d(18, 3, width=4)
    torch.nn.init.normal_(model.fc.weight, 0, 5)
    path = str(tmp_path_factory.mktemp("weights") / "public.pth")
    torch.save(model.state_dict(), path)
    return path


def on_two_ranks(words: list[str]) -> str:
    done = started_on_two_ranks("-m", "training", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


def started_on_two_ranks(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    return subprocess.run(
        [*command, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


# As on machines of their own, each with its copies of options and folders.
EACH_ITS_OWN = """
import os, sys
from training.__main__ import main
sys.exit(main([word.replace("RANK", os.environ["RANK"]) for word in sys.argv[1:]]))
"""


def results(out: Path) -> dict[str, Any]:
    """All that was found out, but for what the number of ranks stands in."""
    return {str(path.relative_to(out)): json.loads(path.read_text())
            for path in sorted(out.rglob("*.json")) if path.parent.name != "features"}  # fmt: skip


@pytest.mark.slow
def test_two_ranks_find_what_one_process_finds(
    target: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for word in WORDS for part in ("--set", word)]
    linear = ["linear", "--target", str(target), "--weights", weights, "--config", "sample", *sets]
    linear += ["--set", "evaluate.splits=val,few"]
    alone, both = tmp_path / "alone", tmp_path / "both"
    assert main([*linear, "--out", str(alone)]) == 0
    said = capsys.readouterr().out
    assert on_two_ranks([*linear, "--out", str(both)]) == said
    for split in ("val", "few"):
        words = ["evaluate", "--target", str(target / split), "--weights", weights]
        words += [part for word in WORDS for part in ("--set", word)]
        assert main([*words, "--out", str(alone / split)]) == 0
        said = capsys.readouterr().out
        assert said.startswith(f"discs{'' if split == 'val' else '-few'}: evaluated top-1")
        assert on_two_ranks([*words, "--out", str(both / split)]) == said
    found = results(alone)
    assert len(found["linear/discs.json"]["videos"]) == 15
    assert len(found["linear/discs-few.json"]["videos"]) == 3
    assert results(both) == found


@pytest.mark.slow
def test_what_ranks_have_tuned_together_is_measured_with_the_first_ones_norms(
    target: Path, weights: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets = [part for word in WORDS for part in ("--set", word)]
    words = ["finetune", "--target", str(target), "--weights", weights, "--config", "sample", *sets]
    words += ["--set", "finetune.grid_lr=0.02", "--set", "finetune.grid_weight_decay=0"]
    told = on_two_ranks([*words, "--out", str(tmp_path)])
    assert told.startswith("discs: full-ft top-1 pre-trained ")
    tuned = tmp_path / "finetune" / "discs" / "pre-trained" / "checkpoint.pt"
    words = ["evaluate", "--target", str(target / "val"), "--checkpoint", str(tuned)]
    assert main([*words, "--out", str(tmp_path / "again")]) == 0
    capsys.readouterr()
    first, again = results(tmp_path)["finetune/discs.json"], results(tmp_path / "again")
    guesses = [video["guesses"]["pre-trained"] for video in first["videos"]]
    assert guesses == [
        video["guesses"]["checkpoint"] for video in again["evaluate/discs.json"]["videos"]
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("verb", "differing", "message"),
    [
        # They would wait for each other after the tenth step.
        ("pretrain", ["train.checkpoint_steps=1RANK"], "checkpoint_steps is 10 for process 0 and"),
        ("pretrain", ["model.width=1RANK"], "model.width is 10 for process 0 and 11 for process 1"),
        ("pretrain", [], "dataset_id is "),
        ("evaluate", ["evaluate.batch_size=1RANK"], "evaluate.batch_size is 10 for process 0 and"),
        ("linear", ["evaluate.clips=1RANK"], "evaluate.clips is 10 for process 0 and 11 for"),
    ],
)
def test_ranks_that_were_begun_otherwise_are_refused(
    target: Path, weights: str, tmp_path: Path, verb: str, differing: list[str], message: str
) -> None:
    (tmp_path / "each.py").write_text(EACH_ITS_OWN)
    for rank, split in enumerate(["train", "train" if differing else "val"]):
        (tmp_path / f"data{rank}" / "shards").mkdir(parents=True)
        (tmp_path / f"data{rank}" / "shards" / "all").symlink_to(target / split)
    data = {
        "pretrain": ["--data", str(tmp_path / "dataRANK"), "--config", "sample"],
        "evaluate": ["--target", str(target / "val"), "--weights", weights],
        "linear": ["--target", str(target), "--weights", weights, "--config", "sample"],
    }
    sets = [part for word in (*WORDS, *differing) for part in ("--set", word)]
    words = [verb, *data[verb], "--out", str(tmp_path / "out"), *sets]
    done = started_on_two_ranks(str(tmp_path / "each.py"), *words)
    assert done.returncode != 0
    assert done.stderr.count(message) == 1
    assert "[rank" not in done.stderr  # As tracebacks begin.


@pytest.mark.slow
def test_ranks_take_a_grid_as_the_first_one_sees_it(
    target: Path, weights: str, tmp_path: Path
) -> None:
    (tmp_path / "each.py").write_text(EACH_ITS_OWN)
    sets = [part for word in WORDS for part in ("--set", word)]
    words = ["finetune", "--target", str(target), "--weights", weights, "--config", "sample", *sets]
    words += ["--set", "finetune.grid_lr=0.02,0.04", "--set", "finetune.grid_weight_decay=0"]
    out = [*words, "--out", str(tmp_path / "outRANK")]
    done = started_on_two_ranks(str(tmp_path / "each.py"), *out)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("discs: full-ft top-1 pre-trained ")
    assert not (tmp_path / "out1").exists()
