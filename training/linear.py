"""The paper's `fc-only` transfer: logistic regression on a network's features (paper 4)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from training.draws import Epoch
from training.evaluate import Accuracy, Floats, Ints, VideoFeatures, accuracy
from training.options import EvaluateOptions

MAX_ITERATIONS = 2000


class LinearError(Exception):
    """The target's training videos are too few to learn from."""


@dataclass(frozen=True)
class LinearResult:
    """What the classifier reached on the target's validation videos."""

    accuracy: Accuracy
    c: float
    """The inverse penalty that the hold-out chose."""


def fit_and_test(
    train: VideoFeatures,
    val: VideoFeatures,
    labels: tuple[str, ...],
    options: EvaluateOptions,
    rng_seed: int,
) -> LinearResult:
    """Fit on all training videos with the C that did best on a hold-out of them; test on val.

    A video's score is the mean over its clips. Among equals the strongest penalty is taken.

    Raises:
        LinearError: no label, or only one, is left when the hold-out is taken away.
    """
    held_V = _holdout(train, options.holdout_fraction, rng_seed)
    scores = {}
    for c in sorted(options.linear_c):
        classifier = _fit(train.features_VKD[~held_V], train.label_id_V[~held_V], c)
        predicted = _predict(classifier, train.features_VKD[held_V], len(labels))
        scores[c] = accuracy(predicted, train.label_id_V[held_V], labels).top1
    best = max(scores, key=lambda c: (scores[c], -c))
    classifier = _fit(train.features_VKD, train.label_id_V, best)
    predicted = _predict(classifier, val.features_VKD, len(labels))
    return LinearResult(accuracy(predicted, val.label_id_V, labels), best)


def _holdout(videos: VideoFeatures, fraction: float, rng_seed: int) -> npt.NDArray[np.bool_]:
    """Which videos are held out: the same share of every label, whatever the order of videos."""
    key = Epoch(rng_seed, 0)
    held_V = np.zeros(len(videos.clip_ids), dtype=bool)
    for label_id in np.unique(videos.label_id_V):
        members = np.flatnonzero(videos.label_id_V == label_id)
        order = sorted(members, key=lambda i: key.fractions("holdout", videos.clip_ids[i]))
        held_V[order[: min(len(order) - 1, max(1, round(fraction * len(order))))]] = True
    if not held_V.any() or len(np.unique(videos.label_id_V)) < 2:
        raise LinearError(
            f"{len(held_V)} training videos of {len(np.unique(videos.label_id_V))} labels are too "
            "few: want two labels, one of them with two videos"
        )
    return held_V


def _fit(features_VKD: Floats, label_id_V: Ints, c: float) -> Pipeline:
    clips = features_VKD.shape[1]
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=c, max_iter=MAX_ITERATIONS, random_state=0)
    )
    classifier.fit(features_VKD.reshape(-1, features_VKD.shape[2]), np.repeat(label_id_V, clips))
    return classifier


def _predict(classifier: Pipeline, features_VKD: Floats, num_labels: int) -> Floats:
    """Mean probability over a video's clips; 0 for a label that had no training video."""
    videos, clips, size = features_VKD.shape
    known = classifier.predict_proba(features_VKD.reshape(-1, size))
    scores = np.zeros((videos, num_labels), dtype=np.float32)
    scores[:, classifier.classes_] = known.reshape(videos, clips, -1).mean(1)
    return scores
