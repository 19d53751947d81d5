import pickle
import random
from collections.abc import Sequence

import pyarrow as pa
import pytest

from labelspace.bulk import fold_hashtags
from labelspace.expansion import HashtagLabel, expand_seeds
from labelspace.extract import fold_hashtag
from labelspace.matching import MATCH_SCHEMA, LabelMatcher
from labelspace.seeds import Seed, SeedSet, load_seeds

Posts = Sequence[Sequence[str | None] | None]


def lists(posts: Posts) -> pa.ListArray:
    return pa.array(posts, type=pa.list_(pa.string()))


def match_one_by_one(matcher: LabelMatcher, posts: Posts) -> list[dict[str, object]]:
    """The plain meaning of match_lists."""
    rows: list[dict[str, object]] = []
    for i, post in enumerate(posts):
        tags = {tag: matcher.labels_of(tag) for tag in post or () if tag is not None}
        labels = sorted({label for of_tag in tags.values() for label in of_tag})
        hashtags = sorted({fold_hashtag(tag) for tag, of_tag in tags.items() if of_tag})
        if labels:
            rows.append({"row": i, "labels": labels, "hashtags": hashtags})
    return rows


@pytest.fixture(scope="module")
def kinetics() -> LabelMatcher:
    return LabelMatcher(expand_seeds(load_seeds("kinetics")).rows)


@pytest.fixture(scope="module")
def verb_noun() -> LabelMatcher:
    return LabelMatcher(expand_seeds(load_seeds("verb_noun")).rows)


def test_a_hashtag_matches_in_any_spelling_but_only_whole(kinetics: LabelMatcher) -> None:
    tags = ["#Catching_Fish", "fishcatch", "ﬁshcatching", "catchingfishes", "using", ""]
    assert [kinetics.labels_of(tag) for tag in tags] == [("catching fish",)] * 3 + [()] * 3


def test_a_hashtag_of_two_labels_stands_for_both(kinetics: LabelMatcher) -> None:
    assert kinetics.labels_of("passAmericanFootball") == (
        "passing American football (in game)",
        "passing American football (not in game)",
    )


def test_a_batch_gives_one_sorted_row_per_matching_post(kinetics: LabelMatcher) -> None:
    batch = kinetics.match_lists(
        lists(
            [
                ["nothing", "here"],
                ["#YOGA🧘", "yoga", "ski", "passAmericanFootball", None],
                None,
                [],
                [None],
                ["surfingwater"],
            ]
        )
    )
    assert batch.schema == MATCH_SCHEMA
    assert batch.to_pylist() == [
        {
            "row": 1,
            "labels": [
                "passing American football (in game)",
                "passing American football (not in game)",
                "skiing (not slalom or crosscountry)",
                "yoga",
            ],
            "hashtags": ["passamericanfootball", "ski", "yoga"],
        },
        {"row": 5, "labels": ["surfing water"], "hashtags": ["surfingwater"]},
    ]


def test_rows_of_a_slice_are_counted_from_its_start(kinetics: LabelMatcher) -> None:
    posts = lists([["yoga"], None, ["no"], ["yoga", "ski"], ["yoga"]])
    assert kinetics.match_lists(posts.slice(1, 3)).to_pylist() == [
        {
            "row": 2,
            "labels": ["skiing (not slalom or crosscountry)", "yoga"],
            "hashtags": ["ski", "yoga"],
        }
    ]


@pytest.mark.parametrize("posts", [[], [None], [[]], [[None, None]], [["no"]], [["é"], [""]]])
def test_a_batch_without_a_match_gives_no_rows(
    kinetics: LabelMatcher, verb_noun: LabelMatcher, posts: Posts
) -> None:
    for matcher in (kinetics, verb_noun, LabelMatcher([])):
        batch = matcher.match_lists(lists(posts))
        assert (batch.schema, batch.num_rows) == (MATCH_SCHEMA, 0)


@pytest.mark.parametrize(
    ("tag", "labels"),
    [
        ("catchtench", ("catch tench",)),
        ("Catching_Tench", ("catch tench",)),
        ("#TenchCatching", ("catch tench",)),
        ("tench", ()),
        ("catch", ()),
        ("catchtenches", ()),
        ("xcatchtench", ()),
        ("ironcrane", ("crane iron", "iron crane")),
        ("catch" + "tench" * 1000, ()),
    ],
)
def test_a_verb_noun_hashtag_is_split_in_both_orders(
    verb_noun: LabelMatcher, tag: str, labels: tuple[str, ...]
) -> None:
    assert verb_noun.labels_of(tag) == labels
    found = verb_noun.match_lists(lists([[tag]])).to_pylist()
    assert [row["labels"] for row in found] == ([list(labels)] if labels else [])


def test_splitting_finds_what_listing_every_concatenation_finds() -> None:
    verbs, nouns = ["a", "ab", "cab"], ["b", "ba", "bab", "a"]
    seeds = tuple(Seed(verb, "verb") for verb in verbs) + tuple(Seed(n, "noun") for n in nouns)
    rows = expand_seeds(SeedSet("mine", seeds, joined=True)).rows
    listed: dict[str, set[str]] = {}
    for verb in (row for row in rows if row.role == "verb"):
        for noun in (row for row in rows if row.role == "noun"):
            for tag in (verb.hashtag + noun.hashtag, noun.hashtag + verb.hashtag):
                listed.setdefault(tag, set()).add(f"{verb.label} {noun.label}")
    matcher = LabelMatcher(rows)
    assert {tag: set(matcher.labels_of(tag)) for tag in listed} == listed
    assert any(len(labels) > 1 for labels in listed.values())


def test_whole_and_split_labels_live_in_one_matcher() -> None:
    matcher = LabelMatcher(
        [
            HashtagLabel("catchfish", "catching fish"),
            HashtagLabel("yoga", "yoga"),
            HashtagLabel("catch", "catch", "verb"),
            HashtagLabel("fish", "fish", "noun"),
        ]
    )
    posts: Posts = [["CatchFish"], ["yoga", "fishcatch"]]
    assert matcher.match_lists(lists(posts)).to_pylist() == [
        {"row": 0, "labels": ["catch fish", "catching fish"], "hashtags": ["catchfish"]},
        {"row": 1, "labels": ["catch fish", "yoga"], "hashtags": ["fishcatch", "yoga"]},
    ]


@pytest.mark.parametrize("space", ["kinetics", "verb_noun"])
def test_a_batch_finds_the_same_as_one_hashtag_at_a_time(
    space: str, request: pytest.FixtureRequest
) -> None:
    matcher: LabelMatcher = request.getfixturevalue(space)
    seeds = expand_seeds(load_seeds(space)).rows
    draw = random.Random(7)
    known = [row.hashtag for row in draw.sample(seeds, 300)]
    pairs = [a + b for a, b in zip(known, reversed(known), strict=True)]
    other = [
        "Nothing",
        "ÜBER",
        "#" + known[0].upper(),
        known[1] + "🧘",
        "_".join(known[2]),
        "",
        "#",
    ]
    posts: list[list[str | None] | None] = [
        None if draw.random() < 0.05 else draw.choices([*known, *pairs, *other, None], k=i % 7)
        for i in range(2000)
    ]
    expected = match_one_by_one(matcher, posts)
    assert matcher.match_lists(lists(posts)).to_pylist() == expected
    assert len(expected) > 300


def test_the_order_of_the_rows_it_is_built_from_does_not_matter(kinetics: LabelMatcher) -> None:
    rows = list(expand_seeds(load_seeds("kinetics")).rows)
    random.Random(1).shuffle(rows)
    posts = lists([["yoga", "ski", "passamericanfootball"]])
    assert LabelMatcher(rows).match_lists(posts) == kinetics.match_lists(posts)


def test_a_matcher_can_be_sent_to_another_process(verb_noun: LabelMatcher) -> None:
    copy = pickle.loads(pickle.dumps(verb_noun))
    posts = lists([["catchingtench"], ["no"]])
    assert copy.match_lists(posts) == verb_noun.match_lists(posts)


def test_a_role_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="role must be label, verb or noun, got 'adjective'"):
        LabelMatcher([HashtagLabel("red", "red", "adjective")])


def test_folding_a_whole_array_equals_folding_each() -> None:
    tags = [chr(code) + "A_" for code in range(128)]
    mixed = [*tags, "\uff39\uff2f\uff27\uff21", "ﬁsh", "a\u200db", "", "Straße", "🔥"]
    for tags_ in (tags, mixed, []):
        folded = fold_hashtags(pa.array(tags_, type=pa.string()))
        assert folded.to_pylist() == [fold_hashtag(tag) for tag in tags_]


def test_as_many_verbs_as_verbnet_has_can_be_split() -> None:
    verbs = [f"verb{i:04}" for i in range(9000)]
    rows = [HashtagLabel(verb, verb, "verb") for verb in verbs]
    matcher = LabelMatcher([*rows, HashtagLabel("fish", "fish", "noun")])
    posts: Posts = [["verb8999fish"], ["fishverb0000"], ["verb9000fish"]]
    assert matcher.match_lists(lists(posts)).column("row").to_pylist() == [0, 1]
