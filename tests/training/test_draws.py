from collections import Counter

import pytest

from formats.shards import ShardEntry
from training.draws import ClipFacts, Epoch, draw_clips, windows

CLIPS = [ClipFacts(f"{i:016x}", i % 3, 1.0) for i in range(50)]
SHARDS = [ShardEntry(f"shard-{i:05d}.tar", 10, 1, "") for i in range(7)]


def ids(clips: list[ClipFacts], epoch: Epoch) -> list[str]:
    return [draw.clip.clip_id for draw in draw_clips(clips, epoch)]


def test_an_epoch_draws_every_clip_once_in_an_order_of_its_own() -> None:
    first, second = ids(CLIPS, Epoch(0, 0)), ids(CLIPS, Epoch(0, 1))
    assert sorted(first) == sorted(second) == [clip.clip_id for clip in CLIPS]
    assert first != second
    assert first != ids(CLIPS, Epoch(1, 0))


def test_the_order_of_the_clips_given_does_not_matter() -> None:
    assert draw_clips(CLIPS[::-1], Epoch(3, 4)) == draw_clips(CLIPS, Epoch(3, 4))


def test_repeats_are_kept_on_average() -> None:
    clips = [ClipFacts("aa", 0, 2.3), ClipFacts("bb", 0, 0.25), ClipFacts("cc", 0, 0.0)]
    counts = [Counter(ids(clips, Epoch(0, number))) for number in range(1000)]
    assert {count["aa"] for count in counts} == {2, 3}
    means = {name: sum(c[name] for c in counts) / 1000 for name in ("aa", "bb", "cc")}
    assert means == {
        "aa": pytest.approx(2.3, abs=0.05),
        "bb": pytest.approx(0.25, abs=0.05),
        "cc": 0,
    }


def test_draws_of_one_clip_are_told_apart() -> None:
    draws = draw_clips([ClipFacts("aa", 0, 3.0)], Epoch(0, 0))
    assert sorted(draw.number for draw in draws) == [0, 1, 2]
    epoch = Epoch(0, 0)
    assert epoch.fractions("frames", "aa", 0) != epoch.fractions("frames", "aa", 1)


def test_windows_hold_every_shard_once_in_another_order_each_epoch() -> None:
    first, second = windows(SHARDS, 3, Epoch(0, 0)), windows(SHARDS, 3, Epoch(0, 1))
    assert [len(window) for window in first] == [3, 3, 1]
    assert sorted(s.path for w in first for s in w) == [s.path for s in SHARDS]
    assert first != second


def test_fractions_are_uniform_and_below_one() -> None:
    numbers = [f for i in range(1000) for f in Epoch(0, 0).fractions(i)]
    assert 0 <= min(numbers) < 0.01
    assert 0.99 < max(numbers) < 1
    assert sum(numbers) / len(numbers) == pytest.approx(0.5, abs=0.02)
