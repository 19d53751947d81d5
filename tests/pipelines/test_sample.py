import csv
import time
from dataclasses import replace
from pathlib import Path

import pytest

from formats.video import DecodeError, VideoOptions, normalise
from pipelines.sample import Plan, World, build_world, render_world
from pipelines.world.posts import Kind, plan_posts, plan_targets
from pipelines.world.truth import is_complete, read_truth


def shorter(job, frames=18):
    film = replace(job.film, frames=frames, fps=15, action_start=0, action_end=frames)
    return replace(job, film=film)


def small_plan():
    """The first post of every kind, cut to 1.2 s, and two targets."""
    first = {post.kind: post for post in reversed(plan_posts(0))}
    kept = [p if p.kind in (Kind.ONE_FRAME, Kind.TOO_LONG) else shorter(p) for p in first.values()]
    source = next(p for p in kept if p.kind is Kind.CLEAN)
    kept = [replace(p, uri=source.uri) if p.kind is Kind.SAME_URI else p for p in kept]
    return Plan(0, tuple(kept), tuple(shorter(t) for t in plan_targets(0)[:2]))


def contents(folder):
    paths = (path for path in Path(folder).rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = World(str(tmp_path_factory.mktemp("world")))
    render_world(world, small_plan(), workers=1)
    return world


def test_the_bytes_do_not_depend_on_the_number_of_processes(world, tmp_path):
    render_world(World(str(tmp_path)), small_plan(), workers=2)
    assert contents(tmp_path) == contents(world.folder)


def test_the_catalog_and_targets_are_the_plan_row_by_row(world):
    plan = small_plan()
    for path, planned in ((world.catalog, plan.posts), (world.targets, plan.targets)):
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows == [{name: getattr(job, name) for name in rows[0]} for job in planned]


def test_files_are_what_their_kind_says(world, tmp_path):
    options, found = VideoOptions(), {}
    for row in read_truth(world.folder):
        path = Path(world.folder, row.path)
        try:
            normalise(str(path), str(tmp_path / "x.mp4"), options)
            found[row.kind] = "good"
        except DecodeError as error:
            found[row.kind] = str(error.reason)
        except FileNotFoundError:
            found[row.kind] = "missing"
    assert found.pop(Kind.TRUNCATED) in ("damaged", "not_video", "truncated")
    bad = {Kind.DEAD: "missing", Kind.DENIED: "missing", Kind.HTML: "not_video",
           Kind.ZERO: "empty", Kind.ONE_FRAME: "too_few_frames",
           Kind.TOO_LONG: "too_long"}  # fmt: skip
    assert found == {kind: bad.get(kind, "good") for kind in Kind if kind is not Kind.TRUNCATED}


def test_truth_tells_lengths_and_actions(world):
    rows = {row.kind: row for row in read_truth(world.folder)}
    clean, reupload, same = (rows[k] for k in (Kind.CLEAN, Kind.REUPLOAD, Kind.SAME_URI))
    assert (clean.length_s, clean.action_start_s, clean.action_end_s) == (1.2, 0.0, 1.2)
    assert (same.path, same.length_s) == (clean.path, 1.2)
    assert reupload.target_video_id and reupload.edit and reupload.action_start_s is None
    assert rows[Kind.DEAD].length_s is rows[Kind.HTML].length_s is rows[Kind.ZERO].length_s is None
    assert len(rows[Kind.MULTI_LABEL].labels) == 2 and rows[Kind.UNRELATED].labels == ()


def test_a_complete_world_is_taken_as_it_is(world):
    before = Path(world.marker).stat().st_mtime_ns
    assert build_world(world.folder, rng_seed=0) == world
    assert Path(world.marker).stat().st_mtime_ns == before


def test_a_build_that_fails_leaves_no_marker_and_foreign_files_alone(tmp_path):
    plan = small_plan()
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / "mine.mp4").write_bytes(b"mine")
    (tmp_path / "WORLD.json").write_text("{}")
    broken = replace(plan.posts[0], kind=Kind.REUPLOAD, edit="no_such_edit")
    with pytest.raises(KeyError):
        render_world(World(str(tmp_path)), replace(plan, posts=(broken,)), workers=1)
    assert not (tmp_path / "WORLD.json").exists()
    assert (tmp_path / "videos" / "mine.mp4").read_bytes() == b"mine"


@pytest.mark.slow
def test_the_whole_world_is_built_once_and_then_reused(tmp_path):
    world = build_world(str(tmp_path))
    assert is_complete(world, 0) and len(read_truth(world.folder)) == 248
    assert sum(map(len, contents(tmp_path).values())) < 60_000_000
    start = time.monotonic()
    build_world(str(tmp_path))
    assert time.monotonic() - start < 1
