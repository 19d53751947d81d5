"""An OUT of any name, and one in which a name is taken, or which may not be written to (F5).

The command ends non-zero with one sentence that says which path, why and what to do, touches
nothing that is not its own, and goes on when there is room.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.trials.small_world import (
    SmallWorld,
    check_same,
    finish,
    needs_root,
    one_sentence,
    remount,
    small_disk,
    start,
)

pytestmark = pytest.mark.trial

NAMES = {
    "spaces": "an OUT with  two spaces",
    "letters": "Österreich 動画 видео",
    "quotes": 'it\'s "quoted" (100%) %03d #1 [a-z]*',
    "long": "/".join(["long" * 50] * 5),
}


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
        named = [name for name in left if sentence.startswith(f"tagreel: {out / name}")]
        assert named, sentence
        (name,) = named
        path = out / name
        assert (path / "mine").is_dir() if names is FILES else path.read_text() == "mine"
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        left.remove(name)
    # What stands among the parts and shards of a stage is cleared away by the stage as its own.
    assert all(name.startswith(("clips/", "shards/")) for name in left)
    check_same(out, whole)


@needs_root
def test_an_out_on_a_disk_that_may_only_be_read(
    world: SmallWorld, whole: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    words = world.command(disk / "out")
    with small_disk(disk, 64 << 20):
        remount(disk, "ro")
        code, _, complained = finish(words)
        assert code == 1 and "Read-only file system" in one_sentence(complained)
        remount(disk, "rw")
        assert finish(words)[0] == 0
        check_same(disk / "out", whole)


def test_an_out_that_this_user_may_not_write_to(
    world: SmallWorld, whole: Path, tmp_path: Path
) -> None:
    out, words = tmp_path / "out", world.command(tmp_path / "out")
    under = as_anybody()
    out.mkdir()
    forbid(out)
    code, _, complained = finish(words, under=under)
    assert code == 1 and f"{out}: cannot be used" in (sentence := one_sentence(complained))
    assert "Permission denied" in sentence and list(out.iterdir()) == []
    allow(out)
    # From the middle on: what is there may be written to, but nothing new may be made beside it.
    child = start(words, under=under)
    assert child.stdout is not None
    while not child.stdout.readline().startswith("match "):
        pass
    forbid(out)
    _, complained = child.communicate(timeout=300)
    sentence = one_sentence(complained)
    assert child.returncode == 1 and f"tagreel: {out}/" in sentence
    assert "Permission denied; give this user the right to" in sentence
    allow(out)
    assert finish(words, under=under)[0] == 0
    check_same(out, whole)


def as_anybody() -> tuple[str, ...]:
    """What a command runs under to be bound by permissions, as root is not."""
    if os.geteuid():
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and setpriv is not there to change that")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


def forbid(folder: Path) -> None:
    folder.chmod(0o555)


def allow(folder: Path) -> None:
    folder.chmod(0o755)
