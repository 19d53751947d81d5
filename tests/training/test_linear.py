import numpy as np
import pytest
import torch

from training.evaluate import VideoFeatures
from training.linear import Fitted, fit_linear
from training.options import EvaluateOptions
from training.scores import mean_average_precision, top1
from training.truth import TargetError, Truth

LABELS = ("a", "b", "c")
CPU = torch.device("cpu")


def blobs(
    per_label: int, *, spread: float, rng_seed: int, labels: int = 3
) -> tuple[VideoFeatures, Truth]:
    """Videos of two clips whose features lie around one point per label."""
    rng = np.random.default_rng(rng_seed)
    label_id_V = np.repeat(np.arange(labels), per_label)
    centres = np.eye(3, 5) * 10
    features = centres[label_id_V][:, None] + rng.normal(0, spread, (len(label_id_V), 2, 5))
    ids = tuple(f"{rng_seed}-{i:04d}" for i in range(len(label_id_V)))
    truth = Truth("", LABELS, {c: (int(i),) for c, i in zip(ids, label_id_V, strict=True)}, False)
    return VideoFeatures(features.astype(np.float32), ids), truth


def fit(train: tuple[VideoFeatures, Truth], **options: object) -> Fitted:
    return fit_linear(*train, EvaluateOptions(**options), CPU, rng_seed=0)  # type: ignore[arg-type]


def accuracy(fitted: Fitted, test: tuple[VideoFeatures, Truth]) -> float:
    features, truth = test
    return top1(fitted.predict(features), truth.matrix(features.clip_ids))


def taken(fitted: Fitted) -> float:
    (choice,) = [choice for choice in fitted.choices if choice.taken]
    return choice.settings["C"]


def test_features_that_tell_labels_apart_are_classified() -> None:
    fitted = fit(blobs(10, spread=1, rng_seed=0))
    assert accuracy(fitted, blobs(5, spread=1, rng_seed=1)) == 1


def test_features_of_noise_are_not() -> None:
    fitted = fit(blobs(40, spread=1e4, rng_seed=0))
    assert accuracy(fitted, blobs(40, spread=1e4, rng_seed=1)) == pytest.approx(1 / 3, abs=0.12)


def test_among_equals_the_strongest_penalty_is_taken() -> None:
    fitted = fit(blobs(10, spread=0.1, rng_seed=0), linear_c=(10.0, 1.0, 0.1))
    assert [(c.settings["C"], c.top1, c.taken) for c in fitted.choices] == [
        (0.1, 1.0, True),
        (1.0, 1.0, False),
        (10.0, 1.0, False),
    ]


def test_the_order_of_videos_does_not_matter() -> None:
    train, truth = blobs(10, spread=8, rng_seed=0)
    test = blobs(10, spread=8, rng_seed=1)[0]
    order = np.random.default_rng(0).permutation(30)
    mixed = VideoFeatures(train.features_VKD[order], tuple(train.clip_ids[i] for i in order))
    one, other = fit((train, truth)), fit((mixed, truth))
    assert taken(one) == taken(other)
    np.testing.assert_array_equal(one.predict(test), other.predict(test))


def test_a_label_without_training_videos_is_never_predicted() -> None:
    fitted = fit(blobs(10, spread=1, rng_seed=0, labels=2))
    test = blobs(5, spread=1, rng_seed=1)
    assert accuracy(fitted, test) == pytest.approx(2 / 3)
    assert (fitted.predict(test[0])[:, 2] == 0).all()


@pytest.mark.parametrize(("per_label", "labels"), [(1, 3), (10, 1)])
def test_too_few_training_videos_are_refused(per_label: int, labels: int) -> None:
    with pytest.raises(TargetError, match="are too few: want two labels"):
        fit(blobs(per_label, spread=1, rng_seed=0, labels=labels))


def test_several_labels_are_learned_each_by_itself_and_chosen_by_map() -> None:
    rng = np.random.default_rng(0)
    truth_VC = rng.random((60, 3)) < 0.5
    truth_VC[:, 0] |= ~truth_VC.any(1)
    centre = truth_VC @ np.eye(3, 5) * 10
    features = (centre[:, None] + rng.normal(0, 1, (60, 2, 5))).astype(np.float32)
    ids = tuple(f"{i:03d}" for i in range(60))
    carried = {c: tuple(np.flatnonzero(row).tolist()) for c, row in zip(ids, truth_VC, strict=True)}
    videos = VideoFeatures(features, ids)
    fitted = fit((videos, Truth("", LABELS, carried, True)), linear_c=(10.0,))
    said = fitted.predict(videos)
    assert mean_average_precision(said, truth_VC) > 0.99
    # Sigmoids: two labels of one video are both near 1.
    assert said[truth_VC.sum(1) == 2].sum(1).mean() > 1.8
