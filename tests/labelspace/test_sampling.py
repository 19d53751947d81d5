import itertools
import math
import random
from collections import Counter

import pytest

from labelspace.sampling import (
    assign_label,
    hash_order,
    label_subset,
    random_subset,
    square_root_repeats,
    subset_order,
    tail_preserving_quotas,
    tail_preserving_subset,
)

KEYS = [f"v{i}" for i in range(5000)]
ZIPF = {f"label{i:03}": max(1, 100_000 // (i + 1) ** 2) for i in range(200)}


def test_hash_order_is_the_same_everywhere_and_for_ever() -> None:
    # Written down: a change would reshuffle every published dataset.
    assert hash_order("v1", rng_seed=0, purpose="subset") == subset_order("v1", rng_seed=0)
    assert hash_order("v1", rng_seed=0, purpose="subset") == 8769808523424197122
    assert hash_order("v1\ud800", rng_seed=0, purpose="subset") < 2**64


def test_hash_order_differs_by_key_seed_and_purpose() -> None:
    orders = {
        hash_order(key, rng_seed=seed, purpose=purpose)
        for key in ("v1", "v2")
        for seed in (0, 1, -1)
        for purpose in ("a", "b")
    }
    assert len(orders) == 12


def test_labels_are_assigned_evenly_and_without_regard_to_order() -> None:
    labels = ["ski", "surf", "yoga"]
    assigned = [assign_label(key, labels, rng_seed=0) for key in KEYS]
    assert assigned == [assign_label(key, labels[::-1] * 2, rng_seed=0) for key in KEYS]
    assert assigned != [assign_label(key, labels, rng_seed=1) for key in KEYS]
    # Five standard deviations of a fair draw.
    spread = 5 * math.sqrt(len(KEYS) * 2 / 9)
    assert all(abs(count - len(KEYS) / 3) < spread for count in Counter(assigned).values())


def test_losing_a_label_changes_only_the_videos_that_had_it() -> None:
    before = {key: assign_label(key, ["ski", "surf", "yoga"], rng_seed=0) for key in KEYS}
    after = {key: assign_label(key, ["ski", "surf"], rng_seed=0) for key in KEYS}
    assert {before[key] for key in KEYS if before[key] != after[key]} == {"yoga"}


def test_a_video_without_labels_gets_none() -> None:
    with pytest.raises(ValueError, match="video 'v1' has no label"):
        assign_label("v1", [], rng_seed=0)


def test_draws_are_proportional_to_the_square_root_of_videos_and_as_many_as_videos() -> None:
    repeats = square_root_repeats(ZIPF)
    draws = {label: repeats[label] * videos for label, videos in ZIPF.items()}
    assert math.fsum(draws.values()) == pytest.approx(sum(ZIPF.values()))
    ratios = [draws[label] / math.sqrt(videos) for label, videos in ZIPF.items()]
    assert max(ratios) == pytest.approx(min(ratios))
    assert square_root_repeats({"a": 7, "b": 7}) == pytest.approx({"a": 1.0, "b": 1.0})


def test_repeats_are_bit_identical_in_any_order_of_labels() -> None:
    shuffled = list(ZIPF.items())
    random.Random(3).shuffle(shuffled)
    assert list(square_root_repeats(dict(shuffled)).items()) == list(
        square_root_repeats(ZIPF).items()
    )


def test_a_label_without_a_video_cannot_be_drawn() -> None:
    with pytest.raises(ValueError, match="labels without a video cannot be drawn: b, c"):
        square_root_repeats({"a": 1, "c": 0, "b": 0})


def test_random_subsets_are_exact_nested_and_free_of_order() -> None:
    whole = random_subset(KEYS, 10**6, rng_seed=0)
    assert sorted(whole) == sorted(KEYS)
    for size in (0, 1, 500, 1000):
        assert random_subset(KEYS[::-1] + KEYS[:9], size, rng_seed=0) == whole[:size]
    assert random_subset(KEYS, 500, rng_seed=1) != whole[:500]


def test_a_random_subset_can_be_taken_in_parts() -> None:
    parts = [random_subset(KEYS[i::4], 300, rng_seed=0) for i in range(4)]
    combined = [key for part in parts for key in part]
    assert random_subset(combined, 300, rng_seed=0) == random_subset(KEYS, 300, rng_seed=0)


def test_tail_labels_stay_whole_and_head_labels_are_thinned() -> None:
    videos = {"head": 900, "middle": 80, "tail": 10}
    quotas = {size: tail_preserving_quotas(videos, size) for size in (0, 2, 30, 101, 200, 5000)}
    assert quotas == {
        0: {"head": 0, "middle": 0, "tail": 0},
        2: {"head": 1, "middle": 1, "tail": 0},
        30: {"head": 10, "middle": 10, "tail": 10},
        101: {"head": 46, "middle": 45, "tail": 10},
        200: {"head": 110, "middle": 80, "tail": 10},
        5000: {"head": 900, "middle": 80, "tail": 10},
    }
    assert tail_preserving_quotas({}, 5) == {}


def test_quotas_add_up_exactly_and_never_shrink_as_the_subset_grows() -> None:
    draw = random.Random(5)
    for _ in range(50):
        videos = {f"l{i}": draw.choice([0, 1, 2, 3, 7, 50]) for i in range(draw.randint(1, 12))}
        total = sum(videos.values())
        smaller = dict.fromkeys(videos, 0)
        for size in range(total + 2):
            quotas = tail_preserving_quotas(videos, size)
            assert sum(quotas.values()) == min(size, total)
            assert all(smaller[label] <= quotas[label] <= videos[label] for label in videos)
            smaller = quotas


def test_quotas_do_not_depend_on_the_order_of_labels() -> None:
    backwards = dict(reversed(ZIPF.items()))
    assert tail_preserving_quotas(backwards, 777) == tail_preserving_quotas(ZIPF, 777)


def test_a_negative_subset_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot hold -1 videos"):
        tail_preserving_quotas({"a": 1}, -1)


def test_tail_preserving_subsets_are_exact_and_nested() -> None:
    keys = {"head": KEYS[:4000], "middle": KEYS[4000:4900], "tail": KEYS[4900:]}
    small = tail_preserving_subset(keys, 500, rng_seed=0)
    large = tail_preserving_subset(keys, 1001, rng_seed=0)
    assert {label: len(chosen) for label, chosen in small.items()} == {
        "head": 200,
        "middle": 200,
        "tail": 100,
    }
    assert sum(map(len, large.values())) == 1001
    assert all(set(small[label]) <= set(large[label]) <= set(keys[label]) for label in keys)


def test_small_label_sets_lie_inside_large_ones() -> None:
    sets = [label_subset(ZIPF, size, rng_seed=0) for size in (0, 20, 40, 80, 199, 200, 999)]
    assert [len(labels) for labels in sets] == [0, 20, 40, 80, 199, 200, 200]
    assert all(set(a) <= set(b) for a, b in itertools.pairwise(sets))
    assert all(labels == sorted(labels) for labels in sets)
    # Random, not the head: about 4 of 20 come from the most frequent fifth.
    assert len(set(sets[1]) & set(list(ZIPF)[:40])) < 12
