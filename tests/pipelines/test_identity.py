from pipelines.identity import name_hash, row_key


def test_a_uri_has_one_key_whatever_else_is_said_of_it_and_a_name_none_of_another_kind() -> None:
    uri = "https://example.org/a.mp4"
    assert row_key(uri) == row_key(uri) and len(row_key(uri)) == 32
    assert len({row_key(uri), row_key(f"{uri}#t=1"), row_key(uri.upper()), row_key("")}) == 4
    assert name_hash("id", "ann") != name_hash("uploader", "ann")
    assert len(name_hash("id", "ann")) == 64


def test_a_text_that_is_no_unicode_has_a_key_too() -> None:
    halves = "a\ud800", "a\udfff"
    assert len({*map(row_key, halves), *(name_hash("id", half) for half in halves)}) == 4
