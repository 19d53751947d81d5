import itertools

import pytest

from labelspace.space import build_label_space, cumulative_curve, gini

VIDEOS = {"yoga": 70, "archery": 70, "zumba": 90, "lunge": 4, "ski": 50}


def test_labels_are_ordered_by_videos_then_name_and_small_ones_dropped() -> None:
    space = build_label_space(VIDEOS)
    assert space.labels == ("zumba", "archery", "yoga", "ski")
    assert space.videos == (90, 70, 70, 50)
    assert space.dropped == (("lunge", 4, "min_videos"),)
    assert [space.label_id(label) for label in (*space.labels, "lunge", "?")] == [
        0,
        1,
        2,
        3,
        None,
        None,
    ]


def test_the_order_of_the_counts_does_not_matter() -> None:
    backwards = dict(reversed(VIDEOS.items()))
    assert build_label_space(backwards) == build_label_space(VIDEOS)


def test_fewer_labels_are_a_prefix_of_more() -> None:
    spaces = [build_label_space(VIDEOS, max_labels=size).labels for size in (1, 2, 3, 4, 9)]
    whole = build_label_space(VIDEOS).labels
    assert spaces == [whole[:1], whole[:2], whole[:3], whole, whole]
    assert build_label_space(VIDEOS, max_labels=3).dropped == (
        ("ski", 50, "max_labels"),
        ("lunge", 4, "min_videos"),
    )


def test_random_label_subsets_lie_inside_larger_ones_and_keep_the_order() -> None:
    videos = {f"label {number}": 50 + number % 7 for number in range(60)} | {"small": 3}
    spaces = [build_label_space(videos, subset=size, rng_seed=1) for size in (5, 20, 60, 99)]
    assert [len(space.labels) for space in spaces] == [5, 20, 60, 60]
    for smaller, larger in itertools.pairwise(spaces):
        assert set(smaller.labels) <= set(larger.labels)
        assert list(smaller.videos) == sorted(smaller.videos, reverse=True)
    assert {reason for *_, reason in spaces[0].dropped} == {"label_subset", "min_videos"}
    assert build_label_space(videos, subset=5, rng_seed=2).labels != spaces[0].labels


def test_no_label_may_survive() -> None:
    assert build_label_space(VIDEOS, min_videos=1000).labels == ()
    assert build_label_space({}).labels == ()


@pytest.mark.parametrize(
    ("videos", "expected"),
    [([7], 0.0), ([5, 5, 5], 0.0), ([0, 0, 0, 20], 0.75), ([1, 3], 0.25), ([3, 1], 0.25)],
)
def test_gini_is_zero_for_equal_counts_and_grows_with_skew(
    videos: list[int], expected: float
) -> None:
    assert gini(videos) == pytest.approx(expected)


def test_the_curve_begins_with_the_most_frequent_labels() -> None:
    assert cumulative_curve([10, 60, 30]) == [(0.0, 0.0), (1 / 3, 0.6), (2 / 3, 0.9), (1.0, 1.0)]


def test_a_curve_of_many_labels_is_thinned_to_the_points_asked_for() -> None:
    curve = cumulative_curve([1] * 10_000, points=5)
    assert curve == [(0.0, 0.0), (0.25, 0.25), (0.5, 0.5), (0.75, 0.75), (1.0, 1.0)]


def test_counts_without_a_video_have_no_skew() -> None:
    for videos in ([], [0, 0]):
        with pytest.raises(ValueError, match="at least one video"):
            gini(videos)
        with pytest.raises(ValueError, match="at least one video"):
            cumulative_curve(videos)
    with pytest.raises(ValueError, match="two points"):
        cumulative_curve([1], points=1)
