"""A folder for what is known of shards, for as long as somebody on this machine needs it."""

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.ranks import local_rank

_HELD = ".held"
"""In such a folder: locked, together, by all processes that use it."""


@contextmanager
def own_scratch() -> Iterator[str]:
    """Such a folder for the block."""
    folder, held = _held()
    try:
        yield str(folder)
    finally:
        _leave(folder, held, os.getpid())


def scratch_of(owner: object) -> str:
    """Such a folder, which goes with its owner.

    The processes that torchrun started on this machine share one: so each shard is checked, and
    where it is copied, copied once and not by each of them. The last one to leave removes it; where
    it was killed, the next process that needs one does.
    """
    folder, held = _held()
    weakref.finalize(owner, _leave, folder, held, os.getpid())
    return str(folder)


def _held() -> tuple[Path, int]:
    """A folder and the open file that holds it."""
    root = Path(tempfile.gettempdir())
    for folder in root.glob("tagreel-*.tmp"):
        _remove_left(folder)
    name = _common_name()
    held = _hold(root / name) if name else None
    if held is not None:
        return root / name, held
    while True:
        folder = Path(tempfile.mkdtemp(".tmp", "tagreel-"))
        if (held := _hold(folder)) is not None:
            return folder, held


def _common_name() -> str:
    """Of the folder that is shared; empty for a process that has none beside it."""
    if local_rank()[1] == 1:
        return ""
    # All have one parent; a later one may have its number, but not begin at the same moment.
    parent = os.getppid()
    try:
        begun = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""
    return f"tagreel-{os.getuid()}-{parent}-{begun}.tmp"


def _hold(folder: Path) -> int | None:
    """An open file that keeps a folder from being removed; None if it is not this user's alone."""
    while True:
        try:
            folder.mkdir(0o700, exist_ok=True)
            facts = os.lstat(folder)
            # Its name can be guessed: it may be a trap of another user's.
            if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
                return None
            if not stat.S_ISDIR(facts.st_mode):
                return None
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            held = os.open(folder / _HELD, flags, 0o600)
        except FileExistsError:
            return None
        except FileNotFoundError:
            continue  # It was removed in between.
        fcntl.flock(held, fcntl.LOCK_SH)
        if _is_there(folder, held):
            return held
        os.close(held)


def _is_there(folder: Path, held: int) -> bool:
    try:
        return os.path.samestat(os.lstat(folder / _HELD), os.fstat(held))
    except FileNotFoundError:
        return False


def _leave(folder: Path, held: int, process: int) -> None:
    # A worker that was forked must not take the folder away from the others.
    if os.getpid() == process:
        _remove_unless_held(folder, held)
        os.close(held)


def _remove_left(folder: Path) -> None:
    """Remove a folder of this user's if all processes that held it were killed."""
    try:
        held = os.open(folder / _HELD, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # Made by something else, or another user's.
    try:
        if os.fstat(held).st_uid == os.getuid():
            _remove_unless_held(folder, held)
    finally:
        os.close(held)


def _remove_unless_held(folder: Path, held: int) -> None:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    if not _is_there(folder, held):
        return
    for path in folder.iterdir():
        if path.name == _HELD:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    # Last: who comes now waits for the lock, finds this file gone and begins anew.
    (folder / _HELD).unlink()
    try:
        folder.rmdir()
    except OSError:
        return  # Somebody began anew already.
