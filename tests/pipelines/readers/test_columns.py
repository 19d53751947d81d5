import pyarrow as pa

from formats.tables import CatalogRow, UnreadableRow, from_batch, schema_of
from pipelines.readers.columns import CatalogError, conform, printable


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


def test_white_space_around_what_names_a_post_goes_row_by_row() -> None:
    spaces = [" a ", "\tb\n", "\u3000c\u00a0", "\u00e9 ", None, "d e"]
    names = ["a", "b", "c", "\u00e9", None, "d e"]
    columns = {name: pa.array(spaces) for name in ("caption", "uploader", "licence")}
    ids = {name: pa.array([text or " x" for text in spaces]) for name in ("video_id", "uri")}
    rows = conform(columns | ids, 6, place).rows
    assert rows.column("caption").to_pylist() == spaces
    assert rows.column("uploader").to_pylist() == rows.column("licence").to_pylist() == names
    assert rows.column("uri").to_pylist() == [name or "x" for name in names]
    assert rows.column("uri") == rows.column("video_id")


def test_a_duration_that_is_none_is_a_reason_only_if_it_is_needed() -> None:
    texts = pa.array(["1", "2", "3"])
    columns = {"video_id": texts, "uri": texts, "duration_s": pa.array(["soon", "1:00", ""])}
    assert conform(columns, 3, place).rows.column("duration_s").to_pylist() == [None, 60, None]
    batch = conform(columns, 3, place, needs_length=True)
    assert batch.rows.column("duration_s").to_pylist() == [60, None]
    assert batch.unreadable == (UnreadableRow("x.csv", 10, "duration is no length"),)


def test_a_name_that_is_not_utf8_is_written_in_ascii() -> None:
    assert printable("caf\udce9/\u00e9.csv") == "caf\\xe9/\u00e9.csv"
    assert str(CatalogError("caf\udce9: x")) == "caf\\xe9: x"


def test_no_rows_are_a_batch_of_none() -> None:
    batch = conform({}, 0, place)
    assert (batch.rows.num_rows, batch.rows.schema) == (0, schema_of(CatalogRow))


def test_a_piece_has_a_beginning_and_an_end_and_is_as_long_as_from_the_one_to_the_other() -> None:
    texts = pa.array([str(number) for number in range(7)])
    columns = {
        "video_id": texts,
        "uri": texts,
        "duration_s": pa.array([100.0] * 7),
        "start_s": pa.array([None, None, "1:00", "3", "-1", "", "soon"]),
        "end_s": pa.array(["2.5", "", "70 s", None, "4", "inf", "5"]),
    }
    batch = conform(columns, 7, place)
    assert batch.rows.column("start_s").to_pylist() == [0, None, 60]
    assert batch.rows.column("end_s").to_pylist() == [2.5, None, 70]
    assert batch.rows.column("duration_s").to_pylist() == [2.5, 100, 10]
    assert [(row.line, row.reason) for row in batch.unreadable] == [
        (line, "start and end are no piece of a video") for line in (13, 14, 15, 16)
    ]
