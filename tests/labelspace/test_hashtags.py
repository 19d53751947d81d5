import importlib
import itertools
import math
import time
from collections import defaultdict

import pytest
import regex

from labelspace.extract import fold_hashtag
from labelspace.hashtags import (
    LabelError,
    expand_label,
    label_words,
    relevant_hashtags,
    stem_word,
    word_tools,
)
from labelspace.seeds import load_seeds

LONGEST = (
    "Putting something that cannot actually stand upright upright on the table, "
    "so it falls on its side"
)


def test_the_papers_example_comes_out_whole() -> None:
    words = itertools.chain(
        itertools.permutations(["catching", "a", "fish"]),
        itertools.permutations(["catch", "a", "fish"]),
        itertools.permutations(["catching", "fish"]),
        itertools.permutations(["catch", "fish"]),
    )
    expected = {"".join(order) for order in words}
    assert {"catchingafish", "catchfish", "fishcatching"} <= expected
    assert relevant_hashtags("catching a fish") == expected


def test_the_kinetics_labels_have_5563_hashtags_of_which_24_name_two_labels() -> None:
    labels = defaultdict(set)
    for seed in load_seeds("kinetics").seeds:
        expanded = expand_label(seed.label)
        assert not expanded.truncated
        for hashtag in expanded.hashtags:
            labels[hashtag].add(seed.label)
    assert len(labels) == 5563
    collisions = [frozenset(of_hashtag) for of_hashtag in labels.values() if len(of_hashtag) > 1]
    pair = {"passing American football (in game)", "passing American football (not in game)"}
    assert collisions == [frozenset(pair)] * 24


@pytest.mark.parametrize(
    ("label", "size"),
    [
        ("riding or walking with horse", 1392),
        ("exercising with an exercise ball", 609),
        ("catching or throwing frisbee", 240),
        ("baby waking up", 24),
        ("skiing (not slalom or crosscountry)", 2),
        ("yoga", 1),
    ],
)
def test_the_worst_labels_have_as_many_hashtags_as_counted(label: str, size: int) -> None:
    assert len(relevant_hashtags(label)) == size


def test_words_that_turn_the_meaning_round_are_never_dropped() -> None:
    assert relevant_hashtags("push up") == {"pushup", "uppush"}


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("massaging person's head", ("massaging", "persons", "head")),
        ("Tai Chi", ("tai", "chi")),
        ("rock-climbing 2", ("rock", "climbing", "2")),
        ("punching person (boxing)", ("punching", "person")),
        ("punching (boxing", ("punching",)),
        ("(boxing)", ("boxing",)),
        ("ﬁsh Straße", ("fish", "strasse")),
    ],
)
def test_a_label_is_cut_into_folded_words(label: str, words: tuple[str, ...]) -> None:
    assert label_words(label) == words


def test_forms_can_be_chosen() -> None:
    assert relevant_hashtags("dancing", ("original",)) == {"dancing"}
    assert relevant_hashtags("dancing", ("stem",)) == {"danc"}
    assert stem_word("dancing") == "danc"


def test_lemmas_are_given_where_lemminflect_is_installed() -> None:
    pytest.importorskip("lemminflect")
    assert relevant_hashtags("dancing crowds", ("lemma",)) == {"dancecrowd", "crowddance"}
    assert relevant_hashtags("xyzzyq", ("lemma",)) == {"xyzzyq"}


def test_lemmas_without_lemminflect_are_refused_with_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(importlib.sys.modules, "lemminflect", None)  # type: ignore[attr-defined]
    with pytest.raises(LabelError, match="needs the package lemminflect: .*pip install"):
        relevant_hashtags("unseenword", ("lemma",))


@pytest.mark.parametrize("forms", [("original", "root"), ()])
def test_unknown_forms_are_refused(forms: tuple[str, ...]) -> None:
    with pytest.raises(LabelError, match="forms must be some of original, stem, lemma"):
        relevant_hashtags("fish", forms)


@pytest.mark.parametrize("label", ["", "  ", "#!?", "()"])
def test_a_label_without_a_letter_or_digit_is_refused(label: str) -> None:
    with pytest.raises(LabelError, match="needs a letter or digit"):
        relevant_hashtags(label)


def test_an_endless_label_is_refused() -> None:
    with pytest.raises(LabelError, match="over 500 characters"):
        relevant_hashtags("go " * 200)


@pytest.mark.parametrize(
    "label",
    [
        LONGEST,
        " ".join("a" * length for length in range(1, 18)),  # every order spells the same
        " ".join(["on"] * 160),
        " ".join(["running"] * 60),
        "on the a an to with of in at by or and for from onto into",
    ],
)
def test_a_label_with_too_many_spellings_ends_soon_and_says_so(label: str) -> None:
    start = time.process_time()
    expanded = expand_label(label, max_hashtags=1000)
    assert expanded.truncated
    assert 1 <= len(expanded.hashtags) <= 1000
    assert time.process_time() - start < 5


def test_the_labels_own_order_in_its_own_words_is_given_up_last() -> None:
    assert expand_label("catching a big fish", max_hashtags=1).hashtags == {"catchingabigfish"}
    assert expand_label("catching a big fish", max_hashtags=4).hashtags == {
        "catchingabigfish",
        "catchingbigfish",
        "catchabigfish",
        "catchbigfish",
    }
    first = "puttingsomethingthatcannotactuallystanduprightupright"
    assert expand_label(LONGEST, max_hashtags=2).hashtags == {
        first + "onthetablesoitfallsonitsside",
        first + "tablesoitfallsitsside",
    }


def test_a_smaller_allowance_keeps_a_subset_of_a_larger_one() -> None:
    label = "riding or walking with horse"
    sets = [expand_label(label, max_hashtags=size).hashtags for size in (10, 100, 1391, 1392, 5000)]
    assert [len(hashtags) for hashtags in sets] == [10, 100, 1391, 1392, 1392]
    assert all(small <= large for small, large in itertools.pairwise(sets))
    flags = [expand_label(label, max_hashtags=size).truncated for size in (1391, 1392)]
    assert flags == [True, False]


def test_choices_count_words_forms_and_orders() -> None:
    # Two content words of two forms, one function word to keep or drop.
    assert expand_label("catching or throwing").choices == 2 * 2 * (math.factorial(3) + 2)
    # A function word alone must stay.
    assert expand_label("on").choices == 1
    assert expand_label(LONGEST).choices > 10**16


def test_the_tools_that_spelling_depends_on_are_named() -> None:
    assert sorted(word_tools()) == ["nltk", "stemmer", "unicode"]


@pytest.mark.parametrize(
    ("label", "hashtag"),
    [
        ("yoga ❤️", "yoga"),
        ("1️⃣ place", "1place"),
        ("コーヒー・タイム", "コーヒータイム"),
        ("paral·lel", "parallel"),
        ("צה״ל", "צהל"),
        ("בית־ספר", "ביתספר"),
        ("བོད་སྐད", "བོདསྐད"),
        ("می‌خواهم", "میخواهم"),
        ("か゛く", "がく"),
        ("ᄀ ᅡ", "가"),
    ],
)
def test_a_label_of_any_script_stands_for_its_own_hashtag(label: str, hashtag: str) -> None:
    assert hashtag in relevant_hashtags(label)
    assert fold_hashtag(label) == hashtag


def test_every_hashtag_is_spelled_as_it_is_looked_up_whatever_the_character() -> None:
    ideographs = [*range(0x3400, 0xD7A4), *range(0x20000, 0x40000)]  # Alike: every 97th will do.
    for code in sorted({*range(0x110000)} - {*ideographs} | {*ideographs[::97]}):
        character = chr(code)
        if not regex.match(r"[\p{L}\p{M}\p{N}\p{Cf}]", character):
            continue
        found = relevant_hashtags(f"a {character}b c{character}")
        assert all(fold_hashtag(hashtag) == hashtag for hashtag in found), hex(code)


@pytest.mark.parametrize("name", ["kinetics", "something_something"])
def test_a_label_as_people_type_it_is_one_of_its_hashtags(name: str) -> None:
    for seed in load_seeds(name).seeds:
        if "(" not in seed.label:
            assert fold_hashtag(seed.label) in relevant_hashtags(seed.label, max_hashtags=100)
