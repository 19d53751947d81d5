"""Rows of a catalog that are about some seconds of a video, through the whole job."""

import json
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from formats.tables import DuplicateRow, VideoRow, part_files, read_rows
from formats.video import decode_rgb, encode_frames
from pipelines.__main__ import main
from pipelines.identity import row_key
from tests.pipelines.takedown_world import build, copy, picture

FPS = 15
SCENES_S = 2
# (video_id, uri, start, end) of long.mp4, which shows another scene every two seconds.
POSTS = (
    ("first", "long.mp4", "", "2"),
    ("second", "long.mp4", "0:02", "0:04"),
    ("again", "long.mp4", "2.0", "4"),
    ("third", "long.mp4", "4", "6"),
    ("beyond", "long.mp4", "60", "70"),
    ("alone", "alone.mp4", "", ""),
    ("backwards", "alone.mp4", "2", "1"),
    ("open", "alone.mp4", "1", ""),
)
STORED = {"first": 2.0, "again": 2.0, "third": 2.0, "alone": 1.0}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    scenes = [list(picture(seed, SCENES_S * FPS)) for seed in (1, 2, 3)]
    encode_frames(str(folder / "long.mp4"), chain(*scenes), fps=FPS)
    encode_frames(str(folder / "alone.mp4"), picture(4, FPS), fps=FPS)
    encode_frames(str(folder / "target.mp4"), picture(5, FPS), fps=FPS)
    rows = [("video_id", "uri", "start_s", "end_s", "hashtags"), *((*p, "yoga") for p in POSTS)]
    (folder / "catalog.csv").write_text("".join(",".join(row) + "\n" for row in rows))
    (folder / "bench.csv").write_text("video_id,uri,label,subset\nt0,target.mp4,yoga,val\n")
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, out, "match.max_bad_fraction=0.5", "split.splits=all") == 0
    return out


def videos(out: Path) -> dict[str, VideoRow]:
    parts = part_files(str(out / "videos"))
    return {row.video_id: row for part in parts for row in read_rows(part, VideoRow)}


def stored_bytes(out: Path, row: VideoRow) -> bytes:
    with open(out / "videos" / str(row.part), "rb") as file:
        file.seek(row.offset or 0)
        return file.read(row.size_bytes or 0)


def fates(out: Path) -> dict[str, tuple[str, str]]:
    rows = pd.read_parquet(out / "ledger.parquet").fillna("").to_dict("records")
    return {row["row_key"]: (row["fate"], row["reason"]) for row in rows}


def test_each_piece_is_a_video_of_its_own_that_shows_its_seconds(
    whole: Path, tmp_path: Path
) -> None:
    found = videos(whole)
    lengths = {name: row.duration_s for name, row in found.items() if row.status == "stored"}
    assert lengths == pytest.approx(STORED, abs=0.07)
    assert found["beyond"].reason == "too_few_frames"
    for name, seed in (("first", 1), ("again", 2), ("third", 3)):
        (tmp_path / "piece.mp4").write_bytes(stored_bytes(whole, found[name]))
        scene = np.stack(list(picture(seed, SCENES_S * FPS)))
        shown = decode_rgb(str(tmp_path / "piece.mp4"), fps=None, height=120, width=160)
        assert len(shown) == len(scene)
        assert np.abs(shown.astype(int) - scene).mean() < 8


def test_a_video_of_several_pieces_was_downloaded_once(world: Path, whole: Path) -> None:
    counted = json.loads((whole / "yield.json").read_text())
    assert counted["outcomes"] == {"rejected:too_few_frames": 1, "stored": 4}
    assert (counted["tries"], counted["retries"]) == (2, 0)
    sizes = [(world / name).stat().st_size for name in ("long.mp4", "alone.mp4")]
    assert counted["source_bytes"] == sum(sizes)
    kept = [row.size_bytes or 0 for row in videos(whole).values()]
    assert counted["stored_bytes"] == sum(kept)


def test_rows_that_are_about_no_seconds_are_listed_and_two_about_the_same_are_one(
    whole: Path,
) -> None:
    (part,) = part_files(str(whole / "unreadable"))
    listed = pd.read_parquet(part)
    assert list(listed["line"]) == [8, 9]
    assert set(listed["reason"]) == {"start and end are no piece of a video"}
    summary = json.loads((whole / "report" / "summary.json").read_text())
    assert summary["fates"]["merged"] == 1
    assert fates(whole)[row_key("long.mp4#t=2,4")] == ("clip", "")


@pytest.mark.slow
def test_a_takedown_of_the_video_takes_all_its_pieces_for_good(
    world: Path, whole: Path, tmp_path: Path
) -> None:
    out = copy(whole, tmp_path / "out")
    (tmp_path / "ids.txt").write_text("uri:long.mp4\n")
    assert main(["takedown", "--out", str(out), "--ids", str(tmp_path / "ids.txt")]) == 0
    assert set(videos(out)) - {""} == {"alone"}
    gone = {row_key(f"long.mp4#t={piece}") for piece in ("0,2", "2,4", "4,6", "60,70")}
    assert {key for key, fate in fates(out).items() if fate == ("taken_down", "uri")} == gone
    later = (*POSTS[0][:2], "1", "3", "yoga")
    with open(world / "catalog.csv") as old:
        (world / "later.csv").write_text(old.read() + ",".join(later) + "\n")
    options = ("match.max_bad_fraction=0.5", "split.splits=all")
    assert build(world, out, *options, catalog="later.csv") == 0
    assert fates(out)[row_key("long.mp4#t=1,3")] == ("taken_down", "uri")
    assert set(videos(out)) - {""} == {"alone"}


@pytest.mark.slow
def test_pieces_of_a_benchmark_video_are_duplicates_of_it_by_its_address(
    world: Path, tmp_path: Path
) -> None:
    (world / "copied.csv").write_text("video_id,uri,start_s,end_s\nt0,long.mp4,0,2\n")
    words = ["dataset", "--seed", "kinetics", "--catalog", str(world / "catalog.csv")]
    words += ["--targets", str(world / "copied.csv"), "--out", str(tmp_path / "out")]
    settings = "label.min_videos=1 match.max_bad_fraction=0.5 deduplicate.max_duplicate_fraction=1"
    assert main([*words, "--set", f"{settings} split.splits=all"]) == 0
    parts = part_files(str(tmp_path / "out" / "duplicates"))
    removed = {row.video_id: row.tier for part in parts for row in read_rows(part, DuplicateRow)}
    # Names of files are no addresses: what shows other seconds stays.
    assert removed == {"first": "frames"}
