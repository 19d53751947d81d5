import numpy as np
import pytest

from training.evaluate import VideoFeatures
from training.linear import LinearError, fit_and_test
from training.options import EvaluateOptions

LABELS = ("a", "b", "c")


def blobs(per_label: int, *, spread: float, rng_seed: int, labels: int = 3) -> VideoFeatures:
    """Videos of two clips whose features lie around one point per label."""
    rng = np.random.default_rng(rng_seed)
    label_id_V = np.repeat(np.arange(labels), per_label)
    centres = np.eye(3, 5) * 10
    features = centres[label_id_V][:, None] + rng.normal(0, spread, (len(label_id_V), 2, 5))
    ids = tuple(f"{rng_seed}-{i:04d}" for i in range(len(label_id_V)))
    return VideoFeatures(features.astype(np.float32), label_id_V, ids)


def fit(train: VideoFeatures, val: VideoFeatures, **options: object) -> tuple[float, float]:
    result = fit_and_test(train, val, LABELS, EvaluateOptions(**options), 0)  # type: ignore[arg-type]
    return result.accuracy.top1, result.c


def test_features_that_tell_labels_apart_are_classified() -> None:
    train, val = blobs(10, spread=1, rng_seed=0), blobs(5, spread=1, rng_seed=1)
    result = fit_and_test(train, val, LABELS, EvaluateOptions(), 0)
    assert (result.accuracy.top1, result.accuracy.videos) == (1.0, 15)
    assert result.accuracy.per_class == {"a": 1.0, "b": 1.0, "c": 1.0}


def test_features_of_noise_are_not() -> None:
    train, val = blobs(40, spread=1e4, rng_seed=0), blobs(40, spread=1e4, rng_seed=1)
    assert fit(train, val)[0] == pytest.approx(1 / 3, abs=0.12)


def test_among_equals_the_strongest_penalty_is_taken() -> None:
    train = blobs(10, spread=0.1, rng_seed=0)
    assert fit(train, train, linear_c=(10.0, 1.0, 0.1))[1] == 0.1


def test_the_choice_never_sees_the_validation_videos() -> None:
    train, val = blobs(10, spread=4, rng_seed=0), blobs(10, spread=4, rng_seed=1)
    wrong = VideoFeatures(val.features_VKD, (val.label_id_V + 1) % 3, val.clip_ids)
    assert fit(train, val)[1] == fit(train, wrong)[1]


def test_the_order_of_videos_does_not_matter() -> None:
    train, val = blobs(10, spread=8, rng_seed=0), blobs(10, spread=8, rng_seed=1)
    order = np.random.default_rng(0).permutation(30)
    mixed = VideoFeatures(
        train.features_VKD[order],
        train.label_id_V[order],
        tuple(train.clip_ids[i] for i in order),
    )
    assert fit(mixed, val) == fit(train, val)


def test_a_label_without_training_videos_is_never_predicted() -> None:
    train, val = blobs(10, spread=1, rng_seed=0, labels=2), blobs(5, spread=1, rng_seed=1)
    result = fit_and_test(train, val, LABELS, EvaluateOptions(), 0)
    assert result.accuracy.per_class == {"a": 1.0, "b": 1.0, "c": 0.0}


@pytest.mark.parametrize(("per_label", "labels"), [(1, 3), (10, 1)])
def test_too_few_training_videos_are_refused(per_label: int, labels: int) -> None:
    train = blobs(per_label, spread=1, rng_seed=0, labels=labels)
    with pytest.raises(LinearError, match="are too few: want two labels"):
        fit(train, train)
