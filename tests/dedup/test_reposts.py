import itertools

import numpy as np
import pytest

from dedup.fingerprint import Fingerprint
from dedup.hashing import mirrored_codes
from dedup.reposts import Facts, Likeness, choose_kept, compare_videos, find_components

RNG = np.random.default_rng(5)
CODES = RNG.integers(0, 256, (12, 32), dtype=np.uint8)
OTHERS = RNG.integers(0, 256, (12, 32), dtype=np.uint8)


def shown(codes: np.ndarray, start_s: float = 0.0) -> Fingerprint:
    seconds = start_s + np.arange(len(codes), dtype=np.float32) / 2
    return Fingerprint(codes, seconds.astype(np.float32), ("raw",) * len(codes))


def recoded(codes: np.ndarray) -> np.ndarray:
    """The hashes with 20 bits wrong, in the fourth the fewest: 5."""
    wrong = np.zeros((len(codes), 256), np.uint8)
    wrong[:, 100:120] = 1
    wrong[3, 105:120] = 0
    return codes ^ np.packbits(wrong, axis=1)


def test_a_copy_is_alike_with_the_closest_frames_as_evidence() -> None:
    found = compare_videos(shown(CODES), shown(recoded(CODES), 10.0))
    assert found == Likeness(12, 5, 1.5, 11.5, "raw", "raw")


def test_a_mirrored_copy_is_alike_and_said_to_be_mirrored() -> None:
    found = compare_videos(shown(CODES), shown(mirrored_codes(recoded(CODES))))
    assert found == Likeness(12, 5, 1.5, 1.5, "raw", "raw+mirror")


@pytest.mark.parametrize(
    "other",
    [CODES[4:8], np.concatenate([OTHERS, CODES, OTHERS])],
    ids=["trimmed", "inside a longer video"],
)
def test_a_part_of_a_video_is_alike_in_either_order(other: np.ndarray) -> None:
    assert compare_videos(shown(CODES), shown(other))
    assert compare_videos(shown(other), shown(CODES))


def test_a_title_in_common_makes_no_repost() -> None:
    other = np.concatenate([CODES[:5], OTHERS[:7]])
    assert compare_videos(shown(CODES), shown(other)) is None


def test_a_video_set_into_another_is_no_repost_of_it() -> None:
    around = shown(np.concatenate([OTHERS, CODES]))
    versions = ("raw",) * 12 + ("inset5-55,40-90",) * 12
    reaction = Fingerprint(around.codes, around.seconds, versions)
    assert compare_videos(shown(CODES), reaction) is None
    assert compare_videos(shown(OTHERS), reaction)


def test_other_videos_and_videos_without_hashes_are_not_alike() -> None:
    none = shown(np.empty((0, 32), np.uint8))
    for one, other in [(CODES, OTHERS), (CODES, none.codes), (none.codes, none.codes)]:
        assert compare_videos(shown(one), shown(other)) is None


def test_components_are_the_same_in_whatever_order_the_pairs_come() -> None:
    pairs = [("e", "d"), ("a", "b"), ("c", "d"), ("b", "f"), ("x", "y")]
    expected = dict.fromkeys("abf", "a") | dict.fromkeys("cde", "c") | dict.fromkeys("xy", "x")
    for order in itertools.permutations(pairs):
        assert find_components(order) == expected


def test_a_long_chain_is_one_component() -> None:
    names = [f"{number:05d}" for number in RNG.permutation(20_000)]
    found = find_components(itertools.pairwise(names))
    assert set(found.values()) == {"00000"} and len(found) == 20_000


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"a": Facts(9.0, False, 9, 9), "b": Facts(10.0, True, 1, 1)}, "b"),
        ({"a": Facts(9.6, False, 9, 9), "b": Facts(10.0, True, 1, 1)}, "a"),
        ({"a": Facts(10.0, True, 9, 9), "b": Facts(10.0, False, 1, 1)}, "b"),
        ({"a": Facts(10.0, False, 1, 9), "b": Facts(10.0, False, 9, 1)}, "b"),
        ({"a": Facts(10.0, False, 9, 1), "b": Facts(10.0, False, 9, 9)}, "b"),
        ({"a": Facts(10.0, False, 9, 9), "b": Facts(10.0, False, 9, 9)}, "a"),
    ],
    ids=["longest", "nearly as long", "no bars", "pixels", "bytes", "key"],
)
def test_the_kept_one_is_the_longest_then_the_least_altered(
    facts: dict[str, Facts], expected: str
) -> None:
    for keys in itertools.permutations(facts):
        assert choose_kept(dict.fromkeys(keys, "a"), facts) == dict.fromkeys(keys, expected)
