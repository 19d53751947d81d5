"""Tables at rest: the Parquet form of every row type of `formats.rows`.

A table's schema is read off its dataclass, so a field is declared once. The bytes written depend on
the rows and their order alone (under one version of pyarrow).
"""

import types
import typing
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from formats.fates import Fate as Fate
from formats.fates import Reason as Reason
from formats.rows import CatalogRow as CatalogRow
from formats.rows import ClipRow as ClipRow
from formats.rows import DuplicateRow as DuplicateRow
from formats.rows import HashtagRow as HashtagRow
from formats.rows import LabelledRow as LabelledRow
from formats.rows import LabelRow as LabelRow
from formats.rows import LedgerRow as LedgerRow
from formats.rows import MatchRow as MatchRow
from formats.rows import RepostRow as RepostRow
from formats.rows import SplitQuotaRow as SplitQuotaRow
from formats.rows import TargetHashRow as TargetHashRow
from formats.rows import TargetVideoRow as TargetVideoRow
from formats.rows import UnreadableRow as UnreadableRow
from formats.rows import VideoRow as VideoRow
from formats.storage import publish

ROW_GROUP_ROWS = 65_536


class TableError(Exception):
    """A file is not the Parquet table that its reader needs."""


Row = TypeVar("Row")


def part_files(folder: str) -> list[str]:
    """The Parquet parts of a table, in the order of their names; none if there is no folder."""
    return sorted(str(path) for path in Path(folder).glob("part-*.parquet"))


def schema_of(row_type: type, *names: str) -> pa.Schema:
    """The Arrow schema of a row type, fields in order of declaration, or of some of its fields.

    >>> schema_of(LabelRow).names
    ['label_id', 'label', 'videos', 'assigned']
    """
    hints = typing.get_type_hints(row_type, include_extras=True)
    chosen = names or [f.name for f in fields(row_type)]
    return pa.schema([_field(name, hints[name]) for name in chosen])


def to_batch(rows: Sequence[object], row_type: type) -> pa.RecordBatch:
    """Rows as one record batch; memory is that of the rows."""
    schema = schema_of(row_type)
    columns = [pa.array([getattr(row, f.name) for row in rows], type=f.type) for f in schema]
    return pa.record_batch(columns, schema=schema)


def batches_of(
    rows: Iterable[object], row_type: type, size: int = ROW_GROUP_ROWS
) -> Iterator[pa.RecordBatch]:
    """Rows as batches of at most `size`, which is what is in memory at a time."""
    rest = iter(rows)
    while taken := list(islice(rest, size)):
        yield to_batch(taken, row_type)


def from_batch(batch: pa.RecordBatch | pa.Table, row_type: type[Row]) -> Iterator[Row]:
    """The batch's rows as dataclasses, lists as tuples."""
    names = [f.name for f in fields(row_type)]  # type: ignore[arg-type]
    columns = [batch.column(name).to_pylist() for name in names]
    for values in zip(*columns, strict=True):
        yield row_type(*(tuple(v) if isinstance(v, list) else v for v in values))


def write_rows(path: str, rows: Iterable[object], row_type: type) -> int:
    """Write rows to one Parquet file in their order, atomically; return how many.

    Holds one row group of 65,536 rows at a time, so memory does not grow with the table.
    """
    return write_batches(path, batches_of(rows, row_type), schema_of(row_type))


def write_batches(path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Write record batches to one Parquet file in their order, atomically; return the rows."""
    count = 0
    with publish(path) as temporary, _writer(temporary, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def read_rows(path: str, row_type: type[Row]) -> Iterator[Row]:
    """The rows of a Parquet file, one row group in memory at a time.

    Raises:
        TableError: the file is missing, is no Parquet file or lacks a column.
    """
    for batch in read_batches(path, schema_of(row_type)):
        yield from from_batch(batch, row_type)


def change_rows(
    path: str, row_type: type[Row], keys: Collection[str], change: Callable[[Row], Row | None]
) -> bool:
    """Replace the rows of these row keys (None: take them out); return whether any was changed.

    A table of none of them is not touched, and one without a row left is deleted. Row groups stay
    as they are, so that the same rows are the same bytes; one of them is in memory at a time.

    Raises:
        TableError: the file is missing, is no Parquet file or lacks a column.
    """
    wanted, schema = pa.array(sorted(keys), pa.string()), schema_of(row_type)
    if not any(
        pc.any(pc.is_in(batch.column("row_key"), wanted)).as_py()
        for batch in read_batches(path, schema_of(row_type, "row_key"))
    ):
        return False
    counts = Counter[str]()

    def changed() -> Iterator[pa.RecordBatch]:
        for group in _row_groups(path, schema):
            before = list(from_batch(group, row_type))
            after = [change(row) if row.row_key in keys else row for row in before]  # type: ignore[attr-defined]
            kept = [row for row in after if row is not None]
            counts["changed"] += before != kept
            counts["kept"] += len(kept)
            if kept:
                yield to_batch(kept, row_type)

    # Twice, for most calls change nothing, and a file that stays shall be the file that it was.
    for _ in changed():
        pass
    if counts["changed"] and not counts["kept"]:
        Path(path).unlink()
    elif counts["changed"]:
        write_batches(path, changed(), schema)
    return counts["changed"] > 0


def count_rows(path: str) -> int:
    """How many rows a Parquet file holds, from its footer.

    Raises:
        TableError: the file is missing or is no Parquet file.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {error}") from error


def count_values(path: str, column: str) -> int:
    """How many items the lists of a column hold, from the file's footer; an empty list counts 1.

    Raises:
        TableError: the file is missing or is no Parquet file.
    """
    try:
        metadata = pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {error}") from error
    groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
    chunks = (group.column(number) for group in groups for number in range(group.num_columns))
    return sum(c.num_values for c in chunks if c.path_in_schema.partition(".")[0] == column)


def read_batches(path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The record batches of a Parquet file, cast to the schema.

    Raises:
        TableError: the file is missing, is no Parquet file or lacks a column.
    """
    with _opened(path, schema) as file:
        for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, columns=schema.names):
            yield batch.select(schema.names).cast(schema)


def _row_groups(path: str, schema: pa.Schema) -> Iterator[pa.Table]:
    with _opened(path, schema) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns=schema.names)


@contextmanager
def _opened(path: str, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    try:
        with pq.ParquetFile(path) as file:
            missing = set(schema.names) - set(file.schema_arrow.names)
            if missing:
                raise TableError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
            yield file
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {error}") from error


def _writer(path: str, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)


def _field(name: str, hint: object) -> pa.Field:
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    if optional:
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
    return pa.field(name, _arrow_type(hint), nullable=optional)


def _arrow_type(hint: object) -> pa.DataType:
    if typing.get_origin(hint) is Annotated:
        return typing.cast(pa.DataType, typing.get_args(hint)[1])
    if typing.get_origin(hint) is tuple:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    plain = {
        str: pa.string(),
        bool: pa.bool_(),
        int: pa.int64(),
        float: pa.float64(),
        bytes: pa.binary(),
    }
    return plain[typing.cast(type, hint)]
