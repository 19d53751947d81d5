import errno
import os
import tempfile
from pathlib import Path

import pytest

from formats.storage import (
    StorageError,
    file_states,
    is_refusal,
    publish,
    refused,
    remove_leftovers,
    scratch_folder,
    scratch_place,
    sha256_file,
    write_text,
)


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


def test_a_file_where_a_folder_should_be_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(StorageError) as caught:
        write_text(str(tmp_path / "taken" / "inside" / "file"), "x")
    assert str(caught.value) == (
        f"{tmp_path}/taken/inside/file: cannot be written: {tmp_path}/taken is not a directory; "
        "move what stands in the way, then run the same command again"
    )
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_refusal_says_why_and_what_to_do_whatever_words_it_came_with() -> None:
    worded = OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space")
    assert str(refused("/x", worded)) == (
        "/x: cannot be written: No space left on device; make room there, then run the same "
        "command again"
    )
    assert is_refusal(worded) and not is_refusal(FileNotFoundError(errno.ENOENT, "gone"))
    assert str(refused("/x", OSError("odd"), "read")) == "/x: cannot be read: odd"


def test_a_scratch_folder_is_gone_after_the_block_and_a_full_one_is_said_to_be(
    tmp_path: Path,
) -> None:
    with scratch_folder(".x-", str(tmp_path)) as folder:
        assert Path(folder).parent == tmp_path
        Path(folder, "file").write_text("x")
    with pytest.raises(StorageError, match=f"{tmp_path}: cannot be written: No space"):
        fill(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(IsADirectoryError), scratch_folder(".x-", str(tmp_path / "other")):
        tmp_path.write_text("x")
    (tmp_path / "other").rmdir()
    with pytest.raises(FileNotFoundError), scratch_folder(".x-", str(tmp_path)) as folder:
        Path(folder, "nothing").read_text()
    assert os.listdir(tmp_path) == []


def fill(folder: Path) -> None:
    with scratch_folder(".x-", str(folder)), open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def test_a_scratch_folder_that_a_killed_process_left_is_a_leftover(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with scratch_folder(".x-", str(tmp_path / "deep")) as folder:
        Path(folder, "file").write_text("x")
        remove_leftovers(str(tmp_path))
        assert Path(folder).exists()
        remove_leftovers(str(tmp_path), below=True)
        assert not Path(folder).exists()


def test_leftovers_of_a_killed_writer_are_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / ".part.abc.tmp").write_text("x")
    (tmp_path / "part.tar").write_text("x")
    remove_leftovers(str(tmp_path))
    assert os.listdir(tmp_path) == ["part.tar"]


def test_a_hash_is_of_the_bytes(tmp_path: Path) -> None:
    write_text(str(tmp_path / "a"), "abc")
    assert sha256_file(str(tmp_path / "a")).startswith("ba7816bf8f01cfea")


def test_without_a_place_for_temporary_files_one_is_told_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Python looks for a place once, by writing to a few.
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/full"])
    with pytest.raises(StorageError, match=r"No usable temporary directory .*set TMPDIR"):
        scratch_place()


def test_the_state_of_files_changes_with_what_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder" / "deep").mkdir(parents=True)
    (tmp_path / "a").write_text("aa")
    (tmp_path / "folder" / "deep" / "b").write_text("b")
    asked = [str(tmp_path / name) for name in ("folder", "a", "not there")]
    before = file_states(asked)
    sizes = [(str(tmp_path / "folder/deep/b"), 1), (str(tmp_path / "a"), 2)]
    assert [state[:2] for state in before] == sizes
    os.utime(tmp_path / "a", ns=(0, 1))
    assert [state[2] == 1 for state in file_states(asked)] == [False, True]
    assert file_states(asked)[0] == before[0]
