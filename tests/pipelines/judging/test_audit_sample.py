from collections import Counter

import pytest

from dedup.profiles import PROFILES
from formats.tables import DuplicateRow
from pipelines.judging.audit_sample import AuditSample, allocate, draw_sample, stratum_of

AGGRESSIVE = PROFILES["aggressive"]


def row(
    key: str, distance: int, rule: int = 1, tier: str = "frames", target: str = "t"
) -> DuplicateRow:
    return DuplicateRow(
        key, f"v{key}", "bench", target, 2, 0.0, distance, "full", 0.0, 0.0, "raw", rule, tier
    )


def many(counts: dict[int, int]) -> list[DuplicateRow]:
    """So many removals of each distance, each by one frame."""
    return [
        row(f"{distance}-{number}", distance)
        for distance, count in counts.items()
        for number in range(count)
    ]


def draw(rows: list[DuplicateRow], pairs: int, rng_seed: int = 0) -> AuditSample:
    return draw_sample(rows, AGGRESSIVE, pairs=pairs, near_bits=8, rng_seed=rng_seed)


@pytest.mark.parametrize(
    ("found", "stratum"),
    [
        (row("a", 40), "near"),
        (row("a", 32), "near"),
        (row("a", 31), "middle"),
        (row("a", 16), "middle"),
        (row("a", 15), "far"),
        (row("a", 46), "near"),
        (row("a", 42, rule=2), "middle"),
        (row("a", 60, rule=2), "near"),
        (row("a", 70, rule=3), "near"),
        (row("a", 50, rule=3), "middle"),
        (row("a", 78, rule=4), "near"),
        (row("a", 0, rule=0, tier="sha256"), "exact"),
    ],
)
def test_a_removal_is_as_near_as_its_closest_frame_to_the_limit_of_its_rule(found, stratum):
    assert stratum_of(found, AGGRESSIVE, 8) == stratum


def test_half_of_the_sample_is_near_the_threshold_and_the_rest_by_size():
    sample = draw(many({38: 100, 25: 60, 3: 240}), 20)
    assert Counter(one.stratum for one in sample.drawn) == {"near": 10, "middle": 2, "far": 8}
    assert sample.sizes == {"near": 100, "middle": 60, "far": 240, "exact": 0}


def test_a_video_is_one_removal_shown_with_its_surest_match():
    rows = [
        row("a", 38, target="unsure"),
        row("a", 5, target="sure"),
        row("b", 38, target="close"),
        row("b", 0, rule=0, tier="uri", target="copy"),
    ]
    sample = draw(rows, 9)
    assert {one.row.target_video_id for one in sample.drawn} == {"sure", "copy"}
    assert sample.sizes == {"near": 0, "middle": 0, "far": 1, "exact": 1}


def test_the_same_seed_draws_the_same_and_a_larger_sample_holds_a_smaller():
    rows = many({38: 60, 25: 60, 3: 60})
    small, large = draw(rows, 12), draw(rows, 40)
    assert small == draw(rows, 12)
    assert set(small.drawn) < set(large.drawn)
    assert set(small.drawn) != set(draw(rows, 12, rng_seed=1).drawn)
    assert [one.pair for one in large.drawn] == sorted(one.pair for one in large.drawn)


def test_the_draw_does_not_follow_the_distance():
    sample = draw(many({40: 300, 32: 300}), 200)
    share = sum(one.row.min_distance == 40 for one in sample.drawn) / 200
    assert 0.4 < share < 0.6


def test_fewer_removals_than_pairs_are_all_drawn():
    sample = draw(many({38: 2, 25: 1, 3: 4}), 50)
    assert len(sample.drawn) == 7
    assert len({one.pair for one in sample.drawn}) == 7


def test_every_group_is_looked_at_however_small_it_is():
    assert allocate({"near": 1000, "middle": 1, "far": 100_000, "exact": 1}, 10) == {
        "near": 4,
        "middle": 1,
        "far": 4,
        "exact": 1,
    }
    assert allocate({"near": 0, "far": 7}, 5) == {"far": 5}
    assert allocate({}, 5) == {}
