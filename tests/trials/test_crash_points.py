"""Workers that crash in the middle of a unit, on an engine that gives the bundle to another (F1).

`BundleBasedDirectRunner` tries a bundle up to four times, as engines on a cluster do; the local
engine, like any other in one process, does not. Every place where a worker writes crashes once.
"""

import fnmatch
import json
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from formats.shards import read_shard
from formats.tables import LedgerRow, VideoRow, part_files, read_rows
from pipelines.__main__ import main
from tests.trials.small_world import VIDEOS_PER_PART, SmallWorld, check_same

pytestmark = pytest.mark.trial

RUNNER = "--runner=BundleBasedDirectRunner"
TARS = ("videos/part-*.tar", "shards/all/shard-*.tar", "shards/frames/shard-*.tar")
TABLES = (
    "videos/part-*.parquet",
    "matches/part-*.parquet",
    "duplicates/part-*.parquet",
    "labels.parquet",
    "labelled/part-*.parquet",
    "clips/all/part-*.parquet",
    "clips/short/part-*.parquet",
    ".ledger/part-*.parquet",
)
OTHERS = (
    "matches/.runs/*.arrow",
    "matches/counts.json",
    "videos/counts.json",
    "labels.json",
    "clips/.lengths.json",
    "shards/all/.entries",
)


class Crash(Exception):
    """What a worker dies of."""


class Crashes:
    """Each of some paths is the death of the first worker that gets there."""

    def __init__(self, out: Path, patterns: tuple[str, ...]) -> None:
        self.out = out
        self.left = dict.fromkeys(patterns)

    def at(self, path: object) -> None:
        """Crash, if this is the first time that a path of one of the patterns comes by."""
        # A file under way is named `.NAME.<random>.tmp`.
        name = Path(str(path))
        while name.name.endswith(".tmp"):
            name = name.with_name(name.name[1:].rsplit(".", 2)[0])
        if not name.is_relative_to(self.out):
            return
        for pattern in self.left:
            if fnmatch.fnmatch(str(name.relative_to(self.out)), pattern):
                del self.left[pattern]
                raise Crash(pattern)


def before_rename(crashes: Crashes, patch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def crashing(self: Path, target: Path) -> Path:
        crashes.at(target)
        return replace(self, target)

    patch.setattr(Path, "replace", crashing)


def after_rename(crashes: Crashes, patch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def crashing(self: Path, target: Path) -> Path:
        moved = replace(self, target)
        crashes.at(target)
        return moved

    patch.setattr(Path, "replace", crashing)


def midway(crashes: Crashes, patch: pytest.MonkeyPatch) -> None:
    """After the second member of a tar, and after the first batch of a table."""
    add, write = tarfile.TarFile.addfile, pq.ParquetWriter.write_batch

    def crashing_tar(self: tarfile.TarFile, *args: Any) -> None:
        add(self, *args)
        if len(self.members) == 2:
            crashes.at(self.fileobj.name)  # type: ignore[union-attr]

    def crashing_table(self: pq.ParquetWriter, *args: Any) -> None:
        write(self, *args)
        crashes.at(self.where)

    patch.setattr(tarfile.TarFile, "addfile", crashing_tar)
    patch.setattr(pq.ParquetWriter, "write_batch", crashing_table)


@pytest.mark.parametrize(
    ("moment", "patterns"),
    [
        (before_rename, (*TARS, *TABLES, *OTHERS)),
        (midway, (*TARS, *TABLES)),
        (after_rename, (*TARS, *TABLES, *OTHERS)),
    ],
    ids=["before_rename", "midway", "after_rename"],
)
def test_a_worker_that_crashes_is_followed_by_one_that_leaves_the_same(
    world: SmallWorld,
    whole: Path,
    moment: Callable[[Crashes, pytest.MonkeyPatch], None],
    patterns: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    crashes = Crashes(out, patterns)
    world.server.requests.clear()
    with monkeypatch.context() as patch:
        moment(crashes, patch)
        assert main(world.command(out, RUNNER)) == 0
    assert not crashes.left
    check_same(out, whole)
    check_nothing_twice(out)
    # Two crashes of fetch: one at a tar, one at a table.
    assert world.fetched_again().total() <= 2 * VIDEOS_PER_PART


def check_nothing_twice(out: Path) -> None:
    rows = [row.row_key for row in read_rows(str(out / "ledger.parquet"), LedgerRow)]
    videos = [
        row.row_key for part in part_files(str(out / "videos")) for row in read_rows(part, VideoRow)
    ]
    assert len(rows) == len(set(rows)) and len(videos) == len(set(videos))
    for folder in (out / "shards").iterdir():
        clips = Counter(clip for tar in folder.glob("*.tar") for clip, _, _ in read_shard(str(tar)))
        assert set(clips.values()) == {1}
        assert len(clips) == json.loads((folder / "MANIFEST.json").read_text())["clips"]


def test_a_worker_that_crashes_each_time_fails_the_job_and_leaves_nothing_half(
    world: SmallWorld, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    replace = Path.replace

    def crashing(self: Path, target: Path) -> Path:
        if fnmatch.fnmatch(str(target), f"{out}/shards/short/shard-*.tar"):
            raise Crash("always")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", crashing)
        with pytest.raises(Crash, match="always"):
            main(world.command(out, RUNNER))
    assert not (out / "shards" / "short" / "MANIFEST.json").exists()
    assert not (out / "stages" / "shard.json").exists()
    assert main(world.command(out)) == 0
    check_same(out, whole)
