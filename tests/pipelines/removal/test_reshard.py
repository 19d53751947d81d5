import os
from pathlib import Path

import pytest

from formats.shards import (
    MANIFEST,
    Manifest,
    ShardEntry,
    ShardError,
    check_shard,
    dataset_id,
    read_manifest,
    read_shard,
    refuse_altered,
    refuse_unlisted,
    write_manifest,
    write_shard,
)
from pipelines.removal import reshard
from pipelines.removal.reshard import delete_unlisted, drop_from_split, finish_moving

SHARDS = {
    "shard-00000.tar": ("aa", "ab"),
    "shard-00001.tar": ("ba",),
    "shard-00002.tar": ("ca", "cb"),
}


def describe(old: Manifest, entries: tuple[ShardEntry, ...]) -> Manifest:
    identity = dataset_id(old.config_digest, old.split, old.labels, entries)
    clips = sum(entry.clips for entry in entries)
    return Manifest(identity, old.split, old.config_digest, clips, clips, 0.0, old.labels, entries)


@pytest.fixture(params=["all", "frames"])
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    folder = tmp_path / request.param
    suffix = ".jpg" if request.param == "frames" else ".mp4"
    entries = tuple(
        write_shard(
            str(folder / name),
            [(clip, clip.encode() * 300, {"clip": clip}) for clip in clips],
            suffix=suffix,
        )
        for name, clips in SHARDS.items()
    )
    write_manifest(
        str(folder), describe(Manifest("", folder.name, "c", 0, 0, 0, ("y",), ()), entries)
    )
    return folder


def clips_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """The clips by shard, of a split that is whole."""
    manifest = read_manifest(str(folder))
    refuse_altered(str(folder), manifest)
    refuse_unlisted(str(folder), manifest)
    for entry in manifest.shards:
        check_shard(str(folder), entry)
    names = [entry.path for entry in manifest.shards]
    return {n: tuple(clip for clip, _, _ in read_shard(str(folder / n))) for n in names}


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {p.name: (p.read_bytes(), p.stat().st_ino) for p in folder.iterdir() if p.is_file()}


def test_only_the_shards_that_hold_the_clips_are_written_anew(folder: Path) -> None:
    before = contents(folder)
    drop_from_split(folder, {"shard-00000.tar": {"ab"}, "shard-00002.tar": {"nowhere"}}, describe)
    assert clips_of(folder) == {**SHARDS, "shard-00000.tar": ("aa",)}
    after = contents(folder)
    assert {n for n in before if after[n] != before[n]} == {MANIFEST, "shard-00000.tar"}
    drop_from_split(folder, {"shard-00000.tar": {"ab"}}, describe)
    assert contents(folder) == after


def test_a_shard_without_a_clip_left_goes(folder: Path) -> None:
    drop_from_split(folder, {"shard-00001.tar": {"ba"}}, describe)
    assert clips_of(folder) == {n: c for n, c in SHARDS.items() if n != "shard-00001.tar"}
    away = {name: set(clips) for name, clips in SHARDS.items() if name != "shard-00001.tar"}
    drop_from_split(folder, away, describe)
    assert clips_of(folder) == {} and os.listdir(folder) == [MANIFEST]


def test_moving_that_was_cut_anywhere_is_finished_and_refused_until_then(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reshard, "finish_moving", lambda _: None)
    away = {"shard-00000.tar": {"aa"}, "shard-00001.tar": {"ba"}, "shard-00002.tar": {"cb"}}
    drop_from_split(folder, away, describe)
    staging = folder / ".takedown"
    assert sorted(os.listdir(staging)) == [MANIFEST, "shard-00000.tar", "shard-00002.tar"]
    assert clips_of(folder) == SHARDS
    (staging / "shard-00000.tar").replace(folder / "shard-00000.tar")
    with pytest.raises(ShardError, match=r"shard-00000\.tar: its bytes changed"):
        clips_of(folder)
    finish_moving(folder)
    wanted = {"shard-00000.tar": ("ab",), "shard-00002.tar": ("ca",)}
    assert clips_of(folder) == wanted and not staging.exists()
    finish_moving(folder)
    assert clips_of(folder) == wanted


def test_what_was_staged_without_being_committed_is_thrown_away(folder: Path) -> None:
    (folder / ".takedown").mkdir()
    (folder / ".takedown" / "shard-00000.tar").write_bytes(b"half")
    finish_moving(folder)
    assert clips_of(folder) == SHARDS
    drop_from_split(folder, {"shard-00001.tar": {"ba"}}, describe)
    assert not (folder / ".takedown").exists()
    assert clips_of(folder)["shard-00000.tar"] == SHARDS["shard-00000.tar"]


def test_a_damaged_shard_is_not_copied(folder: Path) -> None:
    path = folder / "shard-00000.tar"
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"shard-00000\.tar: its bytes changed"):
        drop_from_split(folder, {"shard-00000.tar": {"aa"}}, describe)
    # One that need not be written is not looked into.
    drop_from_split(folder, {"shard-00001.tar": {"ba"}}, describe)
    assert path.read_bytes() == bytes(content)


def test_tars_that_no_manifest_names_are_deleted(folder: Path) -> None:
    (folder / "shard-00009.tar").write_bytes(b"of a wider run")
    delete_unlisted(folder, read_manifest(str(folder)))
    assert clips_of(folder) == SHARDS
    delete_unlisted(folder, None)
    assert os.listdir(folder) == [MANIFEST]
