from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from formats.tables import CatalogRow, from_batch
from pipelines.options import MatchOptions
from pipelines.readers.columns import BATCH_ROWS, CatalogError
from pipelines.readers.row_groups import check_schema, read_row_group, row_group_starts

DEFAULT = MatchOptions()
Result = tuple[list[CatalogRow], list[tuple[int | None, str]]]


def read(folder: Path, columns: dict[str, pa.Array], row_group_rows: int | None = None) -> Result:
    path = str(folder / "x.parquet")
    pq.write_table(pa.table(columns), path, row_group_size=row_group_rows)
    check_schema(path, DEFAULT)
    batches = [
        batch
        for group, first_row in enumerate(row_group_starts(path))
        for batch in read_row_group(path, group, first_row, DEFAULT)
    ]
    rows = [row for batch in batches for row in from_batch(batch.rows, CatalogRow)]
    return rows, [(row.line, row.reason) for batch in batches for row in batch.unreadable]


def strings(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string()),
        pa.large_list(pa.large_string()),
        pa.list_(pa.dictionary(pa.int32(), pa.string())),
        pa.list_(pa.binary()),
    ],
    ids=str,
)
def test_lists_of_every_kind_are_lists_of_whole_hashtags(tmp_path: Path, kind: pa.DataType) -> None:
    tags = pa.array([["catching a fish", "b"], None, ["c", None]], kind)
    rows, unreadable = read(
        tmp_path,
        {"video_id": strings("1", "2", "3"), "uri": strings("u", "u", "u"), "hashtags": tags},
    )
    assert [row.hashtags for row in rows] == [("catching a fish", "b"), None, ("c",)]
    assert unreadable == []


def test_lists_of_one_length_are_lists(tmp_path: Path) -> None:
    tags = pa.array([["a", "b"], ["c", None]], pa.list_(pa.string(), 2))
    ids = strings("1", "2")
    rows, _ = read(tmp_path, {"video_id": ids, "uri": ids, "hashtags": tags})
    assert [row.hashtags for row in rows] == [("a", "b"), ("c",)]


@pytest.mark.parametrize(
    ("ids", "texts"),
    [
        (pa.array([1, 2**62]), ["1", str(2**62)]),
        (pa.array([1.0, 123456789012.0]), ["1", "123456789012"]),
        (pa.array([Decimal("7.50"), Decimal("1.00")]), ["7.50", "1.00"]),
        (pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
        (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
        (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
        (pa.array([b"a", b"b"]), ["a", "b"]),
        (pa.array([b"a", b"b"], pa.binary(1)), ["a", "b"]),
        (
            pa.ExtensionArray.from_storage(
                pa.uuid(), pa.array([bytes(16), bytes(range(16))], pa.binary(16))
            ),
            ["00000000-0000-0000-0000-000000000000", "00010203-0405-0607-0809-0a0b0c0d0e0f"],
        ),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_ids_of_every_type_become_text(tmp_path: Path, ids: pa.Array, texts: list[str]) -> None:
    rows, unreadable = read(
        tmp_path, {"video_id": ids, "uri": strings("u", "v"), "caption": strings("c", None)}
    )
    assert [row.video_id for row in rows] == texts
    assert unreadable == []


def test_rows_are_reported_by_their_number_in_the_file(tmp_path: Path) -> None:
    unchecked = pa.Array.from_buffers(
        pa.string(), 5, pa.array([b"a", b"b", b"\xff", b"d", b"e"]).buffers()
    )
    columns = {
        "video_id": strings("1", None, "3", " \t", "5"),
        "uri": strings("u", "u", "u", "u", ""),
        "caption": unchecked,
    }
    assert read(tmp_path, columns, row_group_rows=2) == (
        [CatalogRow("1", "u", None, "a")],
        [(2, "no video_id"), (3, "not UTF-8"), (4, "no video_id"), (5, "no uri")],
    )


def test_a_text_of_hashtags_is_split_up_and_an_entry_must_be_utf8(tmp_path: Path) -> None:
    base = {"video_id": strings("1", "2"), "uri": strings("u", "u")}
    rows, _ = read(tmp_path, base | {"hashtags": strings("#a #b", None)})
    assert [row.hashtags for row in rows] == [("a", "b"), None]
    rows, unreadable = read(tmp_path, base | {"hashtags": pa.array([[b"a"], [b"b", b"\xff"]])})
    assert ([row.hashtags for row in rows], unreadable) == ([("a",)], [(2, "not UTF-8")])


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        (pa.array(["1.5", "+2e3", "x", "nan", "1e999", ""]), [1.5, 2000.0] + [None] * 4),
        (pa.array([1, None, 3, 4, 5, 6]), [1.0, None, 3.0, 4.0, 5.0, 6.0]),
        (pa.array([float("nan"), float("inf"), 1, 2, 3, 4.5]), [None, None, 1.0, 2.0, 3.0, 4.5]),
        (pa.array([Decimal("2.5")] * 6), [2.5] * 6),
        (pa.array([90_500, None] * 3, pa.duration("ms")), [90.5, None] * 3),
        (pa.array([90_500_000] * 6, pa.time64("us")), [90.5] * 6),
        (pa.array([True] * 6), [None] * 6),
        (pa.array([{"a": 1}] * 6), [None] * 6),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_a_duration_is_a_finite_number_or_none(
    tmp_path: Path, values: pa.Array, numbers: list[float | None]
) -> None:
    texts = strings(*"abcdef")
    columns = {"video_id": texts, "uri": texts, "caption": texts, "duration_s": values}
    rows, unreadable = read(tmp_path, columns)
    assert ([row.duration_s for row in rows], unreadable) == (numbers, [])


def test_batches_hold_at_most_65536_rows(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    ids = pa.array(range(BATCH_ROWS + 1))
    pq.write_table(pa.table({"video_id": ids, "uri": ids, "caption": ids}), path)
    batches = list(read_row_group(path, None, 0, DEFAULT))
    assert [batch.rows.num_rows for batch in batches] == [BATCH_ROWS, 1]


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("hashtags", [{"a": "b"}], "struct<a: string>"),
        ("hashtags", [[["a"]]], "list<element: list<element: string>>"),
        ("hashtags", [True], "bool"),
        ("video_id", [["a"]], "list<element: string>"),
        ("caption", [{"a": "b"}], "struct<a: string>"),
    ],
)
def test_a_column_of_a_nonsense_type_is_named(
    tmp_path: Path, name: str, values: list[object], kind: str
) -> None:
    path = str(tmp_path / "x.parquet")
    columns = {"video_id": ["1"], "uri": ["u"], "caption": ["c"]} | {name: values}
    pq.write_table(pa.table(columns), path)
    with pytest.raises(CatalogError) as caught:
        check_schema(path, DEFAULT)
    assert str(caught.value).startswith(
        f"{path}: column {name!r} is of type {kind}, in which there is no {name}; write it as text"
    )
    with pytest.raises(CatalogError, match="in which there is no"):
        list(read_row_group(path, 0, 0, DEFAULT))


def test_one_column_may_serve_two_fields_and_have_a_dot_in_its_name(tmp_path: Path) -> None:
    path = str(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a.b": ["u"], "caption": ["c"], "a": ["x"]}), path)
    options = MatchOptions(video_id="a.b", uri="a.b")
    (batch,) = read_row_group(path, 0, 0, options)
    assert list(from_batch(batch.rows, CatalogRow)) == [CatalogRow("u", "u", None, "c")]
