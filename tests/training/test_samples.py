import io
import json
import tarfile
from pathlib import Path

import pytest

from formats.shards import REPEAT_UNITS, ShardEntry, ShardError, read_manifest, write_manifest
from tests.training.moving_clips import write_split
from training.draws import ClipFacts
from training.samples import Index, index_shard, open_split, read_facts

CLIPS = [("aa", b"first", 0, 1.5), ("bb", b"second", 2, 1.0), ("cc", b"third", 1, 0.0)]


def index(folder: str, entry: ShardEntry) -> Index:
    path = Path(folder) / entry.path
    with path.open("rb") as file:
        return index_shard(file.fileno(), str(path), entry, 3)


def videos(folder: str, entry: ShardEntry) -> list[tuple[str, bytes]]:
    """What lies where the index says."""
    content = (Path(folder) / entry.path).read_bytes()
    return [
        (row["clip_id"].decode(), content[row["offset"] : row["offset"] + row["size"]])
        for row in index(folder, entry)
    ]


def damage(folder: str) -> Path:
    """Flip one bit in the middle of a shard's first video."""
    path = Path(folder) / "shard-00000.tar"
    content = bytearray(path.read_bytes())
    content[content.index(b"first")] ^= 1
    path.write_bytes(content)
    return path


def rewrite(folder: str, *files: tuple[str, bytes]) -> ShardEntry:
    """A shard with these files under the first one's entry."""
    path = Path(folder) / "shard-00000.tar"
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return read_manifest(folder).shards[0]


def test_facts_and_videos_come_out_as_they_went_in(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS, clips_per_shard=2)
    manifest = open_split(folder)
    assert [read_facts(folder, shard, 3) for shard in manifest.shards] == [
        [ClipFacts("aa", 0, 1.5), ClipFacts("bb", 2, 1.0)],
        [ClipFacts("cc", 1, 0.0)],
    ]
    assert videos(folder, manifest.shards[0]) == [("aa", b"first"), ("bb", b"second")]
    rows = index(folder, manifest.shards[0])
    assert rows["label_id"].tolist() == [0, 2]
    assert (rows["units"] / REPEAT_UNITS).tolist() == [1.5, 1.0]
    assert [shard.repeats for shard in manifest.shards] == [2.5, 0.0]


def test_a_split_without_a_manifest_was_never_finished(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    (tmp_path / "all" / "MANIFEST.json").unlink()
    with pytest.raises(ShardError, match="was never finished"):
        open_split(folder)


def test_an_empty_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="a split without clips"):
        open_split(write_split(tmp_path / "all", []))


def test_a_flipped_bit_is_found_before_training(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    damage(folder)
    with pytest.raises(ShardError, match=r"shard-00000.tar: its bytes changed"):
        open_split(folder)


@pytest.mark.parametrize("verify", ["full", "size"])
def test_a_cut_shard_is_refused(tmp_path: Path, verify: str) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    path = tmp_path / "all" / "shard-00000.tar"
    path.write_bytes(path.read_bytes()[:-512])
    with pytest.raises(ShardError, match="bytes, the manifest says"):
        open_split(folder, verify)


@pytest.mark.parametrize("verify", ["full", "size"])
def test_a_missing_shard_is_refused(tmp_path: Path, verify: str) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    (tmp_path / "all" / "shard-00000.tar").unlink()
    with pytest.raises(ShardError, match="named by the manifest but not there"):
        open_split(folder, verify)


@pytest.mark.parametrize("verify", ["full", "size"])
def test_a_shard_that_the_manifest_does_not_name_is_refused(tmp_path: Path, verify: str) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    shard = tmp_path / "all" / "shard-00000.tar"
    (tmp_path / "all" / "shard-00001.tar").write_bytes(shard.read_bytes())
    with pytest.raises(ShardError, match=r"shard-00001\.tar: not in the manifest"):
        open_split(folder, verify)


@pytest.mark.parametrize("verify", ["full", "size"])
def test_a_link_in_place_of_a_shard_is_refused(tmp_path: Path, verify: str) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    shard = tmp_path / "all" / "shard-00000.tar"
    shard.rename(tmp_path / "elsewhere")
    shard.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ShardError, match="a link to another file, which is not read"):
        open_split(folder, verify)


def test_two_shards_with_their_bytes_exchanged_are_refused(tmp_path: Path) -> None:
    folder = write_split(
        tmp_path / "all", [("aa", b"one", 0, 1.0), ("bb", b"two", 1, 1.0)], clips_per_shard=1
    )
    one, two = (tmp_path / "all" / f"shard-0000{number}.tar" for number in (0, 1))
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    with pytest.raises(ShardError, match=r"shard-00000\.tar: its bytes changed"):
        open_split(folder)


def test_a_wrong_number_of_clips_is_refused(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    content = json.loads((tmp_path / "all" / "MANIFEST.json").read_text())
    content["shards"][0]["clips"] = content["clips"] = 4
    (tmp_path / "all" / "MANIFEST.json").write_text(json.dumps(content))
    with pytest.raises(ShardError, match="3 clips, the manifest says 4"):
        open_split(folder)
    with pytest.raises(ShardError, match="3 clips, the manifest says 4"):
        read_facts(folder, open_split(folder, "size").shards[0], 3)


@pytest.mark.parametrize("verify", ["full", "size"])
@pytest.mark.parametrize(
    "change", [{"clips": 4}, {"dataset_id": "0" * 64}, {"labels": ["c", "b", "a"]}], ids=str
)
def test_a_manifest_that_was_changed_is_refused(
    tmp_path: Path, change: dict[str, object], verify: str
) -> None:
    folder = write_split(tmp_path / "all", CLIPS, labels=("a", "b", "c"))
    path = tmp_path / "all" / "MANIFEST.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ShardError, match=r"MANIFEST\.json: (says 4 clips|its dataset_id is not)"):
        open_split(folder, verify)


@pytest.mark.parametrize(
    ("label_id", "repeats"), [(3, 1.0), (-1, 1.0), (True, 1.0), (0, float("nan")), (0, -1.0)]
)
def test_facts_that_cannot_be_true_are_refused(
    tmp_path: Path, label_id: int, repeats: float
) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    facts = json.dumps({"label_id": label_id, "repeats": repeats}).encode()
    rewrite(folder, ("aa.mp4", b""), ("aa.json", facts))
    with pytest.raises(ShardError, match="clip aa has label_id"):
        read_facts(folder, read_manifest(folder).shards[0], 3)


def test_facts_that_are_not_json_objects_are_refused(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    path = tmp_path / "all" / "shard-00000.tar"
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("aa.mp4"))
        info = tarfile.TarInfo("aa.json")
        info.size = 2
        tar.addfile(info, io.BytesIO(b"[]"))
    with pytest.raises(ShardError, match="clip aa has no usable facts"):
        read_facts(folder, read_manifest(folder).shards[0], 3)


def test_no_member_but_ours_is_looked_at(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    with tarfile.open(tmp_path / "all" / "shard-00000.tar", "a") as tar:
        for name in ("aa.pyd", "aa.pth", "pipe:true.mp4.pkl", "aa.json.pkl"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"evil"))
    (shard,) = read_manifest(folder).shards
    assert read_facts(folder, shard, 3) == [ClipFacts("aa", 0, 1.5)]
    assert videos(folder, shard) == [("aa", b"first")]


def test_a_shard_is_opened_as_a_file_whatever_its_name_says(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    folder = tmp_path / "all"
    write_split(folder, CLIPS)
    name = f"pipe:touch {marker.name}"
    (folder / "shard-00000.tar").rename(folder / name)
    manifest = read_manifest(str(folder))
    entry = type(manifest.shards[0])(name, *list(vars(manifest.shards[0]).values())[1:])
    write_manifest(str(folder), type(manifest)(**{**vars(manifest), "shards": (entry,)}))
    assert len(read_facts(str(folder), open_split(str(folder)).shards[0], 3)) == 3
    assert not marker.exists()


def test_a_shard_that_vanishes_is_an_error_of_its_own(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS)
    (shard,) = open_split(folder).shards
    (tmp_path / "all" / "shard-00000.tar").unlink()
    with pytest.raises(ShardError, match="cannot be read"):
        read_facts(folder, shard, 3)


FACTS = b'{"label_id": 0, "repeats": 1.5}'


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("aa.json", FACTS), ("aa.mp4", b"")], "clip aa has no video before its facts"),
        ([("aa.json", FACTS)], "clip aa has no video before its facts"),
        ([("aa.mp4", b"")], "clip aa has no facts"),
        ([("aa.mp4", b""), ("aa.json", FACTS.ljust(2 << 20))], "aa.json has 2097152 bytes"),
        ([("aa.mp4", b""), ("aa.json", FACTS.replace(b"1.5", b"2.5"))], "do not sum to the 1.5"),
        ([], "0 clips, the manifest says 1"),
    ],
)
def test_a_shard_that_is_not_clips_with_facts_is_named(
    tmp_path: Path, files: list[tuple[str, bytes]], message: str
) -> None:
    entry = rewrite(write_split(tmp_path / "all", CLIPS[:1]), *files)
    with pytest.raises(ShardError, match=rf"shard-00000\.tar: .*{message}"):
        index(str(tmp_path / "all"), entry)


@pytest.mark.parametrize("kept", [0, 100, 512, 600, 1024, 1100, 1536])
def test_a_tar_that_ends_early_is_named(tmp_path: Path, kept: int) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    path = tmp_path / "all" / "shard-00000.tar"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ShardError, match=r"shard-00000\.tar: cannot be read"):
        index(folder, read_manifest(folder).shards[0])


def test_a_damaged_header_is_named(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    path = tmp_path / "all" / "shard-00000.tar"
    content = bytearray(path.read_bytes())
    content[130] ^= 1
    path.write_bytes(content)
    with pytest.raises(ShardError, match=r"shard-00000\.tar: cannot be read: bad checksum"):
        index(folder, read_manifest(folder).shards[0])


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", CLIPS[:1])
    entry = rewrite(folder, ("a\udcff.mp4", b""), ("a\udcff.json", FACTS))
    with pytest.raises(ShardError, match=r"shard-00000\.tar: cannot be read: .*codec can't decode"):
        index(folder, entry)
