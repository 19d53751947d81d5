"""Tables inside a Beam job: Arrow batches, never rows, and joins bucket by bucket.

A table that grows with the catalog is a folder of `part-*.parquet`. Stages meet in *buckets*:
every row goes to bucket `hash(row_key) % buckets`, and one worker at a time holds one bucket of the
tables it joins. So memory is that of the largest bucket; raise `run.buckets` with the catalog.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.coders.typecoders import registry
from apache_beam.transforms import combiners

from formats.storage import write_text
from formats.tables import (
    batches_of,
    from_batch,
    read_batches,
    schema_of,
    to_batch,
    write_batches,
)
from pipelines.readers.columns import BATCH_ROWS

Row = TypeVar("Row")


class ArrowCoder(beam.coders.Coder):
    """Record batches as Arrow IPC: pickling a slice would carry its whole parent."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_batch(value)
        return sink.getvalue().to_pybytes()

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        with pa.ipc.open_stream(encoded) as reader:
            return reader.read_next_batch()

    def is_deterministic(self) -> bool:
        return False


registry.register_coder(pa.RecordBatch, ArrowCoder)

# Arrow's own allocator keeps what was freed: a fifth more memory at the peak, for no time won.
pa.set_memory_pool(pa.system_memory_pool())


def bucket_file(folder: str, bucket: int, buckets: int) -> str:
    """Where one bucket of a table is written."""
    return str(Path(folder) / f"part-{bucket:05d}-of-{buckets:05d}.parquet")


def split_by_bucket(batch: pa.RecordBatch, buckets: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (bucket, its rows) for every bucket with rows, by the batch's `row_key`."""
    yield from split_by_number(batch, bucket_numbers(batch.column("row_key"), buckets))


def bucket_numbers(hex_keys: pa.Array, buckets: int) -> np.ndarray:
    """The bucket of each hex key: its first 8 digits modulo the number of buckets."""
    digits = pc.utf8_slice_codeunits(hex_keys, 0, 8)
    numbers = np.fromiter((int(text, 16) for text in digits.to_pylist()), np.int64, len(digits))
    return numbers % buckets


def split_by_number(
    batch: pa.RecordBatch, numbers: np.ndarray
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (number, rows of that number), in the order of the numbers."""
    for number in np.unique(numbers):
        yield int(number), batch.filter(pa.array(numbers == number))


def bucket_rows(
    rows: Iterable[object], row_type: type, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Rows of a unit of work as one batch per bucket."""
    batch = to_batch(list(rows), row_type)
    if batch.num_rows:
        yield from split_by_bucket(batch, buckets)


class InBatches(beam.DoFn):
    """A function of an element that yields rows, which are handed over as batches.

    An engine copies every element it is given, and rows would be a million.
    """

    def __init__(self, function: Callable[..., Iterable[object]], row_type: type) -> None:
        super().__init__()
        self._function = function
        self._row_type = row_type

    def process(self, element: Any, *sides: Any) -> Iterator[pa.RecordBatch]:
        """The function's rows for one element, side inputs passed on."""
        return batches_of(self._function(element, *sides), self._row_type, BATCH_ROWS)

    def infer_output_type(self, input_type: Any) -> type:
        """What the batches are, so that they travel by their own coder."""
        return pa.RecordBatch


def rows_of(batches: Iterable[pa.RecordBatch], row_type: type[Row]) -> list[Row]:
    """All rows of a bucket's batches."""
    return [row for batch in batches for row in from_batch(batch, row_type)]


def read_part(path: str, row_type: type) -> Iterator[pa.RecordBatch]:
    """The batches of one part; a row type with fewer fields than the table reads only those."""
    yield from read_batches(path, schema_of(row_type))


@dataclass
class ReadTable(beam.PTransform):
    """Names of parts -> their record batches, one row group at a time."""

    row_type: type

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[pa.RecordBatch]:
        return (
            files
            | "Spread" >> beam.Reshuffle()
            | "ReadPart" >> beam.FlatMap(read_part, self.row_type).with_output_types(pa.RecordBatch)
        )


@dataclass
class BucketTable(beam.PTransform):
    """Names of parts -> (bucket, batch), ready to be joined by CoGroupByKey."""

    row_type: type
    buckets: int

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[tuple[int, pa.RecordBatch]]:
        return (
            files
            | "Read" >> ReadTable(self.row_type)
            | "SplitByBucket"
            >> beam.FlatMap(split_by_bucket, self.buckets).with_output_types(
                tuple[int, pa.RecordBatch]
            )
        )


@dataclass
class WriteTable(beam.PTransform):
    """(bucket, batch) -> one part per bucket; the same rows give the same bytes."""

    folder: str
    row_type: type
    buckets: int
    sort_by: tuple[str, ...]

    def expand(
        self, batches: beam.PCollection[tuple[int, pa.RecordBatch]]
    ) -> beam.PCollection[str]:
        sink = TableSink(self.folder, self.row_type, self.buckets, self.sort_by)
        return batches | "GroupBuckets" >> beam.GroupByKey() | "Write" >> beam.MapTuple(sink.write)


@dataclass
class WriteBatches(beam.PTransform):
    """Batches with row keys -> one part per bucket; the same rows give the same bytes."""

    folder: str
    row_type: type
    buckets: int
    sort_by: tuple[str, ...]

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[str]:
        return (
            batches
            | "SplitByBucket"
            >> beam.FlatMap(split_by_bucket, self.buckets).with_output_types(
                tuple[int, pa.RecordBatch]
            )
            | "WriteBuckets" >> WriteTable(self.folder, self.row_type, self.buckets, self.sort_by)
        )


@dataclass(frozen=True)
class TableSink:
    """Where and how the buckets of one table are written."""

    folder: str
    row_type: type
    buckets: int
    sort_by: tuple[str, ...]

    def write(self, bucket: int, batches: Iterable[pa.RecordBatch]) -> str:
        """Write one bucket, sorted, and return its file name."""
        schema = schema_of(self.row_type)
        table = pa.Table.from_batches(batches, schema)
        table = table.sort_by([(name, "ascending") for name in self.sort_by])
        path = bucket_file(self.folder, bucket, self.buckets)
        write_batches(path, table.to_batches(), schema)
        return path


@dataclass
class WriteCounts(beam.PTransform):
    """(name, count) pairs -> one JSON file of their sums."""

    path: str

    def expand(self, counts: beam.PCollection[tuple[str, int]]) -> beam.PCollection[str]:
        return (
            counts
            | "Sum" >> beam.CombinePerKey(sum)
            | "ToDict" >> combiners.ToDict()
            | "WriteJson" >> beam.Map(write_json, self.path)
        )


def read_counts(path: str) -> Counter[str]:
    """What `WriteCounts` left."""
    return Counter(json.loads(Path(path).read_text()))


def write_json(counts: Mapping[str, int], path: str) -> str:
    """Write counts for `read_counts`; return the path."""
    write_text(path, json.dumps(counts, sort_keys=True) + "\n")
    return path


def on_pairs(function: Callable[..., Any], *fixed: object) -> Callable[[tuple[Any, Any]], Any]:
    """`function(key, value, *fixed)` as a function of one (key, value) element."""
    return partial(_call_on_pair, function, fixed)


def _call_on_pair(
    function: Callable[..., Any], fixed: Sequence[object], element: tuple[Any, Any]
) -> Any:
    return function(*element, *fixed)


def names(pipeline: beam.Pipeline, files: Sequence[str], label: str) -> beam.PCollection[str]:
    """File names as a PCollection: the only thing that is ever given to Create."""
    return pipeline | f"Name{label}" >> beam.Create(list(files), reshuffle=False).with_output_types(
        str
    )
