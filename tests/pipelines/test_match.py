import pyarrow as pa

from formats.tables import CatalogRow, HashtagRow, MatchRow, from_batch, read_rows, to_batch
from labelspace.matching import LabelMatcher
from pipelines.match import match_batch, row_key, write_matches

MATCHER = LabelMatcher([HashtagRow("yoga", "yoga"), HashtagRow("catchfish", "catching a fish")])


def matches(*rows: CatalogRow) -> list[MatchRow]:
    return list(from_batch(match_batch(to_batch(rows, CatalogRow), MATCHER), MatchRow))


def test_hashtags_are_found_in_lists_fields_and_captions() -> None:
    found = matches(
        CatalogRow("listed", "u1", ("Yoga", "fyp")),
        CatalogRow("field", "u2", ('["catch_fish", "x"]',)),
        CatalogRow("caption", "u3", None, "morning #YOGA and \uff03CatchFish!", "up", "CC0"),
        CatalogRow("none", "u4", ("nature",), "no yoga without a sign"),
    )
    assert found == [
        MatchRow(row_key("u1"), "listed", "u1", ("yoga",), ("yoga",)),
        MatchRow(row_key("u2"), "field", "u2", ("catching a fish",), ("catchfish",)),
        MatchRow(
            row_key("u3"),
            "caption",
            "u3",
            ("catching a fish", "yoga"),
            ("catchfish", "yoga"),
            "up",
            "CC0",
        ),
    ]


def test_a_batch_without_a_match_gives_no_rows() -> None:
    assert matches(CatalogRow("a", "u", ("x",)), CatalogRow("b", "v")) == []


def test_rows_with_one_uri_become_one_whatever_their_order(tmp_path: object) -> None:
    rows = [
        MatchRow("0a", "second", "u", ("yoga",), ("yoga",), "z"),
        MatchRow("0a", "first", "u", ("archery",), ("archery",), "y"),
        MatchRow("0b", "third", "w", ("yoga",), ("yoga",)),
    ]
    written = []
    for order in (rows, rows[::-1]):
        batches: list[pa.RecordBatch] = [to_batch([row], MatchRow) for row in order]
        path, merged = write_matches(0, batches, str(tmp_path), 1)
        assert merged == 1
        written.append(list(read_rows(path, MatchRow)))
    united = MatchRow("0a", "first", "u", ("archery", "yoga"), ("archery", "yoga"), "y")
    assert written == [[united, rows[2]]] * 2
