"""What is left in the tables of a video that was taken down."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from formats.shards import add_member, open_for_writing
from formats.tables import (
    ClipRow,
    DuplicateRow,
    LabelledRow,
    LabelRow,
    MatchRow,
    VideoRow,
    part_files,
    read_rows,
    to_batch,
    write_rows,
)
from pipelines.removal.strikes import (
    drop_clips,
    drop_duplicates,
    ghost,
    label_counts,
    names_of,
    purge_videos,
    read_planned,
    remember_matches,
    restate_labels,
    strike_labelled,
    strike_matches,
    taken_down_keys,
    write_planned,
)
from pipelines.removal.takedown_list import Entry, TakedownList, read_list, write_list
from pipelines.run import JobError

MATCH = MatchRow(
    "k1", "v1", "http://a/1", ("yoga",), ("yoga",), "ann", "CC", ("id:v0", "uploader:b:c")
)


def write_part(folder: Path, name: str, videos: dict[str, str]) -> None:
    """A part of videos, by key, with their status; what is stored has bytes that follow from it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with open(folder / f"{name}.tar", "wb") as file, open_for_writing(file) as tar:
        for key, status in videos.items():
            row = VideoRow(key, f"id-{key}", status, names=(f"uploader:of-{key}",))
            if status == "stored":
                content = key.encode() * 400
                facts = {"offset": add_member(tar, f"{key}.mp4", content), "part": f"{name}.tar"}
                digest = hashlib.sha256(content).hexdigest()
                row = replace(row, **facts, size_bytes=len(content), sha256=digest)
                row = replace(row, duration_s=2.0, fps=25.0, fingerprint=(bytes(32),))
            rows.append(row)
    write_rows(str(folder / f"{name}.parquet"), rows, VideoRow)


def videos_of(out: Path) -> dict[str, VideoRow]:
    rows = [row for part in part_files(str(out / "videos")) for row in read_rows(part, VideoRow)]
    assert len({row.row_key for row in rows}) == len(rows)
    return {row.row_key: row for row in rows}


def bytes_of(out: Path, row: VideoRow) -> bytes:
    with open(out / "videos" / str(row.part), "rb") as file:
        file.seek(row.offset or 0)
        return file.read(row.size_bytes or 0)


def inodes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_part(tmp_path / "videos", "part-a", {"k1": "stored", "k2": "stored", "k3": "rejected"})
    write_part(tmp_path / "videos", "part-b", {"k4": "stored"})
    write_part(tmp_path / "videos", "part-c", {"k5": "stored", "k6": "retry_later"})
    return tmp_path


def test_a_match_is_known_by_every_name_of_its_posts_and_its_ghost_by_none() -> None:
    names = [("id", "v1"), ("uploader", "ann"), ("id", "v0"), ("uploader", "b:c")]
    assert list(names_of(MATCH)) == names
    left = MatchRow("k1", "", "", ("yoga",), (), taken_down="uploader")
    assert ghost(MATCH, "uploader") == left and list(names_of(left)) == [("id", "")]


def test_rows_of_a_batch_are_struck_by_key_or_name_and_a_batch_of_none_is_the_same() -> None:
    other = replace(MATCH, row_key="k2", uploader="eve", merged=(), video_id="v2")
    batch = to_batch([MATCH, other], MatchRow)
    assert strike_matches(batch, TakedownList()) is batch
    assert strike_matches(batch, TakedownList(videos={"k9": "uri"})) is batch
    for taken in (
        TakedownList(videos={"k1": "uri"}),
        TakedownList().with_entries([Entry("", ("uploader",), "b:c")]),
        TakedownList().with_entries([Entry("", ("id",), "v0")]),
    ):
        struck = strike_matches(batch, taken).to_pylist()
        assert (struck[0]["video_id"], struck[0]["uploader"], struck[0]["merged"]) == ("", None, [])
        assert struck[1] == batch.to_pylist()[1]
        again = strike_matches(strike_matches(batch, taken), taken)
        assert again.to_pylist() == struck


def test_the_keys_that_a_new_catalog_gives_a_name_are_remembered(tmp_path: Path) -> None:
    named = TakedownList().with_entries([Entry("", ("uploader",), "ann")])
    write_list(tmp_path, named)
    rows = [ghost(MATCH, "uploader"), replace(MATCH, row_key="k2")]
    write_rows(str(tmp_path / "matches" / "part-0.parquet"), rows, MatchRow)
    remember_matches(tmp_path)
    assert read_list(tmp_path).videos == {"k1": "uploader"}
    assert taken_down_keys(tmp_path) == {"k1"}
    before = inodes(tmp_path)
    remember_matches(tmp_path)
    assert inodes(tmp_path) == before


def test_only_the_parts_that_hold_a_video_are_written_anew_and_what_stays_keeps_its_bytes(
    out: Path,
) -> None:
    before, files = videos_of(out), inodes(out / "videos")
    purge_videos(out, {"k1", "k3", "k6", "nowhere"})
    after = videos_of(out)
    # A video that was counted leaves its length; what was never stored leaves nothing.
    left = VideoRow("k1", "", "taken_down", duration_s=2.0, fps=25.0)
    assert after.keys() == {"k1", "k2", "k4", "k5"} and after["k1"] == left
    assert bytes_of(out, after["k2"]) == b"k2" * 400 and bytes_of(out, after["k5"]) == b"k5" * 400
    assert after["k4"] == before["k4"]
    now = inodes(out / "videos")
    assert {name: now.get(name) for name in files if name.startswith("part-b")} == {
        name: files[name] for name in files if name.startswith("part-b")
    }
    assert not {name for name in now if name.startswith(("part-a", "part-c"))}
    content = b"".join(path.read_bytes() for path in (out / "videos").iterdir())
    assert b"k1k1k1" not in content and b"id-k1" not in content and b"of-k1" not in content
    purge_videos(out, {"k1", "k3", "k6"})
    assert inodes(out / "videos") == now


def test_a_duplicate_leaves_nothing_and_a_part_without_a_row_goes(out: Path) -> None:
    evidence = DuplicateRow("k4", "v", "bench", "t", 2, 0.0, 1, "full", 0.0, 0.0)
    write_rows(str(out / "duplicates" / "part-0.parquet"), [evidence], DuplicateRow)
    purge_videos(out, {"k4"})
    assert "k4" not in videos_of(out)
    assert not list((out / "videos").glob("part-b*"))
    drop_duplicates(out, {"k4"})
    assert part_files(str(out / "duplicates")) == []


def test_a_purge_that_was_killed_before_the_old_part_went_is_done_again(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Exception):
        pass

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if self.name == "part-a.parquet":
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(Killed):
            purge_videos(out, {"k1"})
    purge_videos(out, {"k1"})
    after = videos_of(out)
    assert after["k1"].status == "taken_down" and bytes_of(out, after["k2"]) == b"k2" * 400
    assert len(list((out / "videos").glob("part-*"))) == 6


def test_a_damaged_video_is_not_copied_and_one_that_goes_may_be(out: Path) -> None:
    tar = out / "videos" / "part-a.tar"
    row = videos_of(out)["k2"]
    content = bytearray(tar.read_bytes())
    content[row.offset or 0] ^= 1
    tar.write_bytes(content)
    with pytest.raises(JobError, match=r"part-a\.tar: video k2 in it is damaged"):
        purge_videos(out, {"k1"})
    assert videos_of(out)["k1"].status == "stored" and not list(out.rglob("*.tmp"))
    assert sorted(p.name for p in (out / "videos").glob("*.tar")) == [
        "part-a.tar",
        "part-b.tar",
        "part-c.tar",
    ]
    purge_videos(out, {"k1", "k2"})
    assert {k for k, v in videos_of(out).items() if v.status == "stored"} == {"k4", "k5"}


@pytest.fixture
def labelled(tmp_path: Path) -> Path:
    """Three videos of two labels, one of which carries both."""
    rows = [
        LabelledRow("k1", "v1", 0, (0,), 2.0, 1.0),
        LabelledRow("k2", "v2", 0, (0, 1), 2.0, 1.0),
        LabelledRow("k3", "v3", 1, (1,), 2.0, 1.0),
    ]
    write_rows(str(tmp_path / "labelled" / "part-0.parquet"), rows[:2], LabelledRow)
    write_rows(str(tmp_path / "labelled" / "part-1.parquet"), rows[2:], LabelledRow)
    space = [LabelRow(0, "yoga", 2, 2), LabelRow(1, "surfing", 2, 1)]
    write_rows(str(tmp_path / "labels.parquet"), space, LabelRow)
    (tmp_path / "labels.json").write_text(json.dumps({"videos": 3, "skew": {}, "kept": "as is"}))
    return tmp_path


def test_the_label_space_counts_the_videos_that_are_there(labelled: Path) -> None:
    before = inodes(labelled)
    restate_labels(labelled)
    assert inodes(labelled) == before
    strike_labelled(labelled, {"k2"})
    restate_labels(labelled)
    space = list(read_rows(str(labelled / "labels.parquet"), LabelRow))
    assert space == [LabelRow(0, "yoga", 1, 1), LabelRow(1, "surfing", 1, 1)]
    assert label_counts(labelled) == {"labels": 2, "videos": 2}
    content = json.loads((labelled / "labels.json").read_text())
    assert content["videos"] == 2 and content["kept"] == "as is"
    assert content["skew"] == {"gini": 0.0, "cumulative_curve": [[0.0, 0.0], [0.5, 0.5], [1, 1]]}
    now = inodes(labelled)
    restate_labels(labelled)
    assert inodes(labelled) == now
    strike_labelled(labelled, {"k1", "k2", "k3"})
    restate_labels(labelled)
    assert json.loads((labelled / "labels.json").read_text())["skew"]["gini"] is None
    assert label_counts(labelled) == {"labels": 2, "videos": 0}


def test_the_places_of_struck_videos_stay_and_their_names_go(labelled: Path) -> None:
    strike_labelled(labelled, {"k1"})
    rows = [
        row
        for part in part_files(str(labelled / "labelled"))
        for row in read_rows(part, LabelledRow)
    ]
    assert [(row.row_key, row.video_id) for row in rows] == [("k1", ""), ("k2", "v2"), ("k3", "v3")]


def clips(keys: str) -> Iterator[ClipRow]:
    return (ClipRow(f"c{key}", f"k{key}", f"v{key}", 0, 0.0, 1.0, 1.0) for key in keys)


def test_dropped_clips_leave_the_number_that_was_planned(tmp_path: Path) -> None:
    assert read_planned(tmp_path) == {}
    for split, keys in (("all", "123"), ("short", "1")):
        path = str(tmp_path / "clips" / split / "part-0.parquet")
        write_rows(path, clips(keys), ClipRow)
    write_planned(tmp_path, ["all", "short", "long"])
    drop_clips(tmp_path, {"k1"})
    assert read_planned(tmp_path) == {"all": 3, "short": 1, "long": 0}
    (part,) = part_files(str(tmp_path / "clips" / "all"))
    assert list(read_rows(part, ClipRow)) == list(clips("23"))
    assert part_files(str(tmp_path / "clips" / "short")) == []
