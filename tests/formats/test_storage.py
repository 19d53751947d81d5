import os
from pathlib import Path

import pytest

from formats.storage import StorageError, publish, remove_leftovers, sha256_file, write_text


def die_halfway(path: str) -> None:
    with publish(path) as temporary:
        Path(temporary).write_text("half")
        raise RuntimeError("killed")


def test_nothing_stands_at_the_name_until_the_block_ends_well(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with pytest.raises(RuntimeError, match="killed"):
        die_halfway(str(path))
    assert list(path.parent.iterdir()) == []
    with publish(str(path)) as temporary:
        Path(temporary).write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert os.listdir(path.parent) == ["file"]


def test_a_directory_in_the_way_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "taken" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match="taken: cannot be written"):
        write_text(str(tmp_path / "taken"), "x")
    assert os.listdir(tmp_path) == ["taken"]


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".part.abc.tmp").write_text("x")
    (tmp_path / "part.tar").write_text("x")
    remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["part.tar"]


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    write_text(str(tmp_path / "a"), "abc")
    assert sha256_file(str(tmp_path / "a")).startswith("ba7816bf8f01cfea")
