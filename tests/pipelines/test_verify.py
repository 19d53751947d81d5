import json
from pathlib import Path

import pytest

from formats.shards import (
    MANIFEST,
    Manifest,
    ShardEntry,
    add_member,
    dataset_id,
    open_for_writing,
    write_manifest,
    write_shard,
)
from formats.storage import sha256_file
from formats.tables import VideoRow, write_rows
from pipelines.__main__ import main
from pipelines.benchmarks.target_sets import Piece, SetFolder, TargetSet
from pipelines.options import Options
from pipelines.run import Job, StageRecord, left_by, write_record
from pipelines.verify import Subset, parse_subset

SHARDS, PARTS, CLIPS = 12, 4, 3


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Two splits of shards, one of a target set, and parts of stored videos."""
    out = tmp_path / "out"
    for folder in ("shards/all", "shards/short", "target_shards/bench/val"):
        entries = tuple(
            write_shard(
                str(out / folder / f"shard-{number:05d}.tar"),
                [
                    (f"{folder[-1]}{number:x}{i}", bytes([number]) * 700, {"a": i})
                    for i in range(CLIPS)
                ],
            )
            for number in range(SHARDS)
        )
        write_split(out / folder, entries)
    for number in range(PARTS):
        write_part(out / "videos", f"part-{number}")
    return out


def write_split(folder: Path, entries: tuple[ShardEntry, ...]) -> None:
    clips = sum(entry.clips for entry in entries)
    identity = dataset_id("config", folder.name, ("yoga",), entries)
    content = Manifest(identity, folder.name, "config", clips, clips, 0.5, ("yoga",), entries)
    write_manifest(str(folder), content)


def write_part(folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [VideoRow("gone", "v", "rejected", "gone")]
    with open(folder / f"{name}.tar", "wb") as file, open_for_writing(file) as tar:
        for key in ("aa", "bb"):
            content = (name + key).encode() * 100
            (folder / "scratch").write_bytes(content)
            offset = add_member(tar, f"{key}.mp4", content)
            facts = {"offset": offset, "size_bytes": len(content)}
            digest = sha256_file(str(folder / "scratch"))
            rows.append(VideoRow(key, "v", "stored", part=f"{name}.tar", sha256=digest, **facts))
    (folder / "scratch").unlink()
    write_rows(str(folder / f"{name}.parquet"), rows, VideoRow)


def verify(out: Path, *more: str) -> int:
    return main(["verify", "--out", str(out), *more])


def counts_in(said: str) -> dict[str, int]:
    pairs = (word.split() for word in said.strip().partition(": all as written")[0].split(", "))
    return {name: int(count.replace(",", "")) for count, name in pairs}


def test_all_is_read_and_counted(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(out) == 0
    counts = counts_in(capsys.readouterr().out.replace(",0", "0").replace(",1", "1"))
    assert counts["splits"] == 3 and counts["shards"] == 3 * SHARDS
    assert counts["clips"] == 3 * SHARDS * CLIPS
    assert (counts["parts"], counts["videos"]) == (PARTS, 2 * PARTS)


@pytest.mark.parametrize("total", [1, 2, 7, 200])
def test_the_parts_cover_each_path_exactly_once_and_do_not_move(total: int) -> None:
    paths = [f"shards/all/shard-{number:05d}.tar" for number in range(500)]
    parts = [parse_subset(f"{number}/{total}") for number in range(1, total + 1)]
    shares = [[path for path in paths if path in part] for part in parts]
    assert sorted(path for share in shares for path in share) == paths
    if total < 10:
        assert min(map(len, shares)) > 500 / total / 2
    assert [p for p in paths[:50] if p in parts[0]] == [p for p in shares[0] if p in paths[:50]]


def test_damage_is_found_by_one_part_of_all(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in ("shards/short/shard-00003.tar", "videos/part-2.tar"):
        whole = (out / path).read_bytes()
        (out / path).write_bytes(bytes([*whole[:800], whole[800] ^ 1, *whole[801:]]))
        codes = [verify(out, "--subset", f"{number}/5") for number in range(1, 6)]
        assert sorted(codes) == [0, 0, 0, 0, 1]
        assert codes.index(1) == next(n - 1 for n in range(1, 6) if path in Subset(n, 5))
        assert str(out / path) in capsys.readouterr().err
        (out / path).write_bytes(whole)


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1/0", "a/b", "1", "-1/2", "1/2/3", "1/1e9"])
def test_a_malformed_part_is_one_sentence(
    out: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--out", str(out), f"--subset={text}"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("tagreel: SUBSET is n/t") and said.count("\n") == 1


@pytest.mark.parametrize("folder", ["shards/all", "target_shards/bench/val"])
@pytest.mark.parametrize("damage", ["bit", "cut", "gone", "swapped", "unlisted", "unfinished"])
def test_a_damaged_shard_is_named(
    out: Path, folder: str, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shard, other = out / folder / "shard-00001.tar", out / folder / "shard-00002.tar"
    content = bytearray(shard.read_bytes())
    if damage == "bit":
        content[-600] ^= 1
        shard.write_bytes(content)
    elif damage == "cut":
        shard.write_bytes(content[:-512])
    elif damage == "gone":
        shard.unlink()
    elif damage == "swapped":
        shard.write_bytes(other.read_bytes())
        other.write_bytes(content)
    elif damage == "unlisted":
        shard = out / folder / "shard-00099.tar"
        shard.write_bytes(content)
    else:
        shard = out / folder / MANIFEST
        shard.unlink()
    assert verify(out) == 1
    said = capsys.readouterr().err
    assert f"tagreel: {shard}: " in said and said.count("\n") == 1


def test_every_byte_of_a_part_is_checked(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tar = out / "videos" / "part-0.tar"
    whole = tar.read_bytes()
    # A name, a mode, content, padding, and what follows the last video.
    for place in (0, 104, 600, 512 + 1000, 9000, len(whole) - 1):
        tar.write_bytes(bytes([*whole[:place], whole[place] ^ 4, *whole[place + 1 :]]))
        assert verify(out) == 1, place
        assert f"tagreel: {tar}: " in capsys.readouterr().err
    for content in (whole[:-512], whole + bytes(512), whole + bytes(10240), whole[:700], b""):
        tar.write_bytes(content)
        assert verify(out) == 1, len(content)
        assert f"tagreel: {tar}: " in capsys.readouterr().err
    tar.unlink()
    assert verify(out) == 1
    assert f"{tar}: named by the table beside it but not there" in capsys.readouterr().err


def test_two_parts_with_their_bytes_exchanged_and_a_link_are_found(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = out / "videos" / "part-0.tar", out / "videos" / "part-1.tar"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)
    assert verify(out) == 1
    assert "changed since it was stored" in capsys.readouterr().err
    one.unlink()
    one.symlink_to(two)
    assert verify(out) == 1
    assert "not there as a file" in capsys.readouterr().err


def finish(out: Path, stage: str) -> None:
    files, digest = left_by(stage, Job(out, "", Options()))
    write_record(StageRecord(stage, "k", "c", 1.0, sum(files.values()), {}, files, digest), out)


def test_a_part_that_is_gone_altogether_and_a_changed_table_are_missed(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = out / "labels.json"
    labels.write_text('{"videos": 1}')
    finish(out, "fetch")
    finish(out, "label")
    assert verify(out) == 0
    labels.write_text('{"videos": 2}')
    codes = [verify(out, "--subset", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 1]
    assert "a table or manifest of the stage label changed" in capsys.readouterr().err
    labels.write_text('{"videos": 1}')
    table = out / "videos" / "part-1.parquet"
    table.unlink()
    table.with_suffix(".tar").unlink()
    assert verify(out) == 1
    assert f"{table}: left by the stage fetch, but not there" in capsys.readouterr().err


def test_a_changed_piece_of_a_target_index_is_named(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SetFolder(str(out / "targets" / "bench"))
    folder.begin("key")
    piece = Path(folder.piece(0))
    piece.write_bytes(b"index")
    entry = Piece(piece.name, 1, 2, 5, sha256_file(str(piece)))
    folder.commit(TargetSet("bench", 2.0, "flat", videos=1, failed=0, hashes=2, pieces=(entry,)))
    assert verify(out) == 0
    piece.write_bytes(b"indeX")
    codes = [verify(out, "--subset", f"{number}/3") for number in (1, 2, 3)]
    assert sorted(codes) == [0, 0, 1]
    assert f"{piece}: its bytes changed since it was written" in capsys.readouterr().err
    piece.unlink()
    assert verify(out) == 1
    assert f"{piece}: named by the manifest beside it but not there" in capsys.readouterr().err


HOSTILE = {
    "parent": {"path": "../../secret.tar"},
    "absolute": {"path": "/etc/passwd"},
    "folder": {"path": "a/b.tar"},
    "hidden": {"path": ".lock"},
    "dots": {"path": ".."},
    "no name": {"path": ""},
    "null byte": {"path": "a\0.tar"},
    "no text": {"path": 7},
    "list": {"path": ["a"]},
    "negative": {"bytes": -1},
    "text": {"bytes": "700"},
    "truth": {"clips": True},
    "fraction": {"clips": 1.5},
    "hash": {"sha256": None},
    "unknown": {"more": 1},
}
HOSTILE_SPLIT = {
    "negative": {"clips": -1},
    "text": {"videos": "3"},
    "minutes": {"minutes": "long"},
    "endless": {"minutes": float("inf")},
    "labels": {"labels": [1]},
    "label": {"labels": None},
    "id": {"dataset_id": None},
    "format": {"format": 99},
    "shards": {"shards": {"path": "x"}},
    "entries": {"shards": ["x"]},
    "other count": {"clips": 5},
    "other id": {"dataset_id": "0" * 64},
}


@pytest.mark.parametrize(
    "change",
    [
        *(("shard", change) for change in HOSTILE.values()),
        *(("split", change) for change in HOSTILE_SPLIT.values()),
        ("twice", {}),
        ("less", {}),
    ],
    ids=str,
)
def test_a_hostile_manifest_is_one_sentence(
    out: Path, change: tuple[str, dict], capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "shards" / "all" / MANIFEST
    content = json.loads(path.read_text())
    where, values = change
    if where == "shard":
        content["shards"][0].update(values)
    elif where == "split":
        content.update(values)
    elif where == "twice":
        content["shards"][1] = content["shards"][0]
    else:
        del content["shards"][0]["sha256"]
    path.write_text(json.dumps(content))
    assert verify(out) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"tagreel: {path}: ") and said.count("\n") == 1


@pytest.mark.parametrize("text", ["[" * 100_000, "null", "[]", "\udc80", '{"shards": []}', ""])
def test_a_manifest_that_is_none_is_one_sentence(
    out: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "shards" / "all" / MANIFEST
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert verify(out) == 1
    said = capsys.readouterr().err
    assert f"{path}: not a shard manifest" in said and said.count("\n") == 1


@pytest.mark.parametrize("name", ["shard-00001.tar", MANIFEST])
def test_a_link_out_of_the_folder_is_not_followed(
    out: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = out / "shards" / "all" / name
    outside = out.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    assert verify(out) == 1
    assert "a link to another file" in capsys.readouterr().err


def test_without_a_finished_split_there_is_nothing_to_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(tmp_path) == 1
    assert "holds no finished split; run `make dataset` first" in capsys.readouterr().err
