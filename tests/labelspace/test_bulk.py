import json
import random

import pyarrow as pa
import pytest

from labelspace.bulk import (
    extract_hashtag_lists,
    fold_hashtags,
    separate_entries,
    split_hashtag_fields,
)
from labelspace.extract import (
    HashtagError,
    extract_hashtags,
    fold_hashtag,
    split_hashtag_field,
)
from tests.labelspace.test_extract import CONFORMANCE

PIECES = (
    *("#", "＃", "#a", "#1", "#_", "yoga", "Fish_1", " ", "\n", "\0", "\x1c", "\u3000", "1", "&"),
    *("/", "://", "https://a.b/#c", "a.b/", "é", "日本", "#日本", "ﬁ", "ß", "می‌خواهم", "👍🏽"),
    *("\ufe0f", "\u20e3", "\u200d", "|", ",", ";", '"', "'", "[", "]", "{", "("),
    *('["a", "b c"]', "['x', 'y']", "[1, null]", '[{"a": 1}]'),
)


def hostile_texts(count: int) -> list[str | None]:
    rng = random.Random(5)
    texts = ["".join(rng.choices(PIECES, k=rng.randrange(9))) for _ in range(count)]
    return [None if rng.random() < 0.05 else text for text in texts]


def split_or_none(text: str | None) -> list[str] | None:
    try:
        return None if text is None else list(split_hashtag_field(text))
    except HashtagError:
        return None


def test_a_column_of_captions_gives_what_each_caption_gives() -> None:
    captions = hostile_texts(40_000)
    found = extract_hashtag_lists(pa.array(captions, pa.string())).to_pylist()
    assert found == [list(extract_hashtags(caption or "")) for caption in captions]


@pytest.mark.skipif(not CONFORMANCE.is_file(), reason="the shared conformance cases are not here")
def test_a_column_passes_every_conformance_case_of_twitter_text() -> None:
    cases = json.loads(CONFORMANCE.read_text(encoding="utf-8"))
    found = extract_hashtag_lists(pa.array([case["text"] for case in cases]))
    assert found.to_pylist() == [case["expected"] for case in cases]


def test_a_column_of_fields_is_split_as_each_field_is() -> None:
    fields = hostile_texts(40_000)
    found = split_hashtag_fields(pa.array(fields, pa.string())).to_pylist()
    assert found == [split_or_none(field) for field in fields]


def test_a_column_is_folded_as_each_hashtag_is() -> None:
    tags = [text for text in hostile_texts(20_000) if text is not None]
    assert fold_hashtags(pa.array(tags)).to_pylist() == [fold_hashtag(tag) for tag in tags]


@pytest.mark.parametrize("function", [extract_hashtag_lists, split_hashtag_fields])
@pytest.mark.parametrize("texts", [[], [None], [""], [None, ""], ["#a"], ["no", None]])
def test_small_and_empty_columns_keep_their_length(function, texts) -> None:  # type: ignore[no-untyped-def]
    lists = function(pa.array(texts, pa.string()))
    assert lists.type == pa.list_(pa.string())
    assert len(lists) == len(texts)


def test_a_sliced_column_is_read_from_its_start() -> None:
    texts = pa.array(["#no", "#a b", None, "c|d", "#no"]).slice(1, 3)
    assert split_hashtag_fields(texts).to_pylist() == [["a", "b"], None, ["c", "d"]]
    assert extract_hashtag_lists(texts).to_pylist() == [["a"], [], []]


def test_an_entry_of_several_hashtags_is_taken_apart_and_a_phrase_is_not() -> None:
    lists = pa.array([["catching a fish", "#a #b"], None, [None, "#c＃d", "x"], []])
    assert separate_entries(lists).to_pylist() == [
        ["catching a fish", "a", "b"],
        None,
        ["c", "d", "x"],
        [],
    ]
