"""How good predictions are: top-1, top-5, mean average precision, and how far each may be off."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint8]
"""How often each video is drawn: of thousands of draws of one each, never 256 times."""

RESAMPLES = 200
_Z = 1.959964
"""Of the normal distribution: 95 % lie within."""


@dataclass(frozen=True)
class Share:
    """A number in [0, 1], or a difference of two, with its 95 % interval over videos."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelScore:
    """What became of the videos of one label."""

    label: str
    videos: int
    top1: float | None
    """Share of them whose first guess is right; None without a video, as below."""
    top5: float | None
    average_precision: float | None
    mistaken_for: str | None
    """The label that most of the others were taken for."""


@dataclass(frozen=True)
class Scores:
    """How well the videos of a split were classified."""

    videos: int
    top1: Share
    """First guess right. Where videos carry several labels, any of theirs is."""
    top5: Share
    mean_ap: Share
    """Mean, over the labels with a video, of the average precision of each (mAP)."""
    per_label: tuple[LabelScore, ...]
    confusion: tuple[tuple[int, int, int], ...]
    """(label_id, label_id that was guessed, videos), right ones too. A video of several labels
    whose first guess is one of them counts for that one alone, else for each of them."""


def score(scores_VC: Floats, truth_VC: Bools, labels: Sequence[str]) -> Scores:
    """All measures of one score per video and label."""
    rank_V, guess_V = ranks(scores_VC, truth_VC), scores_VC.argmax(1)
    precision = AveragePrecision(scores_VC, truth_VC)
    precision_C = precision.per_label()
    counts = _confusion(truth_VC, guess_V)
    mistaken = _mistaken(counts)
    per_label = []
    for number, label in enumerate(labels):
        own = rank_V[truth_VC[:, number]]
        top1, top5 = (float((own <= k).mean()) if len(own) else None for k in (1, 5))
        mean_ap = float(precision_C[number]) if len(own) else None
        other = labels[mistaken[number]] if number in mistaken else None
        per_label.append(LabelScore(label, len(own), top1, top5, mean_ap, other))
    return Scores(
        videos=len(rank_V),
        top1=wilson(int((rank_V <= 1).sum()), len(rank_V)),
        top5=wilson(int((rank_V <= 5).sum()), len(rank_V)),
        mean_ap=_interval(float(np.nanmean(precision_C)), precision.resampled(RESAMPLES)),
        per_label=tuple(per_label),
        confusion=counts,
    )


@dataclass(frozen=True)
class Difference:
    """How much better one network did than another on the same videos."""

    top1: Share
    mean_ap: Share


def difference(one_VC: Floats, other_VC: Floats, truth_VC: Bools) -> Difference:
    """By how much `one_VC` is better than `other_VC`: differences video by video, resampled."""
    right_V = [(ranks(scores_VC, truth_VC) <= 1).astype(float) for scores_VC in (one_VC, other_VC)]
    gain_V = right_V[0] - right_V[1]
    draws = gain_V @ resamples(len(gain_V), RESAMPLES) / len(gain_V)
    one, other = (AveragePrecision(scores_VC, truth_VC) for scores_VC in (one_VC, other_VC))
    gain = float(np.nanmean(one.per_label()) - np.nanmean(other.per_label()))
    spread = one.resampled(RESAMPLES) - other.resampled(RESAMPLES)
    top1_gain = _interval(float(gain_V.mean()), draws, least=-1.0)
    return Difference(top1_gain, _interval(gain, spread, least=-1.0))


def top1(scores_VC: Floats, truth_VC: Bools) -> float:
    """Share of videos whose first guess is right."""
    return float((ranks(scores_VC, truth_VC) <= 1).mean())


def mean_average_precision(scores_VC: Floats, truth_VC: Bools) -> float:
    """Mean average precision over the labels that a video carries (mAP)."""
    return float(np.nanmean(AveragePrecision(scores_VC, truth_VC).per_label()))


def ranks(scores_VC: Floats, truth_VC: Bools) -> Ints:
    """At which guess a label of the video comes, 1 for the first.

    Ties count against the network: a constant score must not look right.
    """
    best_V = np.where(truth_VC, scores_VC, -np.inf).max(1, keepdims=True)
    return np.asarray(((scores_VC >= best_V) & ~truth_VC).sum(1) + 1)


def wilson(successes: int, total: int) -> Share:
    """A share with its 95 % interval (Wilson 1927): inside [0, 1], also for few and none.

    >>> share = wilson(8, 10)
    >>> round(share.value, 3), round(share.low, 3), round(share.high, 3)
    (0.8, 0.49, 0.943)
    """
    share, spread = successes / total, _Z**2 / total
    centre = (share + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(share * (1 - share) / total + spread / (4 * total))
    return Share(share, min(share, max(0.0, centre - half)), max(share, min(1.0, centre + half)))


class AveragePrecision:
    """The area under each label's precision-recall curve, as steps; quick to weigh anew.

    The sum of precision times the gain in recall over distinct scores, which scikit-learn's
    `average_precision_score` computes too.
    """

    def __init__(self, scores_VC: Floats, truth_VC: Bools):
        self._videos = len(scores_VC)
        self._labels = [
            _Curve.of(scores_V, truth_V) if truth_V.any() else None
            for scores_V, truth_V in zip(scores_VC.T, truth_VC.T, strict=True)
        ]

    def per_label(self) -> Doubles:
        """Of all videos, [C]; NaN for a label without one."""
        return np.asarray(self._weighed(np.ones((self._videos, 1), np.uint8))[0])

    def resampled(self, count: int) -> Doubles:
        """The mean over labels for `count` draws of as many videos with replacement, [count]."""
        return np.asarray(np.nanmean(self._weighed(resamples(self._videos, count)), 1))

    def _weighed(self, weight_VR: Counts) -> Doubles:
        result_RC = np.full((weight_VR.shape[1], len(self._labels)), np.nan)
        for number, curve in enumerate(self._labels):
            if curve is not None:
                result_RC[:, number] = curve.area(weight_VR)
        return result_RC


@dataclass(frozen=True)
class _Curve:
    """The precision-recall curve of one label: what it needs of the order of the videos."""

    order_V: Ints
    """The videos by falling score."""
    place_P: Ints
    """Where in that order those of the label stand."""
    ends_E: Ints
    """Where the last video with a score of theirs stands, once each: ties come together."""
    tied_P: Ints
    """Which of the ends is that of each of the label's own."""

    @classmethod
    def of(cls, scores_V: Floats, truth_V: Bools) -> "_Curve":
        order_V = np.argsort(-scores_V, kind="stable")
        falling_V = -scores_V[order_V]
        place_P = np.flatnonzero(truth_V[order_V])
        end_P = np.searchsorted(falling_V, falling_V[place_P], side="right") - 1
        return cls(order_V, place_P, *np.unique(end_P, return_inverse=True))

    def area(self, weight_VR: Counts) -> Doubles:
        """Average precision for each column of weights, [R]; NaN where the label weighs nothing."""
        drawn_VR = weight_VR[self.order_V]
        own_PR = drawn_VR[self.place_P].astype(float)
        starts_E = [0, *(self.ends_E[:-1] + 1)]
        # Sums of slices, for only they are needed: ten times faster than a running sum.
        between_ER = [
            drawn_VR[start : end + 1].sum(0, dtype=np.int64)
            for start, end in zip(starts_E, self.ends_E, strict=True)
        ]
        seen_ER = np.cumsum(between_ER, 0)
        last_E = np.searchsorted(self.place_P, self.ends_E, side="right") - 1
        precision_ER = own_PR.cumsum(0)[last_E] / np.maximum(seen_ER, 1)
        gained_R = (own_PR * precision_ER[self.tied_P]).sum(0)
        total_R = own_PR.sum(0)
        return np.asarray(np.where(total_R > 0, gained_R / np.maximum(total_R, 1), np.nan))


def resamples(videos: int, count: int) -> Counts:
    """How often each video is drawn in `count` draws of all, [V, count]; always the same draws."""
    rng = np.random.default_rng(0)
    draws_RV = rng.multinomial(videos, np.full(videos, 1 / videos), size=count)
    return np.ascontiguousarray(draws_RV.T.astype(np.uint8))


def _interval(value: float, draws: Doubles, *, least: float = 0.0) -> Share:
    # Videos that are drawn twice rank beside themselves, which lifts every average precision: the
    # draws tell how far a value may be off, not where it lies.
    low, high = value + np.nanquantile(draws, (0.025, 0.975)) - np.nanmean(draws)
    return Share(value, min(value, max(least, float(low))), max(value, min(1.0, float(high))))


def _confusion(truth_VC: Bools, guess_V: Ints) -> tuple[tuple[int, int, int], ...]:
    right_V = truth_VC[np.arange(len(guess_V)), guess_V]
    counted_VC = truth_VC.copy()
    counted_VC[right_V] = np.eye(truth_VC.shape[1], dtype=np.bool_)[guess_V[right_V]]
    videos, label_ids = np.nonzero(counted_VC)
    pairs, counts = np.unique(np.stack([label_ids, guess_V[videos]], 1), axis=0, return_counts=True)
    return tuple((int(i), int(j), int(n)) for (i, j), n in zip(pairs, counts, strict=True))


def _mistaken(counts: Sequence[tuple[int, int, int]]) -> dict[int, int]:
    """label_id -> the other that most of its videos were taken for, where there is one."""
    most: dict[int, tuple[int, int]] = {}
    for own, guess, videos in counts:
        if own != guess and videos > most.get(own, (0, 0))[0]:
            most[own] = (videos, guess)
    return {own: guess for own, (_, guess) in most.items()}
