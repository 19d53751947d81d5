"""A folder for what is known of shards, for as long as somebody on this machine needs it."""

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from formats.storage import StorageError, scratch_place
from training.ranks import local_rank

_HELD = ".held"
"""In such a folder: locked, together, by all processes that use it."""
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


@contextmanager
def own_scratch() -> Iterator[str]:
    """Such a folder for the block.

    Raises:
        StorageError: none can be made.
    """
    folder, held = _held()
    process = os.getpid()
    try:
        yield str(folder)
    finally:
        _leave(folder, held, process)


def scratch_of(owner: object) -> str:
    """Such a folder, which goes with its owner.

    The processes that torchrun started on this machine share one: so each shard is checked, and
    where it is copied, copied once and not by each of them. The last one to leave removes it; where
    it was killed, the next process that needs one does.

    Raises:
        StorageError: none can be made.
    """
    folder, held = _held()
    weakref.finalize(owner, _leave, folder, held, os.getpid())
    return str(folder)


def _held() -> tuple[Path, int]:
    """A folder and the open file that holds it."""
    root = Path(scratch_place())
    for left in root.glob("tagreel-*.tmp"):
        _remove_unless_held(left, mine=False)
    name = _common_name()
    try:
        if name and (held := _hold_common(root / name)) is not None:
            return root / name, held
        while True:
            folder = Path(tempfile.mkdtemp(".tmp", "tagreel-", root))
            with _removed_if_refused(folder):
                if (held := _hold(folder)) is not None:
                    return folder, held
    except OSError as error:
        raise StorageError(
            f"{root}: takes no temporary files: {error}; TMPDIR=FOLDER or clips.scratch=FOLDER "
            "names another place"
        ) from error


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


def _hold_common(folder: Path) -> int | None:
    """As `_hold`; None where the folder is not this user's alone: its name can be guessed."""
    while True:
        try:
            folder.mkdir(0o700, exist_ok=True)
            with _opened(folder) as place:
                facts = os.fstat(place)
            if facts.st_uid != os.getuid() or stat.S_IMODE(facts.st_mode) & 0o077:
                # Where modes are ignored it was made just now, in vain.
                folder.rmdir()
                return None
        except FileNotFoundError:
            if folder.parent.is_dir():
                continue  # Another process removed it just now.
            raise
        except OSError:
            return None
        with _removed_if_refused(folder):
            if (held := _hold(folder)) is not None:
                return held


@contextmanager
def _removed_if_refused(folder: Path) -> Iterator[None]:
    """Remove a folder that cannot be held, for later nobody could; not one in use by others."""
    try:
        yield
    except OSError:
        with suppress(OSError):
            folder.rmdir()
        raise


def _hold(folder: Path) -> int | None:
    """An open file that keeps a folder from being removed; None if that was done just now."""
    try:
        with _opened(folder) as place:
            held = os.open(_HELD, _OPEN | os.O_CREAT, 0o600, dir_fd=place)
            try:
                fcntl.flock(held, fcntl.LOCK_SH)
                there = _is_there(place, held)
            except OSError:
                # A disk without locks.
                os.close(held)
                os.unlink(_HELD, dir_fd=place)
                raise
            if there:
                return held
            os.close(held)
            return None
    except FileNotFoundError:
        return None


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """The folder itself and not what a link of its name leads to."""
    place = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield place
    finally:
        os.close(place)


def _is_there(place: int, held: int) -> bool:
    try:
        found = os.stat(_HELD, dir_fd=place, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(found, os.fstat(held))


def _leave(folder: Path, held: int, process: int) -> None:
    # A worker that was forked must not take the folder away from the others.
    if os.getpid() != process:
        return
    # Closing alone does not let go: workers that were forked may have it open, too.
    fcntl.flock(held, fcntl.LOCK_UN)
    os.close(held)
    _remove_unless_held(folder, mine=True)


def _remove_unless_held(folder: Path, *, mine: bool) -> None:
    """Remove a folder that no process holds, as when all were killed."""
    try:
        with _opened(folder) as place:
            if not (mine or os.fstat(place).st_uid == os.getuid()):
                return
            held = os.open(_HELD, _OPEN, dir_fd=place)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_there(place, held):
                    _remove(folder, place)
            finally:
                os.close(held)
    except OSError:
        return  # Somebody holds it, or has it removed, or it was made by something else.


def _remove(folder: Path, place: int) -> None:
    # Relative to the open folder: a name may lead elsewhere by now.
    for name in os.listdir(place):
        if name == _HELD:
            continue
        if stat.S_ISDIR(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode):
            shutil.rmtree(name, dir_fd=place)
        else:
            os.unlink(name, dir_fd=place)
    # Last: who comes now waits for the lock, finds this file gone and begins anew.
    os.unlink(_HELD, dir_fd=place)
    try:
        folder.rmdir()
    except OSError:
        # Somebody began anew, or a worker that lives still writes: one that comes later removes it.
        os.close(os.open(_HELD, _OPEN | os.O_CREAT, 0o600, dir_fd=place))
