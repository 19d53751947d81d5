"""Where bytes rest, behind one small interface: a path is whole under its name or not there."""

import errno
import hashlib
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK = 1 << 20


_AGAIN = "then run the same command again"
_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), f"make room there, {_AGAIN}"),
    **dict.fromkeys((errno.EFBIG,), f"allow larger files (`ulimit -f`), {_AGAIN}"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "give this user the right to, or choose another"
    ),
    **dict.fromkeys(
        (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY),
        f"move what stands in the way, {_AGAIN}",
    ),
    **dict.fromkeys((errno.ENAMETOOLONG,), "choose a folder with a shorter path"),
    **dict.fromkeys((errno.EIO,), "look after the disk"),
}


class StorageError(Exception):
    """The disk refused; the message says which path, why and what to do."""


def refused(path: str, error: OSError, verb: str = "written") -> StorageError:
    """What a disk refused at a path, as one sentence."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        blocks = next((p for p in Path(path).parents if p.exists() and not p.is_dir()), None)
        why = why if blocks is None else f"{blocks} is not a directory"
    advice = _ADVICE.get(error.errno or 0)
    return StorageError(f"{path}: cannot be {verb}: {why}" + (f"; {advice}" if advice else ""))


def is_refusal(error: OSError) -> bool:
    """Whether an error is the disk's, not that of a program that looks in the wrong place."""
    return error.errno in _ADVICE


@contextmanager
def publish(path: str) -> Iterator[str]:
    """Give a temporary name beside `path`; when the block ends well, rename it to `path`.

    The content is on disk (fsync) before the rename. If the block raises, or the process dies,
    nothing changes at `path`. Retrying is safe: the last complete writer wins.

    Raises:
        StorageError: no space, no permission, a directory stands at `path`, or a file where a
            folder above it should be.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield str(temporary)
            _sync(temporary)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise refused(path, error) from error


def scratch_place() -> str:
    """The folder for temporary files: TMPDIR, or the first of the usual ones that takes any.

    Raises:
        StorageError: none does.
    """
    try:
        return tempfile.gettempdir()
    except FileNotFoundError as error:
        raise StorageError(f"{error.strerror}; make room there, or set TMPDIR") from error


@contextmanager
def scratch_folder(prefix: str, parent: str | None = None) -> Iterator[str]:
    """A folder for what is under way, in `parent` or where TMPDIR says, removed at the end.

    Raises:
        StorageError: the disk refused it, or what the block did there.
    """
    place = parent or scratch_place()
    try:
        # Named as what `remove_leftovers` looks for, should this process be killed.
        with tempfile.TemporaryDirectory(".tmp", prefix, place) as folder:
            yield folder
    except OSError as error:
        # Whoever writes to an open file is not told its name.
        elsewhere = error.filename is not None and not str(error.filename).startswith(place)
        if elsewhere or not is_refusal(error):
            raise
        raise refused(place, error) from error


def write_bytes(path: str, content: bytes) -> None:
    """Write a whole file atomically."""
    with publish(path) as temporary:
        Path(temporary).write_bytes(content)


def write_text(path: str, content: str) -> None:
    """Write a whole UTF-8 file atomically."""
    write_bytes(path, content.encode())


def sha256_file(path: str) -> str:
    """Hex SHA-256 of a file's bytes, in constant memory."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def file_states(paths: Iterable[str]) -> list[tuple[str, int, int]]:
    """(path, bytes, nanosecond of the last change) of files, and of every file in folders.

    What is not there is left out. Two equal answers mean that nothing was written in between.
    """
    found = []
    for path in map(Path, paths):
        files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
        for file in files:
            if file.exists():
                status = file.stat()
                found.append((str(file.resolve()), status.st_size, status.st_mtime_ns))
    return found


def remove_leftovers(folder: str, *, below: bool = False) -> None:
    """Delete the temporary files that a killed writer left in a folder, or also below it."""
    for path in list(Path(folder).glob("**/.*.tmp" if below else ".*.tmp")):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
