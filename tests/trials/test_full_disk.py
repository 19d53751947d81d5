"""Disks that are full (F4).

The command ends non-zero with one sentence that says which path, why and what to do; nothing stands
at a final name that no record or manifest lists; and when there is room the same command ends with
the same dataset.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from formats.shards import MANIFEST, read_manifest
from pipelines.run import STAGES
from tests.trials.small_world import (
    SmallWorld,
    check_same,
    finish,
    needs_root,
    one_sentence,
    remount,
    scraps,
    small_disk,
)

pytestmark = pytest.mark.trial

PAGE = 4096
# What belongs to no stage: the job's own, and what the report is made of.
OF_THE_JOB = {"config.toml", "yield.json", "ledger.parquet", "DATASET_CARD.md"}


def pages(out: Path, stages: tuple[str, ...]) -> int:
    """What so many stages of a finished job take on a disk."""
    sizes = [
        size
        for stage in stages
        for size in json.loads((out / "stages" / f"{stage}.json").read_text())["files"].values()
    ]
    # Their records, and what is hidden, are pages of their own.
    return sum(-(-size // PAGE) for size in sizes) + len(stages) + len(scraps(out))


def check_nothing_unlisted(out: Path) -> None:
    """Every file is named by the record of a stage, or a part that says itself that it is whole."""
    records = [json.loads(path.read_text()) for path in out.glob("stages/*.json")]
    listed = {name for record in records for name in record["files"]}
    for path in out.rglob("*"):
        name = str(path.relative_to(out))
        if path.is_dir() or "/." in f"/{name}" or name in OF_THE_JOB:
            continue
        if name.startswith(("stages/", "report/")):
            continue
        if name.startswith("videos/part-"):
            assert path.with_suffix(".parquet").exists(), name
            assert path.with_suffix(".tar").exists(), name
        elif not name.startswith(("videos/", "target_videos/", "targets/")):
            assert name in listed, name
    for folder in out.glob("shards/*"):
        if not any(folder.iterdir()):
            continue
        entries = read_manifest(str(folder)).shards
        assert {e.path for e in entries} == {p.name for p in folder.iterdir()} - {MANIFEST}
    assert not list(out.rglob("*.tmp"))


@needs_root
def test_a_disk_that_is_full_in_every_stage(world: SmallWorld, whole: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    out = disk / "out"
    stages, stopped = tuple(STAGES), set()
    with small_disk(disk, PAGE):
        for number in range(len(stages)):
            # Room for what came before, and for half of what this stage leaves.
            room = pages(whole, stages[:number]) + pages(whole, stages[: number + 1])
            remount(disk, f"size={max(1, room // 2) * PAGE}")
            code, _, complained = finish(world.command(out))
            sentence = one_sentence(complained)
            assert code == 1
            assert sentence.startswith(f"tagreel: {out}") and "No space left on device" in sentence
            assert "make room there, then run the same command again" in sentence
            done = [name for name in stages if (out / "stages" / f"{name}.json").exists()]
            stopped.add(len(done))
            check_nothing_unlisted(out)
        assert len(stopped) >= 4 and "shard" not in done
        remount(disk, "size=64m")
        code, _, complained = finish(world.command(out))
        assert code == 0, complained
        check_same(out, whole)


@needs_root
@pytest.mark.parametrize("kib", [0, 12, 40])
def test_a_full_disk_for_what_is_under_way_rejects_no_video(
    world: SmallWorld, whole: Path, kib: int, tmp_path: Path
) -> None:
    disk, out = tmp_path / "scratch", tmp_path / "out"
    with small_disk(disk, (kib or 4) * 1024):
        if kib == 0:
            (disk / "full").write_bytes(bytes(4096))
        environment = {**os.environ, "TMPDIR": str(disk)}
        words = world.command(out)
        if kib == 0:
            # Python itself passes over a folder that it cannot write to.
            assert finish(words, env=environment)[0] == 0
        else:
            code, _, complained = finish(words, env=environment)
            sentence = one_sentence(complained)
            assert code == 1 and f"tagreel: {disk}" in sentence
            assert "No space left on device; make room there" in sentence
            assert not list(disk.iterdir())
        check_nothing_unlisted(out)
    assert finish(words)[0] == 0
    check_same(out, whole)


@needs_root
def test_a_takedown_on_a_full_disk_goes_on_when_there_is_room(
    world: SmallWorld, whole: Path, tmp_path: Path
) -> None:
    (tmp_path / "ids.txt").write_text("uploader:anna0\nsurf-1\n")
    disk, wanted = tmp_path / "disk", tmp_path / "wanted"
    out = disk / "out"
    shutil.copytree(whole, wanted, copy_function=shutil.copy2)
    takedown = ["takedown", "--ids", str(tmp_path / "ids.txt"), "--out"]
    assert finish([*takedown, str(wanted)])[0] == 0
    with small_disk(disk, 64 << 20):
        shutil.copytree(whole, out, copy_function=shutil.copy2)
        held = sum(-(-p.stat().st_size // PAGE) for p in out.rglob("*") if p.is_file())
        for more in (1, 8, 24):
            remount(disk, f"size={(held + more) * PAGE}")
            code, _, complained = finish([*takedown, str(out)])
            if code == 0:
                break
            sentence = one_sentence(complained)
            assert f"tagreel: {out}" in sentence and "make room there" in sentence
            code, _, complained = finish(["verify", "--out", str(out)])
            assert code == 0 or "a takedown was cut" in one_sentence(complained)
        assert more > 1
        remount(disk, "size=64m")
        # The sentence says: the same command again. A stage before it would do as well.
        assert finish([*takedown, str(out)])[0] == 0
        check_same(out, wanted)
