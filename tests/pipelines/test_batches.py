from pathlib import Path

import pyarrow as pa

from formats.tables import LedgerRow, part_files, read_rows, to_batch
from pipelines.batches import ArrowCoder, TableSink, bucket_rows, on_pairs


def row(number: int) -> LedgerRow:
    return LedgerRow(f"{number:08x}ff", f"v{number}", "clip", None, "shard")


def test_every_row_goes_to_the_bucket_of_its_key() -> None:
    found = dict(bucket_rows([row(n) for n in range(10)], LedgerRow, 3))
    assert {b: batch.column("video_id").to_pylist() for b, batch in found.items()} == {
        0: ["v0", "v3", "v6", "v9"],
        1: ["v1", "v4", "v7"],
        2: ["v2", "v5", "v8"],
    }
    assert list(bucket_rows([], LedgerRow, 3)) == []


def test_a_bucket_is_written_sorted_whatever_the_order_of_its_batches(tmp_path: Path) -> None:
    batches = [to_batch([row(n) for n in group], LedgerRow) for group in ((5, 1), (3,))]
    sinks = [TableSink(str(tmp_path / name), LedgerRow, 1, ("row_key",)) for name in "ab"]
    paths = [sinks[0].write(0, batches), sinks[1].write(0, batches[::-1])]
    assert Path(paths[0]).read_bytes() == Path(paths[1]).read_bytes()
    assert list(read_rows(paths[0], LedgerRow)) == [row(1), row(3), row(5)]
    assert part_files(str(tmp_path / "a")) == [paths[0]]


def test_a_slice_is_coded_without_its_parent() -> None:
    batch = pa.record_batch({"x": list(range(100_000))})
    coded = ArrowCoder().encode(batch.slice(7, 2))
    assert ArrowCoder().decode(coded).to_pydict() == {"x": [7, 8]}
    assert len(coded) < 1000


def test_a_function_of_two_takes_a_pair() -> None:
    assert on_pairs(lambda key, value, more: (key, value, more), "!")(("k", "v")) == ("k", "v", "!")
