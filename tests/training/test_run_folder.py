import errno
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from formats.storage import StorageError
from training.errors import TrainingError
from training.run_folder import LOCK, run_folder

HOLD = "import sys; from training.run_folder import run_folder\nwith run_folder(sys.argv[1]): pass"


def hold(out: Path) -> str:
    """What another process that wants the folder says at its end."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", HOLD, str(out)]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False).stderr


def test_one_command_at_a_time_writes_to_a_folder(tmp_path: Path) -> None:
    out = tmp_path / "run"
    with run_folder(str(out)):
        assert f"{out}: another command is writing there: wait for it to end" in hold(out)
    out.mkdir()
    assert hold(out) == ""


def test_a_folder_in_which_nothing_was_written_is_as_it_was(tmp_path: Path) -> None:
    with run_folder(str(tmp_path / "data" / "training")):
        assert (tmp_path / "data" / "training" / LOCK).exists()
    with run_folder(str(tmp_path)):
        pass
    assert list(tmp_path.iterdir()) == []
    with run_folder(str(tmp_path / "run")):
        (tmp_path / "run" / "log").write_text("")
    assert [path.name for path in tmp_path.rglob("*")] == ["run", "log"]


def test_a_lock_that_a_killed_command_left_holds_nobody(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("")
    assert hold(tmp_path) == ""


def test_a_disk_without_locks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lockf(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "lockf", lockf)
    refused = pytest.raises(TrainingError, match=r"keeps no locks \(No locks available\), so two")
    with refused, run_folder(str(tmp_path / "run")):
        pass


def test_the_folder_of_a_dataset_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    with pytest.raises(TrainingError, match="is a dataset's own folder"), run_folder(str(tmp_path)):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["stages"]


def test_no_run_writes_among_the_shards_of_a_dataset(tmp_path: Path) -> None:
    for name in ("shards/all", "stages"):
        (tmp_path / name).mkdir(parents=True)
    for inner in ("shards", "shards/all", "shards/all/new", "stages/new"):
        refused = pytest.raises(TrainingError, match="is a dataset's own folder")
        with refused, run_folder(str(tmp_path / inner)):
            pass
    with run_folder(str(tmp_path / "training")):
        pass


def test_a_folder_that_the_disk_refuses_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=LOCK), run_folder(str(tmp_path / "file")):
        pass


def test_without_a_folder_nothing_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with run_folder(""), run_folder(""):
        assert list(tmp_path.iterdir()) == []
