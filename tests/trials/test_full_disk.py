"""Disks that are full, and names that are taken (F4, F5).

The command ends non-zero with one sentence that says which path, why and what to do; nothing stands
at a final name that no record or manifest lists; and when there is room the same command ends with
the same dataset.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from formats.shards import MANIFEST, read_manifest
from pipelines.__main__ import main
from pipelines.run import STAGES
from tests.trials.small_world import (
    SmallWorld,
    finish,
    lasting,
    scraps,
    small_world,
    start,
)

pytestmark = pytest.mark.trial

PAGE = 4096
NOBODY = 65534
# What belongs to no stage: the job's own, and what the report is made of.
OF_THE_JOB = {"config.toml", "yield.json", "ledger.parquet", "DATASET_CARD.md"}
NAMES = {
    "spaces": "an OUT with  two spaces",
    "letters": "Österreich 動画 видео",
    "quotes": 'it\'s "quoted" (100%) %03d #1 [a-z]*',
    "long": "/".join(["long" * 50] * 5),
}

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    with small_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="module")
def whole(world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    code, _, complained = finish(world.command(out))
    assert code == 0, complained
    return out


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    options = f"size={size},mode=1777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


def pages(out: Path, stages: tuple[str, ...]) -> int:
    """What so many stages of a finished job take on a disk."""
    sizes = [
        size
        for stage in stages
        for size in json.loads((out / "stages" / f"{stage}.json").read_text())["files"].values()
    ]
    # Their records, and what is hidden, are pages of their own.
    return sum(-(-size // PAGE) for size in sizes) + len(stages) + len(scraps(out))


def one_sentence(complained: str) -> str:
    """The sentence that a command ended with, behind whatever bar was under way."""
    assert "Traceback" not in complained, complained
    lines = [line for line in complained.splitlines() if line.startswith("tagreel: ")]
    assert len(lines) == 1 and complained.endswith(f"{lines[0]}\n"), complained
    return lines[0]


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
        entries = read_manifest(str(folder)).shards
        assert {e.path for e in entries} == {p.name for p in folder.iterdir()} - {MANIFEST}
    assert not list(out.rglob("*.tmp"))


def check_same(out: Path, whole: Path) -> None:
    found, wanted = lasting(out), lasting(whole)
    assert {p for p in found | wanted if found.get(p) != wanted.get(p)} == set()
    assert scraps(out) <= scraps(whole)
    assert main(["verify", "--out", str(out)]) == 0


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
@pytest.mark.parametrize("kib", [0, 40, 200])
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


@pytest.mark.parametrize("name", NAMES)
def test_any_name_of_an_out_will_do(
    world: SmallWorld, whole: Path, name: str, tmp_path: Path
) -> None:
    out = tmp_path / NAMES[name]
    code, _, complained = finish(world.command(out))
    assert code == 0, complained
    check_same(out, whole)


def test_an_out_whose_name_no_disk_takes_is_one_sentence(world: SmallWorld, tmp_path: Path) -> None:
    code, _, complained = finish(world.command(tmp_path / ("long" * 100)))
    assert code == 1 and "File name too long" in one_sentence(complained)


FILES = (
    "config.toml",
    "hashtags.parquet",
    "stages/match.json",
    "matches/part-00000-of-00004.parquet",
    "videos/options.json",
    "labels.json",
    "clips/all/part-00000-of-00004.parquet",
    "shards/all/shard-00000.tar",
    "shards/all/MANIFEST.json",
    "ledger.parquet",
    "report/index.html",
    "DATASET_CARD.md",
)
FOLDERS = ("stages", "videos", "clips/all", "shards/all", "shards/short", "report")


@pytest.mark.parametrize("names", [FILES, FOLDERS], ids=["folders", "files"])
def test_what_stands_where_something_else_should_go_is_named_until_it_is_gone(
    world: SmallWorld, whole: Path, names: tuple[str, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    # A folder that belongs to a job which has done nothing yet.
    out.mkdir()
    (out / ".lock").touch()
    for name in names:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if names is FILES:
            (path / "mine").mkdir(parents=True)
        else:
            path.write_text("mine")
    left = list(names)
    while True:
        code, _, complained = finish(world.command(out))
        if code == 0:
            break
        sentence = one_sentence(complained)
        assert code == 1 and "move what stands in the way" in sentence
        (name,) = [name for name in left if sentence.startswith(f"tagreel: {out / name}")]
        path = out / name
        assert (path / "mine").is_dir() if names is FILES else path.read_text() == "mine"
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        left.remove(name)
    # A file where a stage's own folder should be is cleared away by the stage as its own.
    assert len(left) <= 2
    check_same(out, whole)


@needs_root
def test_an_out_that_may_only_be_read(world: SmallWorld, whole: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    out = disk / "out"
    words = world.command(out)
    with small_disk(disk, 64 << 20):
        remount(disk, "ro")
        code, _, complained = finish(words)
        assert code == 1 and "Read-only file system" in one_sentence(complained)
        remount(disk, "rw")
        child = start(words)
        assert child.stdout is not None
        while not child.stdout.readline().startswith("match "):
            pass
        # Busy as it is, the disk only turns read-only between two writes.
        while subprocess.run(["mount", "-o", "remount,ro", disk], capture_output=True).returncode:
            assert child.poll() is None
        _, complained = child.communicate(timeout=300)
        assert child.returncode == 1
        assert "Read-only file system; give this user the right to" in one_sentence(complained)
        remount(disk, "rw")
        assert finish(words)[0] == 0
        check_same(out, whole)


@needs_root
def test_an_out_of_somebody_else(world: SmallWorld, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    code, _, complained = finish(world.command(out), user=NOBODY, env={**os.environ, "HOME": "/"})
    sentence = one_sentence(complained)
    assert code == 1 and str(out) in sentence and "Permission denied" in sentence
    assert list(out.iterdir()) == []
