"""Matches by the unit -> one part per bucket, sorted, with one row per URI.

What is shuffled is references. A worker leaves the matches of its unit in a file of its own, in
runs that belong to one *range* of one bucket (a range is the first hex digit of the row key), and
says where they are. A bucket is then merged range by range: memory is that of the largest range,
1/16 of a bucket, and of one unit's last 65,536 matches, whatever the size of the catalog.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from formats.storage import publish
from formats.tables import MatchRow, from_batch, schema_of, to_batch, write_batches
from pipelines.batches import bucket_file, bucket_numbers
from pipelines.removal.strikes import strike_matches
from pipelines.removal.takedown_list import ID, UPLOADER, read_list

RANGES = 16
_ROWS_PER_FLUSH = 65_536
_SCHEMA = schema_of(MatchRow)


@dataclass(frozen=True)
class Run:
    """Some matches of one unit that belong to one range of one bucket."""

    path: str
    """Arrow IPC file."""
    batch: int
    """Which of its record batches."""
    range: int


class RunWriter:
    """The matches of one unit, written once to one file; a unit without matches leaves none."""

    def __init__(self, path: str, buckets: int) -> None:
        self.runs: list[tuple[int, Run]] = []
        """(bucket, run), complete when the block has ended."""
        self._path = path
        self._buckets = buckets
        self._held: list[pa.RecordBatch] = []
        self._written = 0
        self._open = ExitStack()
        self._writer: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> "RunWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._open.__exit__(kind, error, trace)
            return
        with self._open:
            self._flush()

    def add(self, matches: pa.RecordBatch) -> None:
        """Take a batch of matches, to be written when there are enough."""
        if matches.num_rows:
            self._held.append(matches)
        if sum(batch.num_rows for batch in self._held) >= _ROWS_PER_FLUSH:
            self._flush()

    def _flush(self) -> None:
        if not self._held:
            return
        matches = pa.concat_batches(self._held)
        self._held = []
        if self._writer is None:
            temporary = self._open.enter_context(publish(self._path))
            self._writer = self._open.enter_context(pa.ipc.new_file(temporary, _SCHEMA))
        first_digits = pc.utf8_slice_codeunits(matches.column("row_key"), 0, 1).to_pylist()
        ranges = np.fromiter((int(digit, 16) for digit in first_digits), np.int64, len(matches))
        places = bucket_numbers(matches.column("row_key"), self._buckets) * RANGES + ranges
        order = np.argsort(places, kind="stable")
        matches = matches.take(pa.array(order))
        found, starts = np.unique(places[order], return_index=True)
        ends = np.append(starts[1:], len(places))
        for place, start, end in zip(found.tolist(), starts, ends, strict=True):
            self._writer.write_batch(matches.slice(start, end - start))
            run = Run(self._path, self._written, place % RANGES)
            self.runs.append((place // RANGES, run))
            self._written += 1


def merge_runs(bucket: int, runs: Iterable[Run], folder: str, buckets: int) -> tuple[str, int]:
    """Write one bucket, one row per URI, sorted by key; the same rows give the same bytes.

    What was taken down of the dataset that `folder` is in is left as a row of its key and labels.

    Returns:
        The part's name, and how many rows were merged into another.
    """
    by_range: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_range[run.range].append(run)
    merged = 0
    taken = read_list(Path(folder).parent)

    def ranges() -> Iterator[pa.RecordBatch]:
        nonlocal merged
        for number in sorted(by_range):
            rows = _read_runs(by_range[number])
            united = unite(rows)
            merged += rows.num_rows - united.num_rows
            yield strike_matches(united, taken)

    path = bucket_file(folder, bucket, buckets)
    write_batches(path, ranges(), _SCHEMA)
    return path, merged


def unite(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Matches sorted by key, those of one key united: all labels, the smallest video_id."""
    rows = rows.take(pc.sort_indices(rows, sort_keys=[("row_key", "ascending")]))
    keys = pc.run_end_encode(rows.column("row_key"))
    ends = keys.run_ends.to_numpy()
    starts = np.concatenate([[0], ends[:-1]])
    if len(ends) == rows.num_rows:
        return rows
    alone = ends - starts == 1
    united = [
        _merge_all(from_batch(rows.slice(start, end - start), MatchRow))
        for start, end in zip(starts[~alone], ends[~alone], strict=True)
    ]
    both = pa.concat_batches([rows.take(pa.array(starts[alone])), to_batch(united, MatchRow)])
    return both.take(pc.sort_indices(both, sort_keys=[("row_key", "ascending")]))


def _read_runs(runs: Iterable[Run]) -> pa.RecordBatch:
    by_file: dict[str, list[int]] = defaultdict(list)
    for run in runs:
        by_file[run.path].append(run.batch)
    batches = []
    for path in sorted(by_file):
        with pa.OSFile(path) as source, pa.ipc.open_file(source) as reader:
            batches += [reader.get_batch(number) for number in sorted(by_file[path])]
    return pa.concat_batches(batches)


def _merge_all(rows: Iterator[MatchRow]) -> MatchRow:
    """One row of several that name one URI; the same in whatever order they come."""
    same = list(rows)
    first = min(same, key=lambda row: row.video_id)
    alike = [row for row in same if row.video_id == first.video_id]
    uploader = _stated(row.uploader for row in alike)
    others = {f"{ID}:{row.video_id}" for row in same if row.video_id != first.video_id}
    others |= {f"{UPLOADER}:{row.uploader}" for row in same if row.uploader}
    return MatchRow(
        first.row_key,
        first.video_id,
        first.uri,
        tuple(sorted({label for row in same for label in row.labels})),
        tuple(sorted({hashtag for row in same for hashtag in row.hashtags})),
        uploader,
        _stated(row.licence for row in alike),
        tuple(sorted(others - {f"{UPLOADER}:{uploader}"})),
    )


def _stated(values: Iterable[str | None]) -> str | None:
    """The smallest value that is stated, if one is: no row hides what another says."""
    return min((value for value in values if value), default=None)


def runs_folder(folder: str) -> Path:
    """Where the units of a table leave their runs; it goes when the parts are written."""
    return Path(folder) / ".runs"
