import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from formats.shards import read_shard
from formats.tables import LabelRow, VideoRow, read_rows
from pipelines.__main__ import main
from pipelines.identity import row_key
from pipelines.removal.takedown_list import read_list
from tests.pipelines.takedown_world import (
    POSTS,
    build,
    contents,
    copy,
    crash_at,
    write_catalog,
    write_world,
)

ENTRIES = (
    "\ufeff# asked for on Monday\r\n\r\nyoga-1\nuri:surf0.mp4\nuploader:anna0\n"
    "id:leak-0\ntwin-1\nnobody\npage-0\n"
)
GONE = {
    "yoga-1": "id",
    "surf-0": "uri",
    **dict.fromkeys(("yoga-0", "yoga-2", "yoga-4", "yoga-6"), "uploader"),
    **dict.fromkeys(("leak-0", "twin-0", "page-0"), "id"),
}
# Everything that the catalog says of them and of nothing else.
NAMES = (*GONE, "twin-1", "anna0", "gert", "hans", "emil", "frida", "bert0", "surf0.mp4")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    (folder / "ids.txt").write_text(ENTRIES, encoding="utf-8", newline="")
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, out) == 0
    return out


@pytest.fixture(scope="module")
def taken(world: Path, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = copy(whole, tmp_path_factory.mktemp("taken") / "out")
    assert take_down(out, world) == 0
    return out


def take_down(out: Path, world: Path) -> int:
    return main(["takedown", "--out", str(out), "--ids", str(world / "ids.txt")])


def fates(out: Path) -> dict[str, tuple[str, str | None]]:
    rows = pd.read_parquet(out / "ledger.parquet").to_dict("records")
    return {row["row_key"]: (row["fate"], row["reason"], row["video_id"]) for row in rows}


def clips(out: Path) -> dict[str, bytes]:
    """Every clip by split, shard and id."""
    return {
        f"{tar.relative_to(out)}/{clip_id}": content
        for tar in sorted(out.glob("shards/*/*.tar"))
        for clip_id, content, _ in read_shard(str(tar))
    }


def stored(out: Path) -> dict[str, bytes]:
    found = {}
    for table in out.glob("videos/part-*.parquet"):
        for row in read_rows(str(table), VideoRow):
            if row.status == "stored":
                with open(out / "videos" / str(row.part), "rb") as file:
                    file.seek(row.offset)
                    found[row.video_id] = file.read(row.size_bytes)
    return found


def dataset_id(out: Path) -> str:
    return json.loads((out / "report" / "summary.json").read_text())["dataset_id"]


@pytest.mark.slow
def test_nothing_of_what_was_taken_down_is_left_but_hashes(whole: Path, taken: Path) -> None:
    before = contents(whole)
    for name in NAMES:
        assert any(name.encode() in content for content in before.values()) or name == "twin-1"
    away = {name: content for name, content in stored(whole).items() if name in GONE}
    assert len(away) == 8
    for path, content in contents(taken).items():
        for name in NAMES:
            assert name.encode() not in content, (path, name)
        for name, video in away.items():
            assert video[200:] not in content, (path, name)
    assert stored(taken) == {k: v for k, v in stored(whole).items() if k not in GONE}
    assert main(["verify", "--out", str(taken)]) == 0


@pytest.mark.slow
def test_what_an_audit_showed_goes_and_what_it_measured_stays(
    world: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy(whole, tmp_path / "out")
    assert main(["audit", "--out", str(out)]) == 0
    assert b"leak-0" in (out / "audit" / "index.html").read_bytes()
    (pair,) = json.loads((out / "audit" / "sample.json").read_text())["pairs"]
    (tmp_path / "verdicts.csv").write_text(f"pair,verdict\n{pair},same\n")
    words = ["audit", "--out", str(out), "--verdicts", str(tmp_path / "verdicts.csv")]
    assert main(words) == 0
    assert take_down(out, world) == 0
    assert [path.name for path in (out / "audit").iterdir()] == ["verdicts.json"]
    assert "precision 100.0 %" in (out / "DATASET_CARD.md").read_text()


@pytest.mark.slow
def test_each_row_has_its_fate_and_the_counts_add_up(whole: Path, taken: Path) -> None:
    uris = {video_id: uri for video_id, uri, *_ in POSTS}
    gone = {row_key(uris[name]): ("taken_down", kind, "") for name, kind in GONE.items()}
    assert fates(taken) == fates(whole) | gone
    summary = json.loads((taken / "report" / "summary.json").read_text())
    assert summary["fates"]["taken_down"] == len(GONE)
    assert sum(summary["fates"].values()) == summary["catalog_rows"] == len(POSTS)
    card = (taken / "DATASET_CARD.md").read_text()
    assert f"| taken down | {len(GONE)} |" in card
    assert dataset_id(taken) in card and dataset_id(taken) != dataset_id(whole)
    labels = {row.label: (row.videos, row.assigned) for row in labels_of(taken)}
    assert sum(assigned for _, assigned in labels.values()) == summary["fates"]["clip"]
    facts = json.loads((taken / "labels.json").read_text())
    assert facts["videos"] == summary["fates"]["clip"]
    assert [row.label for row in labels_of(taken)] == [row.label for row in labels_of(whole)]


def labels_of(out: Path) -> list[LabelRow]:
    return list(read_rows(str(out / "labels.parquet"), LabelRow))


@pytest.mark.slow
def test_no_other_clip_changes_or_moves_and_untouched_files_stay_the_same_files(
    world: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy(whole, tmp_path / "out")
    (tmp_path / "ids.txt").write_text("yoga-3\n")
    files = {p: p.stat() for p in [*out.glob("shards/*/*.tar"), *out.glob("videos/*")]}
    before = clips(out)
    mine = {
        row["clip_id"] for split in ("all", "short", "long", "frames") for row in rows(out, split)
    }
    assert main(["takedown", "--out", str(out), "--ids", str(tmp_path / "ids.txt")]) == 0
    assert clips(out) == {k: v for k, v in before.items() if k.split("/")[-1] not in mine}
    touched = {"/".join(k.split("/")[:-1]) for k in before if k.split("/")[-1] in mine}
    kept = [p for p in files if p.suffix == ".tar" and str(p.relative_to(out)) not in touched]
    shards = [p for p in kept if p.parent.name != "videos"]
    assert shards and touched
    same = [p for p in kept if p.exists() and p.stat().st_ino == files[p].st_ino]
    assert set(shards) <= set(same)
    assert all(p.stat().st_mtime_ns == files[p].st_mtime_ns for p in same)
    parts = [p for p in files if p.parent.name == "videos" and p.suffix == ".tar"]
    assert sum(p.exists() for p in parts) == len(parts) - 1


def rows(out: Path, split: str) -> list[dict]:
    table = pd.concat(pd.read_parquet(p) for p in out.glob(f"clips/{split}/part-*.parquet"))
    return table[table["video_id"] == "yoga-3"].to_dict("records")


@pytest.mark.slow
def test_twice_is_as_once(world: Path, taken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in taken.rglob("*") if p.is_file()}
    assert take_down(taken, world) == 0
    assert "0 videos taken down; 7 entries were on the list before" in capsys.readouterr().out
    after = {p: (p.stat().st_mtime_ns, p.stat().st_ino) for p in taken.rglob("*") if p.is_file()}
    assert {p for p in after if before.get(p) != after[p]} <= {taken / ".lock"}


@pytest.mark.slow
def test_entries_that_nothing_is_called_are_named_and_kept(
    world: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "out")
    assert take_down(out, world) == 0
    said = capsys.readouterr().out
    assert "nothing here is called 'nobody'; if a catalog brings it, it stays out" in said
    assert "9 videos taken down" in said
    late = (
        ("nobody", "late.mp4", "#yoga", "x", 80, 1.0),
        ("fine", "late2.mp4", "#yoga", "y", 81, 1.0),
    )
    moved = (
        ("renamed", "yoga1.mp4", "#yoga", "z", 1, 1.0),
        ("new", "l3.mp4", "#yoga", "anna0", 2, 1.0),
    )
    for _, name, *_ in late:
        shutil.copy(world / "yoga3.mp4", world / name)
    write_catalog(world / "grown.csv", (*late, *moved, *reversed(POSTS)))
    assert build(world, out, "label.min_videos=1", catalog="grown.csv") == 0
    found = fates(out)
    assert found[row_key("late.mp4")] == ("taken_down", "id", "")
    assert found[row_key("yoga1.mp4")] == ("taken_down", "id", "")
    assert found[row_key("l3.mp4")] == ("taken_down", "uploader", "")
    assert found[row_key("late2.mp4")][0] == "clip"
    assert found[row_key("rare.mp4")][0] == "clip"
    assert set(stored(out)).isdisjoint({*GONE, "nobody", "renamed", "new"})
    assert main(["verify", "--out", str(out)]) == 0
    # What the id stood for is known by its URI too now.
    assert read_list(out).videos[row_key("late.mp4")] == "id"


@pytest.mark.slow
def test_the_stages_run_anew_give_the_same_bytes(world: Path, taken: Path, tmp_path: Path) -> None:
    out = copy(taken, tmp_path / "out")
    assert build(world, out) == 0
    done = contents(out)
    assert {p for p, c in contents(taken).items() if done[p] != c} == set()
    shutil.rmtree(out / "stages")
    assert build(world, out) == 0
    timed = ("stages/", "report/", "DATASET_CARD.md")
    anew = {p: c for p, c in contents(out).items() if not p.startswith(timed)}
    assert anew == {p: c for p, c in contents(taken).items() if not p.startswith(timed)}
    assert dataset_id(out) == dataset_id(taken)


@pytest.mark.slow
def test_a_video_that_no_catalog_has_any_more_goes_by_what_its_posts_were_called(
    world: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "out")
    left = [post for post in POSTS if post[3] not in ("bert1", "gert", "hans", "emil")]
    write_catalog(world / "shrunk.csv", tuple(left))
    assert build(world, out, catalog="shrunk.csv") == 0
    orphans = {"surf-1", "twin-0", "leak-0"}
    assert orphans <= set(stored(out))
    # Of two who had posted the same video one is enough.
    (tmp_path / "ids.txt").write_text("uploader:bert1\nuploader:hans\n")
    assert main(["takedown", "--out", str(out), "--ids", str(tmp_path / "ids.txt")]) == 0
    assert "2 videos taken down" in capsys.readouterr().out
    assert orphans & set(stored(out)) == {"leak-0"}
    for path, content in contents(out).items():
        assert not [name for name in (b"bert1", b"hans", b"gert") if name in content], path
    assert main(["verify", "--out", str(out)]) == 0


@pytest.mark.slow
def test_a_takedown_that_was_cut_is_finished_by_the_next_command(
    world: Path, whole: Path, taken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "out")
    words = ["--out", str(out), "--ids", str(world / "ids.txt")]
    assert crash_at(25, ["takedown", *words]).returncode == 137
    assert read_list(out).unfinished is not None
    assert main(["verify", "--out", str(out)]) == 1
    assert "a takedown was cut" in capsys.readouterr().err
    assert build(world, out) == 0
    assert clips(out) == clips(taken) and dataset_id(out) == dataset_id(taken)


@pytest.mark.slow
def test_everything_can_go(
    world: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "out")
    (tmp_path / "all.txt").write_text("".join(f"{uri}\n" for _, uri, *_ in POSTS))
    assert main(["takedown", "--out", str(out), "--ids", str(tmp_path / "all.txt")]) == 0
    assert capsys.readouterr().out.endswith("no clip is left: the report and the card are gone\n")
    assert not list(out.glob("shards/*/*.tar")) and not stored(out)
    assert {fate for fate, *_ in fates(out).values()} == {"taken_down"}


def test_what_is_no_dataset_or_no_list_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["takedown", "--out", str(tmp_path / "out"), "--ids", str(tmp_path / "ids.txt")]
    assert main(words) == 1
    assert "out: holds no dataset; name the folder of a job as OUT" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.toml").write_text("")
    (tmp_path / "out" / ".lock").write_text("")
    assert main(words) == 1
    assert "ids.txt: cannot be read as a UTF-8 list" in capsys.readouterr().err
