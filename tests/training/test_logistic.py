import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training.logistic import Bools, Floats, LogisticRegression

CPU = torch.device("cpu")


def drawn(rng_seed: int, rows: int = 120) -> tuple[Floats, Bools]:
    """Features of unlike scales, one of them constant, and labels that overlap."""
    rng = np.random.default_rng(rng_seed)
    features = rng.normal(0, 1, (rows, 7)) * [1, 10, 0.1, 5, 1, 1, 0] + [0, 3, 0, -7, 0, 0, 2]
    logits = features[:, :4] / [1, 10, 0.1, 5] + rng.normal(0, 1, (rows, 4))
    return features.astype(np.float32), logits > 0.3


def single(truth_NC: Bools) -> Bools:
    return np.eye(truth_NC.shape[1], dtype=bool)[truth_NC.argmax(1)]


@pytest.mark.parametrize("c", [0.001, 0.1, 10.0])
def test_one_label_a_clip_gives_scikit_learns_probabilities(c: float) -> None:
    (features, truth), (others, _) = drawn(0), drawn(1)
    truth = single(truth)
    reference = make_pipeline(StandardScaler(), Reference(C=c, max_iter=10_000, tol=1e-9))
    wanted = reference.fit(features.astype(float), truth.argmax(1)).predict_proba(others)
    found = LogisticRegression(features, truth, CPU, several=False).fit(c)
    np.testing.assert_allclose(found.probabilities(others), wanted, atol=2e-4)


@pytest.mark.parametrize("c", [0.001, 0.1, 10.0])
def test_several_labels_a_clip_give_scikit_learns_one_against_the_rest(c: float) -> None:
    (features, truth), (others, _) = drawn(2), drawn(3)
    model = OneVsRestClassifier(Reference(C=c, max_iter=10_000, tol=1e-9))
    reference = make_pipeline(StandardScaler(), model)
    wanted = reference.fit(features.astype(float), truth).predict_proba(others)
    found = LogisticRegression(features, truth, CPU, several=True).fit(c)
    np.testing.assert_allclose(found.probabilities(others), wanted, atol=2e-4)


def test_the_optimum_is_the_same_from_wherever_the_search_begins() -> None:
    features, truth = drawn(4)
    problem = LogisticRegression(features, single(truth), CPU, several=False)
    problem.fit(100.0)
    again = problem.fit(0.01).probabilities(features)
    fresh = LogisticRegression(features, single(truth), CPU, several=False).fit(0.01)
    np.testing.assert_allclose(again, fresh.probabilities(features), atol=2e-4)


@pytest.mark.parametrize(("several", "wanted"), [(False, (0, None)), (True, (0, 1))])
def test_labels_that_all_or_none_carry_are_not_learned(
    several: bool, wanted: tuple[float, float | None]
) -> None:
    features, truth = drawn(5)
    truth = truth if several else single(truth)
    none = np.zeros((len(truth), 1), dtype=bool)
    truth = np.concatenate([truth, none, ~none if several else none], 1)
    found = LogisticRegression(features, truth, CPU, several=several).fit(1.0)
    shares = found.probabilities(features)
    assert (shares[:, 4] == wanted[0]).all()
    assert (shares[:, 5] == (wanted[1] or 0)).all()
    assert np.isfinite(shares).all()


def test_many_rows_are_summed_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    features, truth = drawn(6)
    whole = LogisticRegression(features, truth, CPU, several=True).fit(0.1)
    monkeypatch.setattr("training.logistic._ROWS", 50)
    blocks = LogisticRegression(features, truth, CPU, several=True).fit(0.1)
    np.testing.assert_allclose(
        blocks.probabilities(features), whole.probabilities(features), atol=1e-4
    )
