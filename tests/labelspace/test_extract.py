import json
import sys
import time
from pathlib import Path

import pytest

from labelspace.extract import HashtagError, extract_hashtags, fold_hashtag, split_hashtag_field

CONFORMANCE = (
    Path(__file__).parents[3] / "shared" / "data" / "lists"
) / "twitter_text_hashtag_conformance.json"


@pytest.mark.skipif(not CONFORMANCE.is_file(), reason="the shared conformance cases are not here")
def test_every_conformance_case_of_twitter_text_passes() -> None:
    cases = json.loads(CONFORMANCE.read_text(encoding="utf-8"))
    got = [(case["text"], list(extract_hashtags(case["text"]))) for case in cases]
    assert got == [(case["text"], case["expected"]) for case in cases]
    assert len(cases) == 68


@pytest.mark.parametrize(
    ("text", "hashtags"),
    [
        ("#CatchingAFish and #lake_2", ("CatchingAFish", "lake_2")),
        ("(#a) [#b] ,#c! #d.", ("a", "b", "c", "d")),
        ("\uff03全角 #ﬁshing", ("全角", "ﬁshing")),
        ("no#hash &#amp; x_#y", ()),
        ("#1 #2020 #_ #", ()),
        ("#1st #2fast", ("1st", "2fast")),
        ("1#⃣ #️⃣ #️x", ()),
        ("#one#two", ()),
        ("#yoga🧘 🧘#surf", ("yoga", "surf")),
        ("https://a.example/b#c (a.example/#d) #e", ("e",)),
        ("see a.example #f", ("f",)),
        ("https://a.example/ä #g", ("g",)),
        ("#https://a.example", ()),
        ("#می‌خواهم", ("می‌خواهم",)),
    ],
)
def test_hashtags_are_read_out_of_text(text: str, hashtags: tuple[str, ...]) -> None:
    assert extract_hashtags(text) == hashtags


@pytest.mark.parametrize("unit", ["a.", "#", "#1", "#_", "#a", "http://", "1.a", "www.a-", "a/#"])
def test_a_hostile_caption_takes_time_linear_in_its_length(unit: str) -> None:
    start = time.process_time()
    extract_hashtags(unit * 100_000)
    # Quadratic time would be minutes; linear is some 50 ms.
    assert time.process_time() - start < 5


@pytest.mark.parametrize(
    ("tag", "folded"),
    [
        ("#Catching_A_Fish", "catchingafish"),
        ("\uff03\uff39\uff2f\uff27\uff21", "yoga"),
        ("\U0001d5ec\U0001d5fc\U0001d5f4\U0001d5ee", "yoga"),
        ("ﬁshing", "fishing"),
        ("ﾖｶﾞ", "ヨガ"),
        ("Straße", "strasse"),
        ("yoga🧘🏽‍♀️", "yoga"),
        ("🇩🇪surf", "surf"),
        ("\u200fyo\u200dga\ufe0f", "yoga"),
        ("catching a\u00a0fish", "catchingafish"),
        ("İstanbul", "i\u0307stanbul"),
        ("Café", "café"),
        ("push-up", "pushup"),
        ("massaging person\u2019s head", "massagingpersonshead"),
        ("rock, paper & scissors!", "rockpaperscissors"),
        ("a\u200d\u0301", "á"),
        ("🔥", ""),
        ("", ""),
    ],
)
def test_a_hashtag_folds_to_one_spelling(tag: str, folded: str) -> None:
    assert fold_hashtag(tag) == folded


def test_folding_twice_changes_nothing_for_any_character() -> None:
    characters = [chr(c) for c in range(sys.maxunicode + 1) if not 0xD800 <= c < 0xE000]
    changed = [c for c in characters if fold_hashtag(fold := fold_hashtag(c)) != fold]
    assert changed == []


@pytest.mark.parametrize(
    ("text", "hashtags"),
    [
        ("", ()),
        ("[]", ()),
        ("  fishing ", ("fishing",)),
        (
            '["Fishing", "#lake", 2020, "catching a fish"]',
            ("Fishing", "lake", "2020", "catching a fish"),
        ),
        ('["yoga", null, 7]', ("yoga", "7")),
        ("['fishing', 'lake life']", ("fishing", "lake life")),
        ("{fishing,lake}", ("fishing", "lake")),
        ('fishing|"lake life"|"x"', ("fishing", "lake life", "x")),
        ("#a, b;  c ,,", ("a", "b", "c")),
        ("#a #b\tc", ("a", "b", "c")),
        ("#a#b\uff03c", ("a", "b", "c")),
        ('["cut off', ('["cut', "off")),
    ],
)
def test_a_column_of_hashtags_is_split(text: str, hashtags: tuple[str, ...]) -> None:
    assert split_hashtag_field(text) == hashtags


@pytest.mark.parametrize("text", ['[{"name": "fishing"}]', "[true, {}]", '[["a"]]'])
def test_a_list_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(HashtagError, match="may hold only strings"):
        split_hashtag_field(text)


def test_a_deeply_nested_column_is_no_way_to_crash() -> None:
    assert len(split_hashtag_field("[" * 200_000)) == 1
