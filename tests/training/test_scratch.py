import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.storage import StorageError
from training.scratch import own_scratch, scratch_of

ROOT = Path(__file__).parents[2]
HOLDER = """
import sys
from training.scratch import own_scratch
with own_scratch() as folder:
    print(folder, flush=True)
    sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where such folders are made; none is left there."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    assert [path for path in folder.glob("tagreel-*.tmp") if (path / ".held").exists()] == []


def holder(**environment: str) -> "subprocess.Popen[str]":
    """A process that holds such a folder until it gets a line, or is killed."""
    return subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def ran(script: str, **environment: str) -> str:
    """What a script prints, run in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def said(process: "subprocess.Popen[str]") -> Path:
    assert process.stdout
    return Path(process.stdout.readline().strip())


def test_the_folder_is_there_for_the_block_and_with_the_owner(place: Path) -> None:
    class Owner:
        pass

    owner = Owner()
    with own_scratch() as one:
        other = Path(scratch_of(owner))
        assert Path(one).parent == other.parent == place
        assert Path(one) != other
        (Path(one) / "known.npy").touch()
        (Path(one) / "more").mkdir()
    assert not Path(one).exists()
    assert other.is_dir()
    assert other.stat().st_mode & 0o777 == 0o700
    del owner
    assert not other.exists()


def test_processes_of_one_torchrun_share_a_folder_and_the_last_one_removes_it() -> None:
    ranks = [holder(LOCAL_WORLD_SIZE="2", LOCAL_RANK=str(rank)) for rank in range(2)]
    alone = holder()
    folders = [said(process) for process in ranks]
    assert folders[0] == folders[1] != said(alone)
    (folders[0] / "known.npy").touch()
    ranks[0].communicate("\n")
    assert (folders[0] / "known.npy").exists()
    with own_scratch():
        # Nor does another process clear it away.
        assert (folders[0] / "known.npy").exists()
    ranks[1].communicate("\n")
    assert not folders[0].exists()
    alone.communicate("\n")


def test_another_torchrun_has_another_folder(tmp_path: Path) -> None:
    shell = f"{sys.executable} -c '{HOLDER}'; true"
    environment = {**os.environ, "LOCAL_WORLD_SIZE": "2"}
    told = [
        subprocess.run(
            ["sh", "-c", shell],
            cwd=ROOT,
            env=environment,
            input="\n",
            capture_output=True,
            text=True,
        ).stdout
        for _ in range(2)
    ]
    assert all(told)
    assert told[0] != told[1]


def test_what_killed_processes_left_goes_when_the_next_one_comes(place: Path) -> None:
    (place / "tagreel-of-others.tmp").mkdir()
    left = [holder(LOCAL_WORLD_SIZE="2"), holder(LOCAL_WORLD_SIZE="2"), holder()]
    shared, also, own = map(said, left)
    assert shared == also
    for folder in (shared, own):
        (folder / "known.npy").touch()
    for process in left[1:]:
        process.kill()
        process.communicate()
    with own_scratch():
        assert not own.exists()
        # One of the two lives.
        assert (shared / "known.npy").exists()
    left[0].kill()
    left[0].communicate()
    with own_scratch():
        assert not shared.exists()
    assert (place / "tagreel-of-others.tmp").is_dir()


@pytest.mark.parametrize("trap", ["link", "file", "open"])
def test_a_folder_that_may_be_another_users_is_left_alone(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with own_scratch() as folder:
        shared = Path(folder)
    if trap == "link":
        (tmp_path / "elsewhere").mkdir(0o700)
        shared.symlink_to(tmp_path / "elsewhere")
    elif trap == "file":
        shared.touch()
    else:
        shared.mkdir()
        (shared / "theirs").touch()
        shared.chmod(0o777)
    with own_scratch() as folder:
        assert Path(folder) != shared
        assert Path(folder).is_dir()
    assert os.path.lexists(shared)
    assert trap != "link" or not any((tmp_path / "elsewhere").iterdir())
    assert trap != "open" or [path.name for path in shared.iterdir()] == ["theirs"]


@pytest.mark.parametrize("count", ["1", "2"])
def test_what_a_link_leads_to_is_not_cleared_away(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", count)
    victim = tmp_path / "victim"
    victim.mkdir(0o700)
    for name in (".held", "thesis"):
        (victim / name).touch()
    (place / "tagreel-evil.tmp").symlink_to(victim)
    (place / "tagreel-left.tmp").mkdir(0o700)
    (place / "tagreel-left.tmp" / ".held").touch()
    (place / "tagreel-left.tmp" / "inside").symlink_to(victim)
    with own_scratch():
        assert not (place / "tagreel-left.tmp").exists()
    assert sorted(path.name for path in victim.iterdir()) == [".held", "thesis"]
    (place / "tagreel-evil.tmp").unlink()


def test_a_forked_process_that_ends_does_not_take_the_folder_along(place: Path) -> None:
    script = """
import os, sys
from training.scratch import own_scratch
with own_scratch() as folder:
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    print(os.path.isdir(folder))
"""
    assert ran(script) == "True\n"
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("count", ["1", "2"])
def test_a_place_that_is_gone_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    monkeypatch.setenv("LOCAL_WORLD_SIZE", count)
    monkeypatch.setattr(tempfile, "tempdir", str(place / "gone"))
    with pytest.raises(StorageError, match=r"gone: takes no temporary files: .* clips\.scratch="):
        own_scratch().__enter__()


@pytest.mark.parametrize("count", ["1", "2"])
def test_where_no_more_files_can_be_opened_nothing_is_left(place: Path, count: str) -> None:
    script = """
import os, resource
from formats.storage import StorageError
from training.scratch import own_scratch
used = len(os.listdir("/proc/self/fd")) - 1
for more in range(4):
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + more, 4096))
    try:
        with own_scratch():
            pass
    except StorageError as error:
        print(error)
"""
    told = ran(script, LOCAL_WORLD_SIZE=count)
    assert "takes no temporary files: [Errno 24] Too many open files" in told
    # With the last one it could be held, and not be opened to be removed: that is for later.
    with own_scratch():
        pass
    assert list(place.iterdir()) == []


def test_what_a_worker_writes_while_its_folder_goes_is_removed_later(place: Path) -> None:
    script = """
import os, time
from pathlib import Path
from training.scratch import own_scratch
for _ in range(20):
    with own_scratch() as folder:
        child = os.fork()
        if not child:
            for number in range(200):
                try:
                    (Path(folder) / str(number)).touch()
                except FileNotFoundError:
                    break
            os._exit(0)
        time.sleep(0.002)
    os.waitpid(child, 0)
"""
    ran(script)
    with own_scratch():
        pass
    assert list(place.iterdir()) == []


def test_many_that_come_and_go_at_once_never_lose_what_they_hold(place: Path) -> None:
    script = """
import os
from pathlib import Path
from training.scratch import own_scratch
for _ in range(50):
    with own_scratch() as folder:
        mine = Path(folder) / str(os.getpid())
        mine.touch()
        assert mine.exists() and (Path(folder) / ".held").exists()
        mine.unlink()
"""
    environment = {**os.environ, "LOCAL_WORLD_SIZE": "4"}
    command = [sys.executable, "-c", script]
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [(rank.communicate()[1], rank.returncode) for rank in ranks] == [("", 0)] * 4
    assert list(place.iterdir()) == []
