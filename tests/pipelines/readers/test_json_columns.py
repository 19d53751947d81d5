import pyarrow as pa

from pipelines.readers.json_columns import hashtag_columns, text_column


def test_texts_stay_texts_and_numbers_become_texts() -> None:
    reasons: dict[int, str] = {}
    assert text_column(["a", None], reasons, None) == pa.array(["a", None])
    values = [1, 1.0, 1.5, 2.0**60, -0.0, float("nan"), float("inf"), None, "\u00e9"]
    texts = [b"1", b"1", b"1.5", b"1.152921504606847e+18", b"0", None, b"inf", None, b"\xc3\xa9"]
    assert text_column(values, reasons, "no text").to_pylist() == texts
    assert reasons == {}


def test_what_is_no_text_is_refused_where_there_is_a_reason_to() -> None:
    values = ["a", True, ["b"], {"c": 1}, None]
    for refusal, expected in ((None, {}), ("no text", dict.fromkeys((1, 2, 3), "no text"))):
        reasons: dict[int, str] = {}
        assert text_column(values, reasons, refusal).to_pylist() == [b"a", *[None] * 4]
        assert reasons == expected


def test_the_first_reason_of_a_row_stays() -> None:
    reasons = {0: "not JSON"}
    text_column([True, "a"], reasons, "no text")
    assert reasons == {0: "not JSON"}


def test_lists_and_texts_of_hashtags_are_told_apart() -> None:
    reasons: dict[int, str] = {}
    columns = hashtag_columns([["a", None], "b c", {"d": 1}, None], reasons)
    assert {name: array.to_pylist() for name, array in columns.items()} == {
        "hashtags": [[b"a"], None, None, None],
        "hashtag_texts": [None, b"b c", None, None],
    }
    assert reasons == {2: "hashtags are no list of texts"}
    assert set(hashtag_columns([["a"], None], reasons)) == {"hashtags"}
