import pytest

from labelspace.hashtags import LabelError
from labelspace.overlap import DEFINITIONS, Overlap, overlap


def test_each_definition_of_overlap_covers_its_own_targets() -> None:
    targets: dict[str, list[str]] = {
        "Taking": [],  # same stem
        "take": [],  # exact
        "take-off": [],  # only its first word
        "turn-on": ["take"],  # only a synonym
        "put-on": ["take-away"],  # only a synonym's first word
        "cut the fish": ["carve"],  # same words, another order
        "oil:olive": [],
    }
    assert overlap(["take", "fish cut"], targets) == Overlap(
        targets=("Taking", "cut the fish", "oil:olive", "put-on", "take", "take-off", "turn-on"),
        exact=("take",),
        stems=("Taking", "cut the fish", "take"),
        head=("Taking", "cut the fish", "take", "take-off"),
        members=("Taking", "cut the fish", "take", "turn-on"),
        member_heads=("Taking", "cut the fish", "put-on", "take", "take-off", "turn-on"),
    )


def test_overlap_is_a_share_of_the_targets_labels() -> None:
    assert overlap(["yoga"], ["Yoga", "ski", "surf", "yogas"]).fractions() == {
        "exact": 0.25,
        "stems": 0.5,
        "head": 0.5,
        "members": 0.5,
        "member_heads": 0.5,
    }
    assert set(overlap(["yoga"], []).fractions().values()) == {0.0}


def test_a_target_label_without_letters_is_refused() -> None:
    with pytest.raises(LabelError, match="needs a letter or digit"):
        overlap(["yoga"], ["--"])


def test_every_definition_has_one_sentence_and_a_number() -> None:
    assert list(DEFINITIONS) == list(overlap(["yoga"], ["yoga"]).fractions())
    assert all(text.endswith(".") and text.count(". ") == 0 for text in DEFINITIONS.values())


def test_what_is_covered_and_what_is_not_are_all_of_the_target() -> None:
    found = overlap(["yoga"], ["Yoga", "ski", "yogas"])
    assert (found.covered("exact"), found.uncovered("exact")) == (("Yoga",), ("ski", "yogas"))
    assert (found.covered("stems"), found.uncovered("stems")) == (("Yoga", "yogas"), ("ski",))
    with pytest.raises(KeyError):
        found.covered("targets")


def test_a_definition_covers_what_the_tighter_ones_do() -> None:
    found = overlap(["catch ing", "put"], {"catching": [], "put-on": [], "x": ["put"]})
    exact, stems, head, members, all_ = (set(found.covered(name)) for name in DEFINITIONS)
    assert exact == {"catching"}
    assert exact <= stems <= head <= all_
    assert stems <= members <= all_


def test_labels_of_a_verb_and_a_noun_are_compared_as_a_whole() -> None:
    found = overlap(
        ["catch fish", "cut onion"], ["catching fish", "cut:onion", "cut", "fish catch"]
    )
    assert found.stems == ("catching fish", "cut:onion", "fish catch")
    assert found.exact == ("cut:onion",)
