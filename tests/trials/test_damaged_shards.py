"""Shards of a real dataset that were damaged after they were committed (F10).

`verify` names what is wrong, whichever subset holds it; the trainer refuses it before its first
step, in one sentence.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from formats.shards import MANIFEST
from pipelines.__main__ import main
from training.__main__ import main as train

pytestmark = pytest.mark.trial

SUBSETS = 3


def flip_a_bit(folder: Path) -> str:
    content = bytearray((folder / "shard-00001.tar").read_bytes())
    content[len(content) // 2] ^= 1
    (folder / "shard-00001.tar").write_bytes(content)
    return "shard-00001.tar: its bytes changed"


def cut(folder: Path) -> str:
    content = (folder / "shard-00001.tar").read_bytes()
    (folder / "shard-00001.tar").write_bytes(content[:-512])
    return "shard-00001.tar: "


def cut_and_fill(folder: Path) -> str:
    """As long as it was: what a disk gives back that had not been written to in time."""
    content = (folder / "shard-00001.tar").read_bytes()
    half = len(content) // 2
    (folder / "shard-00001.tar").write_bytes(content[:half] + bytes(len(content) - half))
    return "shard-00001.tar: its bytes changed"


def lose(folder: Path) -> str:
    (folder / "shard-00001.tar").unlink()
    return "shard-00001.tar: "


def swap(folder: Path) -> str:
    one, two = folder / "shard-00000.tar", folder / "shard-00001.tar"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    return "/shard-0000"


def add(folder: Path) -> str:
    shutil.copy(folder / "shard-00000.tar", folder / "shard-00099.tar")
    return "shard-00099.tar: not in the manifest"


def edit_labels(folder: Path) -> str:
    return edit(folder, lambda content: content["labels"].reverse())


def edit_hash(folder: Path) -> str:
    """The hash of a shard that was exchanged for another."""

    def exchange(content: dict) -> None:
        content["shards"][1]["sha256"] = content["shards"][0]["sha256"]

    return edit(folder, exchange)


def edit_count(folder: Path) -> str:
    def count(content: dict) -> None:
        content["clips"] += 1

    return edit(folder, count)


def leave_one_out(folder: Path) -> str:
    def leave(content: dict) -> None:
        content["clips"] -= content["shards"].pop()["clips"]

    return edit(folder, leave)


def edit(folder: Path, change: Callable[[dict], None]) -> str:
    content = json.loads((folder / MANIFEST).read_text())
    change(content)
    (folder / MANIFEST).write_text(json.dumps(content))
    return f"{MANIFEST}: "


def cut_manifest(folder: Path) -> str:
    text = (folder / MANIFEST).read_text()
    (folder / MANIFEST).write_text(text[: len(text) // 2])
    return f"{MANIFEST}: not a shard manifest"


def lose_manifest(folder: Path) -> str:
    (folder / MANIFEST).unlink()
    return f"{MANIFEST}: not there, so this split was never finished"


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        cut,
        cut_and_fill,
        lose,
        swap,
        add,
        edit_labels,
        edit_hash,
        edit_count,
        leave_one_out,
        cut_manifest,
        lose_manifest,
    ],
)
def test_what_was_damaged_is_named_and_not_trained_on(
    whole: Path,
    damage: Callable[[Path], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    shutil.copytree(whole, out, copy_function=shutil.copy2)
    message = damage(out / "shards" / "all")
    capsys.readouterr()
    assert main(["verify", "--out", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and message in said and str(out / "shards" / "all") in said
    subsets = [f"{number}/{SUBSETS}" for number in range(1, SUBSETS + 1)]
    assert any(main(["verify", "--out", str(out), "--subset", one]) for one in subsets)
    capsys.readouterr()
    run = tmp_path / "run"
    assert train(["pretrain", "--data", str(out), "--out", str(run)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("tagreel: ") and said.count("\n") == 1
    assert str(out / "shards" / "all") in said
    assert not list(run.rglob("*.pt"))


def test_the_undamaged_one_is_verified_and_trained_on(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--out", str(whole)]) == 0
    small = ("model.width=4", "clips.num_frames=4", "clips.height=20", "clips.width=26")
    small += ("clips.crop=16", "train.clips=24", "train.batch_size=4", "train.threads=1")
    words = [word for option in small for word in ("--set", option)]
    run = tmp_path / "run"
    assert train(["pretrain", "--data", str(whole), "--out", str(run), *words]) == 0
    assert "trained 6 steps" in capsys.readouterr().out
