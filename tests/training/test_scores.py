import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from training.scores import (
    AveragePrecision,
    Bools,
    Floats,
    difference,
    mean_average_precision,
    ranks,
    resamples,
    score,
    top1,
    wilson,
)


def drawn(rng_seed: int, levels: int, videos: int = 80, labels: int = 6) -> tuple[Floats, Bools]:
    """Scores of so many levels, so that some tie, and labels of which the last has no video."""
    rng = np.random.default_rng(rng_seed)
    scores_VC = rng.integers(0, levels, (videos, labels)).astype(np.float32)
    truth_VC = rng.random((videos, labels)) < 0.3
    truth_VC[:, -1] = False
    truth_VC[:, 0] |= ~truth_VC.any(1)
    return scores_VC, truth_VC


def one_hot(label_ids: list[int], labels: int) -> Bools:
    return np.eye(labels, dtype=bool)[label_ids]


@pytest.mark.parametrize("levels", [2, 10, 10**6])
def test_average_precision_is_scikit_learns(levels: int) -> None:
    scores_VC, truth_VC = drawn(levels, levels)
    wanted = [average_precision_score(truth_VC[:, i], scores_VC[:, i]) for i in range(5)]
    found = AveragePrecision(scores_VC, truth_VC).per_label()
    np.testing.assert_allclose(found[:5], wanted, rtol=1e-12)
    assert np.isnan(found[5])
    assert mean_average_precision(scores_VC, truth_VC) == pytest.approx(np.mean(wanted))


@pytest.mark.parametrize("levels", [3, 10**6])
def test_a_draw_of_the_bootstrap_weighs_videos_as_scikit_learn_does(levels: int) -> None:
    scores_VC, truth_VC = drawn(levels, levels)
    weight_VR = resamples(len(scores_VC), 7)
    wanted = [
        np.mean(
            [
                average_precision_score(truth_VC[:, i], scores_VC[:, i], sample_weight=weight_V)
                for i in range(5)
            ]
        )
        for weight_V in weight_VR.T
    ]
    found = AveragePrecision(scores_VC, truth_VC).resampled(7)
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    assert weight_VR.sum(0).tolist() == [80] * 7


def test_first_and_first_five_places_are_counted_label_by_label() -> None:
    scores_VC = np.array(
        [
            [0.9, 0.1, 0, 0, 0, 0],
            [0.6, 0.4, 0, 0, 0, 0],
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.0],
            [0.5, 0.4, 0.3, 0.2, 0.1, 0.0],
        ],
        dtype=np.float32,
    )
    found = score(scores_VC, one_hot([0, 1, 1, 5], 6), "abcdef")
    assert (found.top1.value, found.top5.value, found.videos) == (0.25, 0.75, 4)
    assert [(s.label, s.videos, s.top1, s.top5, s.mistaken_for) for s in found.per_label] == [
        ("a", 1, 1.0, 1.0, None),
        ("b", 2, 0.0, 1.0, "a"),
        ("c", 0, None, None, None),
        ("d", 0, None, None, None),
        ("e", 0, None, None, None),
        ("f", 1, 0.0, 0.0, "a"),
    ]
    assert found.confusion == ((0, 0, 1), (1, 0, 1), (1, 4, 1), (5, 0, 1))


def test_a_network_that_says_the_same_of_all_is_never_right() -> None:
    found = score(np.full((3, 7), 1 / 7, dtype=np.float32), one_hot([0, 1, 2], 7), "abcdefg")
    assert (found.top1.value, found.top5.value) == (0, 0)


def test_of_several_labels_any_may_come_first() -> None:
    truth_VC = np.array([[True, True, False], [False, False, True]])
    scores_VC = np.array([[0.1, 0.9, 0.5], [0.9, 0.8, 0.7]], dtype=np.float32)
    assert ranks(scores_VC, truth_VC).tolist() == [1, 3]
    assert top1(scores_VC, truth_VC) == 0.5


def test_a_video_whose_first_guess_is_one_of_its_labels_is_taken_for_no_other() -> None:
    truth_VC = np.array([[True, True, False], [True, True, False]])
    scores_VC = np.array([[0.1, 0.9, 0.5], [0.1, 0.2, 0.7]], dtype=np.float32)
    found = score(scores_VC, truth_VC, "abc")
    assert found.confusion == ((0, 2, 1), (1, 1, 1), (1, 2, 1))
    assert [own.mistaken_for for own in found.per_label] == ["c", "c", None]


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        share = wilson(int(rng.binomial(60, 0.3)), 60)
        held += share.low <= 0.3 <= share.high
    assert 180 <= held <= 200
    assert (wilson(0, 5).low, wilson(5, 5).high) == (0, 1)


def test_the_better_network_is_so_beyond_doubt_only_with_enough_videos() -> None:
    rng = np.random.default_rng(0)
    truth_VC = one_hot(rng.integers(0, 4, 200).tolist(), 4)
    good_VC = (truth_VC + rng.normal(0, 0.3, truth_VC.shape)).astype(np.float32)
    poor_VC = (truth_VC + rng.normal(0, 2, truth_VC.shape)).astype(np.float32)
    better = difference(good_VC, poor_VC, truth_VC)
    gain = top1(good_VC, truth_VC) - top1(poor_VC, truth_VC)
    assert better.top1.value == pytest.approx(gain)
    assert 0 < better.top1.low < better.top1.value < better.top1.high
    assert 0 < better.mean_ap.low < better.mean_ap.value < better.mean_ap.high
    few = difference(good_VC[:4], poor_VC[:4], truth_VC[:4])
    assert few.top1.high - few.top1.low > better.top1.high - better.top1.low
    same = difference(good_VC, good_VC, truth_VC)
    assert (same.top1.low, same.top1.high, same.mean_ap.low, same.mean_ap.high) == (0, 0, 0, 0)
