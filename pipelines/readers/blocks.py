"""Text files, also compressed -> blocks of whole records, each with the line that it begins at."""

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.readers.columns import CatalogError

BLOCK_BYTES = 4 << 20
RECORD_BYTES = 16 << 20
COMPRESSIONS = (".gz", ".zst", ".bz2")
_READ_BYTES = 1 << 16
_TOO_LONG = f"longer than {RECORD_BYTES >> 20} MiB"
_NO_TEXT = {
    b"PAR1": "is a Parquet file by its content; name it .parquet or set match.format=parquet",
    b"\xff\xfe": "is UTF-16 text; write it as UTF-8",
    b"\xfe\xff": "is UTF-16 text; write it as UTF-8",
}
_MAGIC = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst", b"BZh": ".bz2"}


@dataclass(frozen=True)
class Split:
    """The whole records that some text begins with."""

    ends: NDArray[np.int64]
    """One past each record's line end."""
    fields: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    """How many fields each record has, where records have fields."""
    reasons: Mapping[int, str] = field(default_factory=dict)
    """Records that are broken, and why."""
    literal: frozenset[int] = frozenset()
    """Records in which a quote is a character like any other."""


class Splitter(Protocol):
    """Knows where records end."""

    def split(self, data: bytes, final: bool) -> Split:
        """The whole records of data, which begins with a record; all of it if it is final."""

    def line_ends(self, data: bytes, final: bool) -> NDArray[np.int64]:
        """One past each line end, whether or not a record ends there."""


@dataclass(frozen=True)
class Block:
    """Some whole records of a file."""

    data: bytes
    starts: NDArray[np.int64]
    lines: NDArray[np.int64]
    """The line that each record begins at, from 1."""
    split: Split


class Lines:
    """Every line is a record, and every line feed ends one."""

    def split(self, data: bytes, final: bool) -> Split:
        """All whole lines of data."""
        return Split(self.line_ends(data, final))

    def line_ends(self, data: bytes, final: bool) -> NDArray[np.int64]:
        """One past each line feed."""
        return np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1


def read_blocks(path: str, splitter: Splitter, block_bytes: int = BLOCK_BYTES) -> Iterator[Block]:
    """The file in blocks; memory is one block and one record of at most 16 MiB.

    A record longer than that is one broken record. What was read before a compressed file breaks
    is given out first.

    Raises:
        CatalogError: the file is not UTF-8 text by its first bytes.
        OSError, EOFError, zlib.error: the file cannot be read (on).
    """
    held, line, skipping = b"", 1, False
    with open_text(path) as stream:
        for piece, final in _checked(path, _pieces(stream, block_bytes)):
            held = _whole_lines(held + piece) if final else held + piece
            while held:
                if skipping:
                    held, skipping = _after_line(held, splitter, final)
                if skipping or not held:
                    break
                block = _block(held, line, splitter, final)
                if not len(block.starts):
                    break
                yield block
                skipping = not block.data
                line += 1 if skipping else len(splitter.line_ends(block.data, True))
                held = held[-1:] if skipping else held[len(block.data) :]


def open_text(path: str) -> io.BufferedReader:
    """The file's bytes, decompressed as its name says or, where that says nothing, its content.

    Raises:
        OSError: it cannot be opened.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in COMPRESSIONS:
        with open(path, "rb") as file:
            head = file.read(4)
        suffix = next((form for magic, form in _MAGIC.items() if head.startswith(magic)), "")
    if suffix == ".zst":
        stream: Any = pa.input_stream(pa.OSFile(os.fsencode(path)), compression="zstd")
        return io.BufferedReader(stream)
    # Python's own readers, unlike Arrow's, hand out all there is of a file that was cut off.
    opener: Any = {".gz": gzip.open, ".bz2": bz2.open}.get(suffix, open)
    return cast(io.BufferedReader, opener(path, "rb"))


def _pieces(stream: io.BufferedReader, size: int) -> Iterator[tuple[bytes, bool]]:
    """Pieces of about `size` bytes, the first of at least four; True comes with the last."""
    held, count = [], 0
    wanted = max(size, 4)
    try:
        while piece := stream.read1(min(wanted, _READ_BYTES)):
            held.append(piece)
            count += len(piece)
            if count >= wanted:
                yield b"".join(held), False
                held, count, wanted = [], 0, size
    except (OSError, EOFError, zlib.error):
        yield b"".join(held), False
        raise
    yield b"".join(held), True


def _checked(path: str, pieces: Iterator[tuple[bytes, bool]]) -> Iterator[tuple[bytes, bool]]:
    """The pieces without the byte order mark."""
    for number, (piece, final) in enumerate(pieces):
        if number == 0:
            for magic, problem in _NO_TEXT.items():
                if piece.startswith(magic):
                    raise CatalogError(f"{path}: {problem}")
            if b"\0" in piece[:4]:
                raise CatalogError(f"{path}: is not UTF-8 text; write it as UTF-8")
            piece = piece.removeprefix(b"\xef\xbb\xbf")
        yield piece, final


def _whole_lines(data: bytes) -> bytes:
    return data if not data or data.endswith(b"\n") else data + b"\n"


def _after_line(data: bytes, splitter: Splitter, final: bool) -> tuple[bytes, bool]:
    """What follows the first line end, and whether that end is still to come."""
    ends = splitter.line_ends(data, final)
    # The last byte stays: it may be the CR of a CR LF.
    return (data[ends[0] :], False) if len(ends) else (data[-1:], True)


def _block(data: bytes, line: int, splitter: Splitter, final: bool) -> Block:
    """The records that data begins with, up to one that is too long, or that one alone."""
    split = splitter.split(data, final)
    starts = np.concatenate([[0], split.ends]).astype(np.int64)
    sizes = np.diff(starts, append=len(data))
    count = int(np.argmax(np.append(sizes, RECORD_BYTES + 1) > RECORD_BYTES))
    if count == 0 and sizes[0] > RECORD_BYTES:
        return _overlong(data, line, splitter)
    count = min(count, len(split.ends))
    whole = data[: starts[count]]
    split = replace(split, ends=split.ends[:count], fields=split.fields[:count])
    before = np.searchsorted(splitter.line_ends(whole, True), starts[:count], side="right")
    return Block(whole, starts[:count], line + before, split)


def _overlong(data: bytes, line: int, splitter: Splitter) -> Block:
    """One broken record: the first line of data, or nothing of it where no line ends in it."""
    ends = np.append(splitter.line_ends(data, False), 0)[:1]
    split = Split(ends, np.ones(1, np.int64), {0: _TOO_LONG})
    return Block(data[: ends[0]], np.zeros(1, np.int64), np.array([line]), split)
