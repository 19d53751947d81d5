import pytest

from labelspace.splits import (
    LabelLengths,
    LabelQuota,
    SplitPlan,
    SplitRule,
    clip_span,
    frame_numbers,
    length_class,
    plan_splits,
)

RULE = SplitRule()
# Means: ski 3 s and 60 s, yoga 5 s and 55 s.
LENGTHS = {
    "yoga": LabelLengths(short_videos=40, long_videos=100, short_ms=200_000, long_ms=5_500_000),
    "ski": LabelLengths(short_videos=90, long_videos=60, short_ms=270_000, long_ms=3_600_000),
    "lunge": LabelLengths(short_videos=7, short_ms=20_000),
}
LUNGE = LabelQuota("lunge", 0, 0, 0, unused_short=7, unused_long=0)


@pytest.mark.parametrize(
    ("duration_s", "name"),
    [
        (0.99, None),
        (1.0, "short"),
        (5.0, "short"),
        (5.01, None),
        (54.9, None),
        (55.0, "long"),
        (60.5, "long"),
        (60.6, None),
        (float("nan"), None),
    ],
)
def test_videos_are_short_or_long_by_inclusive_bounds(duration_s: float, name: str | None) -> None:
    assert length_class(duration_s, RULE) == name


@pytest.mark.parametrize(
    ("split", "duration_s", "span"),
    [
        ("all", 20.0, (0.0, 20.0)),
        ("short", 3.0, (0.0, 3.0)),
        ("short", 58.0, None),
        ("long", 58.0, (0.0, 58.0)),
        ("long", 3.0, None),
        ("long_center", 58.0, (27.0, 31.0)),
        ("long_center", 20.0, None),
    ],
)
def test_each_split_takes_its_seconds(
    split: str, duration_s: float, span: tuple[float, float] | None
) -> None:
    assert clip_span(split, duration_s, RULE) == span


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="one of all, .*, frames, got 'middle'"):
        clip_span("middle", 3.0, RULE)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"short_s": (5.0, 1.0)}, "short_s must not end before it begins, got 5.0 to 1.0"),
        ({"short_s": (1.0, 56.0)}, "short_s must lie below long_s"),
        ({"short_s": (0.0, 5.0)}, "short_s must begin above 0, got 0.0"),
        ({"long_s": (float("nan"), 60.0)}, "long_s must begin above 0, got nan"),
        ({"center_s": 56.0}, "center_s must fit"),
        ({"center_s": 0.0}, "center_s must fit"),
    ],
)
def test_lengths_that_make_no_sense_are_refused(rule: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitRule(**rule)  # type: ignore[arg-type]


def test_f1_takes_equally_many_videos_of_each_label_and_reports_the_rest() -> None:
    assert plan_splits(LENGTHS, RULE) == SplitPlan(
        quotas=(
            LabelQuota("ski", 60, 60, 60, unused_short=30, unused_long=0),
            LabelQuota("yoga", 40, 40, 40, unused_short=0, unused_long=60),
        ),
        unfilled=(LUNGE,),
    )


def test_f2_takes_equally_many_minutes_of_each_label() -> None:
    plan = plan_splits(LENGTHS, RULE, budget="F2")
    assert plan == SplitPlan(
        quotas=(
            # 60 short videos of 3 s are 180 s: 3 long ones of 60 s, 45 centres of 4 s.
            LabelQuota("ski", 60, 3, 45, unused_short=30, unused_long=15, budget_ms=180_000),
            # 40 centres of 4 s are 160 s: 32 short ones of 5 s, 3 (2.9) long ones of 55 s.
            LabelQuota("yoga", 32, 3, 40, unused_short=8, unused_long=60, budget_ms=160_000),
        ),
        unfilled=(LUNGE,),
    )


def test_f2_keeps_every_label_in_every_split() -> None:
    tiny = {"ski": LabelLengths(short_videos=2, long_videos=9, short_ms=2000, long_ms=540_000)}
    (quota,) = plan_splits(tiny, RULE, budget="F2").quotas
    assert (quota.of("short"), quota.of("long"), quota.of("long_center")) == (2, 1, 1)


def test_a_total_is_met_exactly_with_tail_labels_whole() -> None:
    plan = plan_splits(LENGTHS, RULE, max_videos=85)
    assert [(quota.label, quota.long) for quota in plan.quotas] == [("ski", 45), ("yoga", 40)]
    assert plan.quotas[0] == LabelQuota("ski", 45, 45, 45, unused_short=45, unused_long=15)


def test_a_label_without_room_is_unfilled() -> None:
    plan = plan_splits(LENGTHS, RULE, max_videos=1)
    assert [quota.label for quota in plan.quotas] == ["ski"]
    assert [quota.label for quota in plan.unfilled] == ["lunge", "yoga"]


def test_quotas_of_a_smaller_total_never_exceed_those_of_a_larger() -> None:
    for budget in ("F1", "F2"):
        plans = [plan_splits(LENGTHS, RULE, budget=budget, max_videos=n) for n in (20, 50, 99)]
        for split in ("short", "long", "long_center"):
            rows = [[quota.of(split) for quota in plan.quotas] for plan in plans]
            assert all(a <= b <= c for a, b, c in zip(*rows, strict=True))


def test_an_unknown_budget_is_refused() -> None:
    with pytest.raises(ValueError, match="budget must be F1 or F2, got 'F3'"):
        plan_splits(LENGTHS, RULE, budget="F3")


def test_f2_holds_no_more_minutes_than_allowed_and_keeps_the_tail() -> None:
    plan = plan_splits(LENGTHS, RULE, budget="F2", max_ms=200_000)
    assert [(quota.label, quota.budget_ms) for quota in plan.quotas] == [
        ("ski", 100_000),
        ("yoga", 100_000),
    ]


@pytest.mark.parametrize("max_ms", [1, 54_999, 60_000, 115_000, 2_000_000, 23_000_000, 40_000_000])
def test_f2_is_within_its_minutes_in_all_three_splits_however_few(max_ms: int) -> None:
    lengths = {f"{n:03}": LabelLengths(500, 500, 1_500_000, 28_500_000) for n in range(200)}
    lengths |= {f"{n}": LabelLengths(1, 9, 2_000, 9 * 57_000) for n in range(200, 400)}
    plan = plan_splits(lengths, RULE, budget="F2", max_ms=max_ms)
    means = {"short": 3000, "long": 57_000, "long_center": 4000}
    for split, mean in means.items():
        # Each label is met to the nearest video.
        rounding = len(plan.quotas) * mean / 2
        assert sum(quota.of(split) for quota in plan.quotas) * mean <= max_ms + rounding
    assert all(min(map(quota.of, means)) >= 1 for quota in plan.quotas)
    assert len(plan.quotas) == min(max_ms // 57_000, 400)
    assert all(quota.of(split) == 0 for quota in plan.unfilled for split in means)


def test_f2_has_no_label_in_fewer_minutes_that_it_lacks_in_more() -> None:
    plans = [plan_splits(LENGTHS, RULE, budget="F2", max_ms=n) for n in (60_000, 120_000, 200_000)]
    found = [{quota.label: quota.budget_ms for quota in plan.quotas} for plan in plans]
    assert found == [
        {"ski": 60_000},
        {"ski": 60_000, "yoga": 60_000},
        {"ski": 100_000, "yoga": 100_000},
    ]


def test_frames_lie_one_in_each_piece_of_the_video_the_same_on_every_run() -> None:
    def taken() -> list[list[int]]:
        return [frame_numbers(f"v{n}", 300, 5, at_random=True, rng_seed=0) for n in range(400)]

    found = taken()
    assert found == taken()
    assert all(
        60 * k <= number < 60 * (k + 1) for of_one in found for k, number in enumerate(of_one)
    )
    means = [sum(of_one[k] for of_one in found) / len(found) for k in range(5)]
    # Five standard deviations of a fair mean.
    assert means == pytest.approx([29.5, 89.5, 149.5, 209.5, 269.5], abs=5 * 17.3 / 20)
    other = frame_numbers("v0", 300, 5, at_random=True, rng_seed=1)
    assert other != found[0]


@pytest.mark.parametrize("at_random", [True, False])
def test_no_frame_is_taken_twice_and_a_short_video_gives_all_it_has(at_random: bool) -> None:
    for there in range(1, 60):
        for wanted in range(1, 70):
            numbers = frame_numbers("v", there, wanted, at_random=at_random, rng_seed=0)
            assert len(set(numbers)) == min(there, wanted)
            assert numbers == sorted(numbers)
            assert 0 <= numbers[0] <= numbers[-1] < there


def test_the_middle_of_a_video_is_its_middle_frame() -> None:
    assert frame_numbers("v", 9, 1, at_random=False, rng_seed=0) == [4]
    assert frame_numbers("v", 9, 3, at_random=False, rng_seed=0) == [1, 4, 7]
