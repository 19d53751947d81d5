from functools import partial

import pytest

from labelspace.expansion import HashtagLabel, expand_seeds, gerunds
from labelspace.hashtags import expand_label
from labelspace.seeds import Seed, SeedSet, load_seeds


def phrases(*labels: str) -> SeedSet:
    return SeedSet("mine", tuple(Seed(label, "phrase") for label in labels))


def test_phrases_become_sorted_rows_and_their_collisions_are_listed() -> None:
    expansion = expand_seeds(phrases("surfing", "Kite surf", "surf kite"))
    assert expansion.rows == (
        HashtagLabel("kitesurf", "Kite surf"),
        HashtagLabel("kitesurf", "surf kite"),
        HashtagLabel("surf", "surfing"),
        HashtagLabel("surfing", "surfing"),
        HashtagLabel("surfkite", "Kite surf"),
        HashtagLabel("surfkite", "surf kite"),
    )
    both = ("Kite surf", "surf kite")
    assert expansion.collisions == (("kitesurf", both), ("surfkite", both))
    assert (expansion.truncated, expansion.without_hashtags) == ((), ())


def test_the_order_of_the_seeds_does_not_matter() -> None:
    labels = ("surfing", "Kite surf", "surf kite", "yoga")
    assert expand_seeds(phrases(*labels)) == expand_seeds(phrases(*reversed(labels)))


def test_kinetics_expands_to_5563_hashtags_with_24_collisions() -> None:
    expansion = expand_seeds(load_seeds("kinetics"))
    assert len({row.hashtag for row in expansion.rows}) == 5563
    assert (len(expansion.rows), len(expansion.collisions)) == (5563 + 24, 24)


def test_short_and_blocked_hashtags_are_left_out_and_bare_labels_named() -> None:
    expansion = expand_seeds(
        phrases("ski jump", "yoga", "lunge"), min_length=5, blocklist=["#Jump_Ski", "lunge"]
    )
    assert expansion.rows == (HashtagLabel("skijump", "ski jump"),)
    assert expansion.without_hashtags == ("lunge", "yoga")


def test_a_truncated_label_is_reported_with_what_was_kept() -> None:
    seeds = phrases("riding or walking with horse", "yoga")
    expansion = expand_seeds(seeds, expand_phrase=partial(expand_label, max_hashtags=3))
    (truncated,) = expansion.truncated
    kept = {row.hashtag for row in expansion.rows if row.label == truncated.label}
    assert truncated.label == "riding or walking with horse"
    assert truncated.hashtags == kept
    assert len(kept) == 3


def test_verbs_stand_as_lemma_and_gerund_and_nouns_as_themselves() -> None:
    seeds = (Seed("catch", "verb"), Seed("fish", "noun", "n02512053"))
    assert expand_seeds(SeedSet("mine", seeds)).rows == (
        HashtagLabel("catch", "catch"),
        HashtagLabel("catching", "catch"),
        HashtagLabel("fish", "fish", "label", "n02512053"),
    )
    assert [row.role for row in expand_seeds(SeedSet("mine", seeds, joined=True)).rows] == [
        "verb",
        "verb",
        "noun",
    ]


def test_a_word_that_is_verb_and_noun_is_no_collision_in_a_joined_set() -> None:
    seeds = (Seed("iron", "verb"), Seed("iron", "noun", "n03584829"))
    expansion = expand_seeds(SeedSet("mine", seeds, joined=True))
    assert [row[:3] for row in expansion.rows] == [
        ("iron", "iron", "noun"),
        ("iron", "iron", "verb"),
        ("ironing", "iron", "verb"),
        ("ironning", "iron", "verb"),
    ]
    assert expansion.collisions == ()


@pytest.mark.parametrize(("name", "hashtags"), [("verb", 917), ("noun", 1804)])
def test_the_verb_and_noun_seeds_have_no_collisions(name: str, hashtags: int) -> None:
    expansion = expand_seeds(load_seeds(name))
    assert (len(expansion.rows), expansion.collisions) == (hashtags, ())


@pytest.mark.parametrize(
    ("verb", "expected"),
    [
        ("dance", ("dancing",)),
        ("be", ("being",)),
        ("agree", ("agreeing",)),
        ("tiptoe", ("tiptoeing",)),
        ("dye", ("dyeing",)),
        ("singe", ("singeing",)),
        ("change", ("changing",)),
        ("die", ("dying",)),
        ("panic", ("panicking",)),
        ("run", ("running",)),
        ("quit", ("quitting",)),
        ("play", ("playing",)),
        ("mix", ("mixing",)),
        ("read", ("reading",)),
        ("carry", ("carrying",)),
        ("equip", ("equiping", "equipping")),
        ("travel", ("traveling", "travelling")),
    ],
)
def test_gerunds_follow_english_spelling(verb: str, expected: tuple[str, ...]) -> None:
    assert gerunds(verb) == expected
