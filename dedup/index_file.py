"""One file of arrays that is mapped, not read: a line with a checksum, the arrays, a page of facts.

    tagreel target index 2 <SHA-256 of all that follows, hex> <bytes of the arrays, 20 digits>
    arrays, each padded to a multiple of 64 bytes
    {"facts": ..., "arrays": [[name, dtype, shape]]}

Nothing in it is executed or unpacked, and a page of facts larger than the file cannot be claimed.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

_MAGIC = b"tagreel target index 2 "
_DIGEST_CHARS = 64
_LENGTH_DIGITS = 20
_HEADER_BYTES = len(_MAGIC) + _DIGEST_CHARS + 1 + _LENGTH_DIGITS + 1
_ALIGNED_TO = 64
_MOST_FACTS_BYTES = 2**26
_DTYPES = {name: np.dtype(name) for name in ("|u1", "<i2", "<i4", "<f4", "<u4", "<u8")}

Arrays = dict[str, npt.NDArray[Any]]


class IndexFileError(Exception):
    """A file is not a whole target index."""


def write_index_file(
    path: str, facts: Mapping[str, object], arrays: Iterable[tuple[str, npt.NDArray[Any]]]
) -> None:
    """Write facts, which JSON can hold, and arrays, one of which is in memory at a time.

    Equal contents give equal bytes. The file is not put in place atomically: that is for the
    caller, who knows where it is to be published.
    """
    listed = []
    with open(path, "w+b") as file:
        file.write(b" " * _padded(_HEADER_BYTES))
        for name, array in arrays:
            stored = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
            listed.append([name, stored.dtype.str, stored.shape])
            file.write(stored.data.cast("B") if stored.size else b"")
            file.write(bytes(_padded(stored.nbytes) - stored.nbytes))
        length = file.tell() - _padded(_HEADER_BYTES)
        page = {"facts": facts, "arrays": listed}
        file.write(json.dumps(page, ensure_ascii=False, sort_keys=True).encode())
        file.seek(len(_MAGIC) + _DIGEST_CHARS)
        file.write(b" %020d\n" % length)
        digest = _digest(file)
        file.seek(0)
        file.write(_MAGIC + digest)


def map_index_file(path: str) -> tuple[dict[str, Any], Arrays]:
    """The facts and the arrays of a file; the arrays are read-only and lie in the page cache.

    So workers of one machine share them, and they take no memory of their own. The checksum is
    compared first, in constant memory: later changes of the file go unseen.

    Raises:
        IndexFileError: the file is missing, cut short, altered or no target index.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
            if not header.startswith(_MAGIC):
                raise IndexFileError(f"{path}: not a target index of this version")
            if header[len(_MAGIC) : len(_MAGIC) + _DIGEST_CHARS] != _digest(file):
                raise IndexFileError(
                    f"{path}: cut short or altered since it was written; "
                    "delete it, and `make targets` writes it anew"
                )
            start, size = _padded(_HEADER_BYTES), Path(path).stat().st_size
            facts_at = start + int(header[-_LENGTH_DIGITS - 1 :])
            if not start <= facts_at <= size <= facts_at + _MOST_FACTS_BYTES:
                raise ValueError("its facts lie outside of it, or are too long")
            file.seek(facts_at)
            page = json.loads(file.read())
            # An empty file cannot be mapped.
            content = np.empty(0, np.uint8)
            if facts_at > start:
                mapped = np.memmap(file, np.uint8, "r", start, (facts_at - start,))
                content = mapped.view(np.ndarray)
        return dict(page["facts"]), _arrays(page["arrays"], content)
    except FileNotFoundError as error:
        raise IndexFileError(f"{path}: is missing; `make targets` writes it anew") from error
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise IndexFileError(f"{path}: cannot be read as a target index: {error}") from error


def _arrays(listed: list[tuple[str, str, list[int]]], content: npt.NDArray[np.uint8]) -> Arrays:
    arrays: Arrays = {}
    place = 0
    for name, dtype, shape in listed:
        if not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError(f"an array of the shape {shape}")
        size = math.prod(shape) * _DTYPES[dtype].itemsize
        if place + _padded(size) > len(content):
            raise ValueError("an array ends beyond the end of the file")
        arrays[name] = content[place : place + size].view(_DTYPES[dtype]).reshape(shape)
        place += _padded(size)
    if place != len(content) or len(arrays) != len(listed):
        raise ValueError("its arrays are others than it says")
    return arrays


def _padded(size: int) -> int:
    return -(-size // _ALIGNED_TO) * _ALIGNED_TO


def _digest(file: BinaryIO) -> bytes:
    """SHA-256 of what follows the checksum, in hex."""
    file.seek(len(_MAGIC) + _DIGEST_CHARS)
    return hashlib.file_digest(file, "sha256").hexdigest().encode()  # type: ignore[arg-type]
