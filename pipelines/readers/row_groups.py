"""Row groups of Parquet files -> catalog rows."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.options import MatchOptions
from pipelines.readers.columns import (
    BATCH_ROWS,
    CatalogBatch,
    Found,
    asks_length,
    check_names,
    check_types,
    column_names,
    conform,
    find_columns,
)

_BATCH_BYTES = 1 << 30


def row_group_starts(path: str) -> list[int]:
    """The index of the first row of each row group, from the footer.

    Raises:
        OSError, pa.ArrowException: the file is no Parquet file.
    """
    with _opened(path) as file:
        metadata = file.metadata
    rows = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
    return list(itertools.accumulate(rows, initial=0))[:-1]


def check_schema(path: str, options: MatchOptions) -> Found:
    """Its columns; refused is a file without those that we need, or with such of an odd type.

    Raises:
        CatalogError: says which.
        OSError, pa.ArrowException: the file is no Parquet file.
    """
    with _opened(path) as file:
        schema = file.schema_arrow
    _check(path, schema, options)
    return find_columns(schema.names, options)


def read_row_group(
    path: str, row_group: int | None, first_row: int, options: MatchOptions
) -> Iterator[CatalogBatch]:
    """The row group's rows (all of the file's, if None), in batches of at most 32,768.

    Raises:
        CatalogError: a column that we need is missing or of an odd type.
        OSError, pa.ArrowException: the file cannot be read (on).
    """
    names = column_names(options)
    with _opened(path) as file:
        _check(path, file.schema_arrow, options)
        wanted = [name for name in file.schema_arrow.names if name in names.values()]
        groups = None if row_group is None else [row_group]
        for whole in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=wanted):
            for batch in _small(whole):
                yield _conform(path, batch, first_row, options)
                first_row += batch.num_rows


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    # By its bytes: Arrow takes no name that is not UTF-8.
    with pa.OSFile(os.fsencode(path)) as source, pq.ParquetFile(source) as file:
        yield file


def _check(path: str, schema: pa.Schema, options: MatchOptions) -> None:
    check_names(path, schema.names, options)
    check_types(path, schema, options)


def _conform(
    path: str, batch: pa.RecordBatch, first_row: int, options: MatchOptions
) -> CatalogBatch:
    arrays = {
        field: batch.column(name)
        for field, name in column_names(options).items()
        if name in batch.schema.names
    }
    return conform(
        arrays,
        batch.num_rows,
        lambda row: (path, first_row + row + 1),
        needs_length=asks_length(options),
    )


def _small(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """The batch in pieces whose texts fit Arrow's 32-bit offsets."""
    if batch.nbytes <= _BATCH_BYTES or batch.num_rows < 2:
        yield batch
        return
    half = batch.num_rows // 2
    yield from _small(batch.slice(0, half))
    yield from _small(batch.slice(half))
