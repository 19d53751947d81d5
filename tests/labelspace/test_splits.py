import pytest

from labelspace.splits import (
    LabelLengths,
    LabelQuota,
    SplitPlan,
    SplitRule,
    clip_span,
    frame_seconds,
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
        ({"short_s": (5.0, 1.0)}, "short_s must lie below long_s"),
        ({"short_s": (1.0, 56.0)}, "short_s must lie below long_s"),
        ({"short_s": (0.0, 5.0)}, "short_s must lie below long_s"),
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


def test_frames_lie_one_in_each_piece_of_the_video_the_same_on_every_run() -> None:
    taken = [frame_seconds(f"v{n}", 10.0, 5, at_random=True, rng_seed=0) for n in range(200)]
    assert taken == [
        frame_seconds(f"v{n}", 10.0, 5, at_random=True, rng_seed=0) for n in range(200)
    ]
    assert all(2 * k <= second < 2 * (k + 1) for found in taken for k, second in enumerate(found))
    means = [sum(found[k] for found in taken) / len(taken) for k in range(5)]
    assert means == pytest.approx([1, 3, 5, 7, 9], abs=0.2)


def test_a_short_video_gives_fewer_frames_and_a_still_one() -> None:
    assert len(frame_seconds("v", 0.35, 9, at_random=True, rng_seed=0)) == 3
    assert frame_seconds("v", 0.01, 9, at_random=False, rng_seed=0) == [0.005]
