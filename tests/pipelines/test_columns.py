import pyarrow as pa

from formats.tables import CatalogRow, UnreadableRow, from_batch, schema_of
from pipelines.columns import conform


def place(row: int) -> tuple[str, int | None]:
    return "x.csv", row + 10


def test_a_row_has_one_reason_and_what_the_reader_says_goes_first() -> None:
    columns = {
        "video_id": pa.array(["1", None, "3", b"\xff", None, "6"], pa.binary()),
        "uri": pa.array(["u", "u", "  ", None, None, "u"], pa.binary()),
        "hashtags": pa.array(["a", b"\xff", "b", "c", "d", None], pa.binary()),
    }
    batch = conform(columns, 6, place, {4: "not JSON"})
    assert batch.rows.schema == schema_of(CatalogRow)
    assert list(from_batch(batch.rows, CatalogRow)) == [
        CatalogRow("1", "u", ("a",)),
        CatalogRow("6", "u"),
    ]
    assert batch.unreadable == (
        UnreadableRow("x.csv", 11, "not UTF-8"),
        UnreadableRow("x.csv", 12, "no uri"),
        UnreadableRow("x.csv", 13, "not UTF-8"),
        UnreadableRow("x.csv", 14, "not JSON"),
    )


def test_lists_and_texts_of_hashtags_come_together() -> None:
    columns = {
        "video_id": pa.array(["1", "2", "3"]),
        "uri": pa.array(["u", "u", "u"]),
        "hashtags": pa.array([["a b"], None, None]),
        "hashtag_texts": pa.array([None, "a b", None]),
    }
    lists = conform(columns, 3, place).rows.column("hashtags")
    assert lists.to_pylist() == [["a b"], ["a", "b"], None]


def test_no_rows_are_a_batch_of_none() -> None:
    batch = conform({}, 0, place)
    assert (batch.rows.num_rows, batch.rows.schema) == (0, schema_of(CatalogRow))
