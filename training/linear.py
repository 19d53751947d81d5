"""The paper's `fc-only` transfer: logistic regression on a network's features (paper 4)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from training.evaluate import Floats, VideoFeatures
from training.logistic import Classifier, LogisticRegression
from training.options import EvaluateOptions
from training.scores import Bools, mean_average_precision, top1
from training.truth import Truth, holdout


@dataclass(frozen=True)
class Choice:
    """What the hold-out said of one candidate."""

    settings: Mapping[str, float]
    top1: float
    mean_ap: float
    taken: bool = False
    diverged: bool = False
    """Whether its loss overflowed; then it has no share."""


@dataclass(frozen=True)
class Fitted:
    """A classifier for a target's labels."""

    classifier: Classifier
    choices: tuple[Choice, ...]

    def predict(self, videos: VideoFeatures) -> Floats:
        """The mean probability over each video's clips, [V, C]."""
        return _predict(self.classifier, videos.features_VKD)


def fit_linear(
    train: VideoFeatures,
    truth: Truth,
    options: EvaluateOptions,
    device: torch.device,
    *,
    rng_seed: int,
) -> Fitted:
    """Fit to all training videos with the C that did best on a hold-out of them.

    Best is by top-1, or by mAP where videos carry several labels. Among equals the strongest
    penalty is taken.

    Raises:
        TargetError: no label, or only one, is left when the hold-out is taken away.
    """
    held = holdout(truth, options.holdout_fraction, rng_seed)
    # By id, so that the order of the shards cannot change the last digits.
    order_V = np.argsort(np.array(train.clip_ids))
    clip_ids = [train.clip_ids[i] for i in order_V]
    features_VKD, truth_VC = train.features_VKD[order_V], truth.matrix(clip_ids)
    held_V = np.array([clip_id in held for clip_id in clip_ids])
    problem = _problem(features_VKD[~held_V], truth_VC[~held_V], device, truth.several)
    choices = []
    for c in sorted(options.linear_c):
        predicted_VC = _predict(problem.fit(c), features_VKD[held_V])
        right_VC = truth_VC[held_V]
        found = top1(predicted_VC, right_VC), mean_average_precision(predicted_VC, right_VC)
        choices.append(Choice({"C": c}, *found))
    best = max(choices, key=lambda c: (rank_of(c, truth), -c.settings["C"]))
    marked = tuple(Choice(c.settings, c.top1, c.mean_ap, c is best) for c in choices)
    whole = _problem(features_VKD, truth_VC, device, truth.several)
    return Fitted(whole.fit(best.settings["C"]), marked)


def rank_of(choice: Choice, truth: Truth) -> float:
    """By what a candidate is chosen."""
    if choice.diverged:
        return -1.0
    return choice.mean_ap if truth.several else choice.top1


def _problem(
    features_VKD: Floats, truth_VC: Bools, device: torch.device, several: bool
) -> LogisticRegression:
    clips, size = features_VKD.shape[1:]
    truth_NC = np.repeat(truth_VC, clips, 0)
    return LogisticRegression(features_VKD.reshape(-1, size), truth_NC, device, several=several)


def _predict(classifier: Classifier, features_VKD: Floats) -> Floats:
    videos, clips, size = features_VKD.shape
    known = classifier.probabilities(features_VKD.reshape(-1, size))
    return np.asarray(known.reshape(videos, clips, -1).mean(1))
