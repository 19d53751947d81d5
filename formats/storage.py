"""Where bytes rest, behind one small interface: a path is whole under its name or not there."""

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_BLOCK = 1 << 20


class StorageError(Exception):
    """The disk refused; the message says which path and why."""


@contextmanager
def publish(path: str) -> Iterator[str]:
    """Give a temporary name beside `path`; when the block ends well, rename it to `path`.

    The content is on disk (fsync) before the rename. If the block raises, or the process dies,
    nothing changes at `path`. Retrying is safe: the last complete writer wins.

    Raises:
        StorageError: no space, no permission, or a directory stands at `path`.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield str(temporary)
        _sync(temporary)
        temporary.replace(target)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


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


def remove_leftovers(folder: str) -> None:
    """Delete the temporary files that a killed writer left in a folder (not below it)."""
    for path in Path(folder).glob(".*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
