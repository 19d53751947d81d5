from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from formats.tables import (
    DuplicateRow,
    LabelRow,
    LedgerRow,
    TableError,
    VideoRow,
    change_rows,
    count_rows,
    count_values,
    read_rows,
    schema_of,
    write_rows,
)

VIDEO = VideoRow(
    "k",
    "v",
    "stored",
    fingerprint=(b"\0" * 32, b"\1" * 32),
    seconds=(0.0, 0.5),
    versions=("a", "b"),
)


def test_rows_come_back_equal_lists_as_tuples_and_nulls_as_none(tmp_path: Path) -> None:
    path = str(tmp_path / "videos.parquet")
    assert write_rows(path, [VIDEO], VideoRow) == 1
    assert list(read_rows(path, VideoRow)) == [VIDEO]
    assert count_rows(path) == 1


def test_values_in_lists_are_counted_over_row_groups_an_empty_list_as_one(tmp_path: Path) -> None:
    path = str(tmp_path / "videos.parquet")
    rows = [replace(VIDEO, fingerprint=(b"x",) * hashes) for hashes in range(3)]
    write_rows(path, (rows[number % 3] for number in range(70_000)), VideoRow)
    assert count_values(path, "fingerprint") == 70_000 + 23_333
    assert count_values(path, "hashtags") == 0
    with pytest.raises(TableError, match="cannot be read as Parquet"):
        count_values(str(tmp_path / "none.parquet"), "fingerprint")


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    rows = [LabelRow(number, f"label {number}", 5, 4) for number in range(100)]
    for name in ("one", "two"):
        write_rows(str(tmp_path / name), iter(rows), LabelRow)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_schema_says_what_may_be_null_and_how_wide_a_number_is() -> None:
    schema = schema_of(DuplicateRow)
    assert schema.field("offset_s").type == pa.float32()
    assert not schema.field("row_key").nullable
    assert schema_of(VideoRow).field("reason").nullable
    assert schema_of(VideoRow).field("fingerprint").type == pa.list_(pa.binary())


def test_a_file_that_is_no_table_of_ours_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    with pytest.raises(TableError, match="x.parquet: cannot be read as Parquet"):
        list(read_rows(str(path), LabelRow))
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(TableError, match="x.parquet: cannot be read as Parquet"):
        count_rows(str(path))
    write_rows(str(path), [LabelRow(0, "a", 1, 1)], LabelRow)
    with pytest.raises(TableError, match=r"lacks the columns .*row_key"):
        list(read_rows(str(path), VideoRow))


def test_rows_are_changed_or_taken_out_by_key_and_other_tables_stay_the_same_files(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.parquet"
    rows = [LedgerRow(key, f"v{key}", "clip", None, "shard") for key in "abc"]
    write_rows(str(path), rows, LedgerRow)
    before = path.stat()

    def blank(row: LedgerRow) -> LedgerRow:
        return LedgerRow(row.row_key, "", row.fate, None, row.stage)

    assert not change_rows(str(path), LedgerRow, {"x"}, blank)
    assert not change_rows(str(path), LedgerRow, {"a"}, lambda row: row)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert change_rows(str(path), LedgerRow, {"a", "x"}, blank)
    assert list(read_rows(str(path), LedgerRow)) == [blank(rows[0]), *rows[1:]]
    assert b"va" not in path.read_bytes()
    assert change_rows(str(path), LedgerRow, {"b"}, lambda _: None)
    assert list(read_rows(str(path), LedgerRow)) == [blank(rows[0]), rows[2]]
    assert change_rows(str(path), LedgerRow, {"a", "c"}, lambda _: None)
    assert not path.exists()
