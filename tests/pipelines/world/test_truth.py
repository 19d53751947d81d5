import json
from pathlib import Path

import pytest

from pipelines.world.posts import Kind
from pipelines.world.truth import (
    FileFacts,
    TruthRow,
    World,
    WorldError,
    commit,
    is_complete,
    read_truth,
    write_csv,
    write_truth,
)

ROWS = [
    TruthRow("a", "http://h/videos/a.mp4", "videos/a.mp4", Kind.MULTI_LABEL,
             ("bowling", "hula hooping"), ("bowling",), "", "", 3.2, 0.5, 2.75),
    TruthRow("b", "http://h/videos/b.mp4", "videos/b.mp4", Kind.DEAD, (), (), "t", "mirrored",
             None, None, None),
]  # fmt: skip


@pytest.fixture
def world(tmp_path):
    world = World(str(tmp_path))
    Path(tmp_path, "a.bin").write_bytes(b"12345")
    write_truth(world, ROWS)
    commit(world, 7, [FileFacts("a.bin", 5, "ab" * 32)])
    return world


def test_truth_is_read_as_it_was_written(world):
    assert read_truth(world.folder) == ROWS


def test_truth_of_an_uncommitted_world_is_refused(world):
    Path(world.marker).unlink()
    with pytest.raises(WorldError, match=r"WORLD\.json is missing"):
        read_truth(world.folder)


@pytest.mark.parametrize("text", ["", "video_id\nx\n", None])
def test_unreadable_truth_is_refused(world, text):
    if text is None:
        Path(world.truth).unlink()
    else:
        Path(world.truth).write_text(text or "uri,kind\nx,strange\n")
    with pytest.raises(WorldError, match="build the world again"):
        read_truth(world.folder)


def test_a_world_is_complete_for_its_seed_while_its_files_are_whole(world):
    assert is_complete(world, 7) and not is_complete(world, 8)
    Path(world.folder, "a.bin").write_bytes(b"1234")
    assert not is_complete(world, 7)


@pytest.mark.parametrize("key", ["format_version", "rng_seed", "sha256", "files"])
def test_a_marker_that_was_changed_does_not_count(world, key):
    marker = json.loads(Path(world.marker).read_text())
    Path(world.marker).write_text(json.dumps({**marker, key: "other"}))
    assert not is_complete(world, 7)


@pytest.mark.parametrize("text", ["", "[]", "{"])
def test_a_broken_marker_does_not_count(world, text):
    Path(world.marker).write_text(text)
    assert not is_complete(world, 7)


def test_csv_cells_are_quoted_only_where_they_must_be(tmp_path):
    write_csv(str(tmp_path / "x.csv"), ["a", "b"], [['say "no"', "one\ntwo"], ["plain", "x,y"]])
    assert (tmp_path / "x.csv").read_bytes() == (
        b'a,b\n"say ""no""","one\ntwo"\nplain,"x,y"\n'
    )  # fmt: skip
