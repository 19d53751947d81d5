from collections import Counter

import numpy as np
import pytest

from formats.shards import REPEAT_UNITS, ShardEntry
from training.draws import Epoch, draw_shard, key_of, mixed, plan, shuffled

KEYS = np.array([key_of(f"{i:016x}") for i in range(50)], np.uint64)
ONCE = np.full(50, REPEAT_UNITS)
SHARDS = [(ShardEntry(f"shard-{i:05d}.tar", 10, 1, ""), 10 * REPEAT_UNITS) for i in range(7)]


def order(epoch: Epoch) -> list[int]:
    drawn = draw_shard(KEYS, ONCE, "a", epoch)
    return drawn.clip_D[shuffled(KEYS[drawn.clip_D], drawn.number_D, epoch)].tolist()


def test_an_epoch_draws_every_clip_once_in_an_order_of_its_own() -> None:
    first, second = order(Epoch(0, 0)), order(Epoch(0, 1))
    assert sorted(first) == sorted(second) == list(range(50))
    assert first != second
    assert first != order(Epoch(1, 0))
    assert first == order(Epoch(0, 0))


def test_repeats_are_kept_on_average_and_never_by_a_draw_more_or_less() -> None:
    repeats = np.array([2.3, 0.25, 0.0, 1.0, 0.7])
    units = np.round(repeats * REPEAT_UNITS).astype(np.int64)
    counts = np.array(
        [
            np.bincount(draw_shard(KEYS[:5], units, "a", Epoch(0, number)).clip_D, minlength=5)
            for number in range(2000)
        ]
    )
    assert [set(column) for column in counts.T.tolist()] == [{2, 3}, {0, 1}, {0}, {1}, {0, 1}]
    np.testing.assert_allclose(counts.mean(0), repeats, atol=0.04)
    # The whole shard has never a draw more or less than its sum allows either.
    assert set(counts.sum(1).tolist()) == {4, 5}


def test_two_clips_of_a_shard_are_drawn_together_as_often_as_others() -> None:
    half = np.full(8, REPEAT_UNITS // 2)
    together = Counter(
        tuple(sorted(draw_shard(KEYS[:8], half, "a", Epoch(0, number)).clip_D.tolist()))
        for number in range(500)
    )
    assert {len(drawn) for drawn in together} == {4}
    assert len(together) > 60  # Of 70.


def test_a_plan_knows_how_many_draws_each_shard_has_without_its_clips() -> None:
    rng = np.random.default_rng(0)
    for number in range(50):
        units = rng.integers(0, 3 * REPEAT_UNITS, 50)
        entry, epoch = ShardEntry("a", 50, 1, ""), Epoch(0, number)
        (window,) = plan([(entry, int(units.sum()))], 1, epoch)
        assert window.end == len(draw_shard(KEYS, units, "a", epoch).clip_D)


def test_draws_of_one_clip_are_told_apart() -> None:
    drawn = draw_shard(KEYS[:1], 3 * ONCE[:1], "a", Epoch(0, 0))
    assert sorted(drawn.number_D.tolist()) == [0, 1, 2]
    epoch = Epoch(0, 0)
    assert epoch.fractions("frames", "aa", 0) != epoch.fractions("frames", "aa", 1)


def test_windows_hold_every_shard_once_in_another_order_each_epoch() -> None:
    first, second = plan(SHARDS, 3, Epoch(0, 0)), plan(SHARDS, 3, Epoch(0, 1))
    assert [(len(w.shards), w.first, w.end) for w in first] == [
        (3, 0, 30),
        (3, 30, 60),
        (1, 60, 70),
    ]
    assert sorted(s.path for w in first for s in w.shards) == [s.path for s, _ in SHARDS]
    assert [w.shards for w in first] != [w.shards for w in second]


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written down once: a run that goes on elsewhere must not begin another order.
    assert order(Epoch(7, 3))[:8] == [46, 26, 8, 33, 44, 25, 40, 2]
    assert mixed(np.array([0, 1], np.uint64), 2**63).tolist() == [
        2720858781877447050,
        2507104972516670462,
    ]


def test_fractions_are_uniform_and_below_one() -> None:
    numbers = [f for i in range(1000) for f in Epoch(0, 0).fractions(i)]
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)
