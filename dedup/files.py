"""A target index as one file: a line with a checksum, then an npz archive without pickles."""

import hashlib
import json
import zipfile
from typing import Any, BinaryIO

import numpy as np

from dedup.hashing import CODE_BYTES
from dedup.index import TargetIndex, TargetRows

_MAGIC = b"tagreel target index 1 "
_HEADER_BYTES = len(_MAGIC) + 64 + 1
_ARRAYS = {
    "codes": (np.uint8, (CODE_BYTES,)),
    "owner": (np.int32, ()),
    "second": (np.float32, ()),
    "variant": (np.int16, ()),
}


class IndexFileError(Exception):
    """A file is not a whole target index."""


def save_index(index: TargetIndex, path: str) -> None:
    """Write the index to one file; equal indexes give equal bytes. It is not written atomically."""
    rows = index.rows
    names = json.dumps({"videos": rows.videos, "variants": rows.variants}).encode()
    with open(path, "w+b") as file:
        file.write(b" " * _HEADER_BYTES)
        np.savez(
            file,
            names=np.frombuffer(names, np.uint8),
            **{name: getattr(rows, name) for name in _ARRAYS},
        )
        digest = _digest(file)
        file.seek(0)
        file.write(_MAGIC + digest + b"\n")


def load_index(path: str) -> TargetIndex:
    """Read an index that `save_index` wrote.

    Raises:
        IndexFileError: the file is missing, cut short, altered or no target index.
    """
    try:
        with open(path, "rb") as file:
            header = file.read(_HEADER_BYTES)
            if not header.startswith(_MAGIC):
                raise IndexFileError(f"{path}: not a target index")
            if header != _MAGIC + _digest(file) + b"\n":
                raise IndexFileError(f"{path}: cut short or altered since it was written")
            file.seek(_HEADER_BYTES)
            with np.load(file, allow_pickle=False) as arrays:
                rows = _read_rows(arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise IndexFileError(f"{path}: cannot be read as a target index: {error}") from error
    return TargetIndex(rows)


def _digest(file: BinaryIO) -> bytes:
    """SHA-256 of what follows the header, in hex."""
    file.seek(_HEADER_BYTES)
    return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _read_rows(arrays: Any) -> TargetRows:  # noqa: ANN401
    columns = {name: arrays[name] for name in _ARRAYS}
    count = len(columns["codes"])
    for name, (dtype, rest) in _ARRAYS.items():
        if columns[name].dtype != dtype or columns[name].shape != (count, *rest):
            raise ValueError(f"{name} is {columns[name].dtype} {columns[name].shape}")
    names = json.loads(arrays["names"].tobytes())
    videos = tuple((str(target), str(video_id)) for target, video_id in names["videos"])
    variants = tuple(str(name) for name in names["variants"])
    for name, limit in (("owner", len(videos)), ("variant", len(variants))):
        if count and not 0 <= columns[name].min() <= columns[name].max() < limit:
            raise ValueError(f"{name} points outside of its list")
    return TargetRows(**columns, videos=videos, variants=variants)
