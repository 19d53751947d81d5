import json
import tarfile
from pathlib import Path

import pytest

from formats.shards import (
    Manifest,
    ShardEntry,
    ShardError,
    check_shard,
    read_manifest,
    read_shard,
    write_manifest,
    write_shard,
)

FACTS = {"label": 'a "b"\n', "label_id": 0}
CLIPS = [
    ("00aa", b"video one", {"label": 'a "b"\n', "label_id": 0}),
    ("00bb", b"", {"label_id": 1}),
]


def manifest(entry: ShardEntry) -> Manifest:
    return Manifest("id", "all", "digest", 2, 2, 0.1, ("a", "b"), (entry,))


def test_the_same_clips_give_the_same_bytes_and_come_back(tmp_path: Path) -> None:
    one = write_shard(str(tmp_path / "one.tar"), iter(CLIPS))
    two = write_shard(str(tmp_path / "two.tar"), iter(CLIPS))
    assert (one.sha256, one.clips, one.bytes) == (two.sha256, 2, two.bytes)
    assert list(read_shard(str(tmp_path / "one.tar"))) == CLIPS


def test_images_are_read_and_checked_like_videos(tmp_path: Path) -> None:
    entry = write_shard(str(tmp_path / "s.tar"), iter(CLIPS), suffix=".jpg")
    assert list(read_shard(str(tmp_path / "s.tar"))) == CLIPS
    check_shard(str(tmp_path), entry)
    with tarfile.open(tmp_path / "s.tar") as tar:
        assert tar.getnames() == ["00aa.jpg", "00aa.json", "00bb.jpg", "00bb.json"]


def test_a_manifest_comes_back_equal(tmp_path: Path) -> None:
    entry = write_shard(str(tmp_path / "shard-00000.tar"), iter(CLIPS))
    write_manifest(str(tmp_path), manifest(entry))
    assert read_manifest(str(tmp_path)) == manifest(entry)
    check_shard(str(tmp_path), entry)


@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "swapped"])
def test_damage_is_found_and_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "shard-00000.tar"
    entry = write_shard(str(path), iter(CLIPS))
    content = bytearray(path.read_bytes())
    if damage == "bit":
        content[600] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-512])
    elif damage == "swapped":
        write_shard(str(path), [("00cc", b"video two", FACTS), CLIPS[1]])
    else:
        path.unlink()
    with pytest.raises(ShardError, match=r"shard-00000\.tar"):
        check_shard(str(tmp_path), entry)


def test_a_count_that_differs_is_found(tmp_path: Path) -> None:
    entry = write_shard(str(tmp_path / "s.tar"), iter(CLIPS))
    wrong = ShardEntry(entry.path, 3, entry.bytes, entry.sha256)
    with pytest.raises(ShardError, match="2 clips, the manifest says 3"):
        check_shard(str(tmp_path), wrong)


def test_what_is_no_clip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    with tarfile.open(path, "w") as tar:
        link = tarfile.TarInfo("00aa.mp4")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    with pytest.raises(ShardError, match="unexpected member"):
        list(read_shard(str(path)))
    write_shard(str(path), [CLIPS[0]])
    path.write_bytes(path.read_bytes()[:1100])
    with pytest.raises(ShardError):
        list(read_shard(str(path)))


def test_a_manifest_that_is_missing_or_lies_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="never finished"):
        read_manifest(str(tmp_path))
    (tmp_path / "MANIFEST.json").write_text("{}")
    with pytest.raises(ShardError, match="not a shard manifest"):
        read_manifest(str(tmp_path))
    write_manifest(str(tmp_path), manifest(ShardEntry("../x.tar", 1, 1, "00")))
    assert "../x.tar" in json.loads((tmp_path / "MANIFEST.json").read_text())["shards"][0]["path"]
    with pytest.raises(ShardError, match="outside its own folder"):
        read_manifest(str(tmp_path))
