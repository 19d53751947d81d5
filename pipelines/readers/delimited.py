"""CSV and TSV files -> catalog rows, each unreadable one with the line that it begins at."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from pipelines.options import MatchOptions
from pipelines.readers.blocks import BLOCK_BYTES, Block, read_blocks
from pipelines.readers.columns import (
    BATCH_ROWS,
    CatalogBatch,
    CatalogError,
    Found,
    asks_length,
    check_names,
    column_names,
    conform,
    find_columns,
    has_needed,
)
from pipelines.readers.quoting import RecordSplitter, is_malformed

_DELIMITERS = {"csv": b",;\t|", "tsv": b"\t,;|"}
# As many columns as a header may have, and the piece of a file that it is looked for in.
_HEADER_COLUMNS = 10_000
_HEADER_BYTES = 1 << 12


@dataclass(frozen=True)
class Header:
    """The first record of a table."""

    names: tuple[str, ...]
    delimiter: bytes


def read_delimited(
    path: str, kind: str, options: MatchOptions, block_bytes: int = BLOCK_BYTES
) -> Iterator[CatalogBatch]:
    """The table's rows, one batch per 32,768 records or per block; none of an empty file.

    Raises:
        CatalogError: its header cannot be read, or lacks a column that we need.
        OSError, EOFError, zlib.error: it cannot be read (on).
    """
    header = read_header(path, kind, options)
    if not header.names:
        return
    check_names(path, header.names, options)
    splitter = RecordSplitter(header.delimiter, len(header.names))
    is_header = True
    for block in read_blocks(path, splitter, block_bytes):
        kept = _filled(block)
        if is_header and len(kept):
            kept, is_header = kept[1:], False
        for start in range(0, len(kept), BATCH_ROWS):
            yield _read_rows(path, block, kept[start : start + BATCH_ROWS], header, options)


def read_header(path: str, kind: str, options: MatchOptions) -> Header:
    """The table's header, by the delimiter that makes sense of it.

    The kind's own delimiter is taken unless another one finds all the columns that we need.

    Raises:
        CatalogError: it cannot be read.
    """
    delimiters = [bytes([delimiter]) for delimiter in _DELIMITERS[kind]]
    for delimiter in delimiters:
        names = _header_names(path, delimiter)
        if names is not None and has_needed(names, options):
            return Header(names, delimiter)
    names = _header_names(path, delimiters[0])
    if names is None:
        raise CatalogError(f"{path}: the quotes of its header are not in order; mend them")
    return Header(names, delimiters[0])


def check_header(path: str, kind: str, options: MatchOptions) -> Found:
    """The table's columns; refused is one without those that we need, but not an empty file.

    Raises:
        CatalogError: says what is missing.
    """
    header = read_header(path, kind, options)
    if header.names:
        check_names(path, header.names, options)
    return find_columns(header.names, options)


def _header_names(path: str, delimiter: bytes) -> tuple[str, ...] | None:
    """The names in the first record, none in an empty file; None where its quotes are broken."""
    splitter = RecordSplitter(delimiter, _HEADER_COLUMNS)
    for block in read_blocks(path, splitter, _HEADER_BYTES):
        for record in _filled(block)[:1]:
            if record in block.split.reasons:
                return None
            text = _record_bytes(block, record).rstrip(b"\r\n")
            names = (_unquote(name) for name in splitter.split_fields(text))
            return tuple(name.decode(errors="replace").strip() for name in names)
    return ()


def _filled(block: Block) -> NDArray[np.int64]:
    """The records that are not empty lines; only those begin with a line end."""
    first = np.frombuffer(block.data + b"\n", np.uint8)[block.starts]
    broken = np.isin(np.arange(len(first)), list(block.split.reasons))
    return np.flatnonzero(((first != ord("\n")) & (first != ord("\r"))) | broken)


def _read_rows(
    path: str, block: Block, records: NDArray[np.int64], header: Header, options: MatchOptions
) -> CatalogBatch:
    refused = dict(_refusals(block, records, len(header.names)))
    good = np.delete(np.arange(len(records)), list(refused))
    columns = _parse(_joined(block, records, good), header, options) if len(good) else {}
    # Refused rows get nulls, so that every record keeps its place.
    places = np.full(len(records), -1)
    places[good] = np.arange(len(good))
    index = pa.array(places, mask=places < 0) if refused else None
    arrays = {name: array.take(index) if refused else array for name, array in columns.items()}
    lines = block.lines[records]
    return conform(
        arrays,
        len(records),
        lambda row: (path, int(lines[row])),
        refused,
        needs_length=asks_length(options),
    )


def _refusals(block: Block, records: NDArray[np.int64], columns: int) -> Iterator[tuple[int, str]]:
    """Rows with malformed quotes or a wrong number of fields, by their place in `records`."""
    fields = block.split.fields[records]
    odd = fields != columns
    if block.split.reasons:
        odd |= np.isin(records, list(block.split.reasons))
    for row in np.flatnonzero(odd):
        count = f"{fields[row]} field{'s' if fields[row] != 1 else ''}"
        reason = block.split.reasons.get(int(records[row]), f"{count}, the header has {columns}")
        yield int(row), reason


def _joined(block: Block, records: NDArray[np.int64], good: NDArray[np.int64]) -> bytes:
    """The text of the good records, fit for a parser that knows no literal quotes."""
    chosen = records[good]
    if block.split.literal:
        texts = ((record in block.split.literal, _record_bytes(block, record)) for record in chosen)
        return b"".join(_quote_literally(text) if literal else text for literal, text in texts)
    breaks = np.flatnonzero(np.diff(chosen) != 1)
    starts = block.starts[np.append(chosen[:1], chosen[breaks + 1])]
    ends = block.split.ends[np.append(chosen[breaks], chosen[-1:])]
    return b"".join(map(block.data.__getitem__, map(slice, starts.tolist(), ends.tolist())))


def _parse(text: bytes, header: Header, options: MatchOptions) -> Mapping[str, pa.Array]:
    """Our field -> its values, as bytes."""
    places = {
        field: str(header.names.index(name))
        for field, name in column_names(options).items()
        if name in header.names
    }
    wanted = list(dict.fromkeys(places.values()))
    table = pa.csv.read_csv(
        pa.BufferReader(text),
        pa.csv.ReadOptions(
            use_threads=False,
            block_size=len(text) + 1,
            column_names=[str(place) for place in range(len(header.names))],
        ),
        pa.csv.ParseOptions(delimiter=header.delimiter.decode(), newlines_in_values=b'"' in text),
        pa.csv.ConvertOptions(
            column_types=dict.fromkeys(wanted, pa.binary()), include_columns=wanted
        ),
    )
    return {field: table.column(place).combine_chunks() for field, place in places.items()}


def _record_bytes(block: Block, record: int) -> bytes:
    return block.data[block.starts[record] : block.split.ends[record]]


def _unquote(text: bytes) -> bytes:
    return text[1:-1].replace(b'""', b'"') if text.startswith(b'"') else text


def _quote_literally(line: bytes) -> bytes:
    """A line of which each field stands by itself, with a malformed quote in quotes of its own."""
    fields = line.rstrip(b"\r\n").split(b"\t")
    return (
        b"\t".join(
            b'"' + text.replace(b'"', b'""') + b'"' if is_malformed(text) else text
            for text in fields
        )
        + b"\n"
    )
