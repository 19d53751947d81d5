"""What was measured on a target: as JSON, as a sentence, and as a page for a browser."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from formats.storage import write_text
from training.evaluate import Predictions
from training.linear import Choice
from training.scores import Bools, Difference, Scores, Share, difference, score
from training.truth import Truth

FORMAT = 1
METHODS = {
    "linear": "fc-only",
    "finetune": "full-ft",
    "evaluate": "evaluated",
    "action": "actions",
}
PRE_TRAINED, RANDOM, CHECKPOINT = "pre-trained", "random", "checkpoint"
GUESSES = 5
"""First guesses of every video that are kept."""


@dataclass(frozen=True)
class Network:
    """One network on one split."""

    weights: str
    """Hash of those that it began with; empty for random ones."""
    scores: Scores
    choices: tuple[Choice, ...]
    """What the hold-out said, if anything was chosen."""


@dataclass(frozen=True)
class Measured:
    """All that was found out on one split of a target."""

    verb: str
    target: str
    split: str
    several: bool
    """Whether videos may carry several labels: then mAP is what counts."""
    datasets: Mapping[str, str]
    """Split -> `dataset_id`."""
    protocol: Mapping[str, Any]
    """The options that it depends on."""
    networks: Mapping[str, Network]
    better: Difference | None
    """By how much the pre-trained network is better than the random one."""

    @property
    def name(self) -> str:
        """Of the target, with the split if it is not the usual one."""
        return self.target if self.split == "val" else f"{self.target}-{self.split}"


@dataclass(frozen=True)
class Said:
    """What one network predicted, and how it came to be."""

    weights: str
    predictions: Predictions
    choices: tuple[Choice, ...] = ()


@dataclass(frozen=True)
class Where:
    """Which test it is."""

    verb: str
    target: str
    split: str
    datasets: Mapping[str, str]


def judge(
    where: Where, truth: Truth, said: Mapping[str, Said], protocol: Mapping[str, Any]
) -> tuple[Measured, list[dict[str, object]]]:
    """The measures of every network, and a row per video with what each guessed."""
    clip_ids = next(iter(said.values())).predictions.clip_ids
    truth_VC = truth.matrix(clip_ids)
    scores = {name: _in_order(s.predictions, clip_ids) for name, s in said.items()}
    better = None
    if {PRE_TRAINED, RANDOM} <= scores.keys():
        better = difference(scores[PRE_TRAINED], scores[RANDOM], truth_VC)
    measured = Measured(
        **vars(where),
        several=truth.several,
        protocol=protocol,
        networks={
            name: Network(s.weights, score(scores[name], truth_VC, truth.labels), s.choices)
            for name, s in said.items()
        },
        better=better,
    )
    return measured, _rows(clip_ids, truth_VC, scores)


def write_measured(out: str, measured: Measured, rows: Sequence[Mapping[str, object]]) -> None:
    """Write the whole of one result to `OUT/VERB/NAME.json`.

    Raises:
        StorageError: the disk is full or refuses.
    """
    content = {"format": FORMAT, **asdict(measured), "videos": rows}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    write_text(str(Path(out) / measured.verb / f"{measured.name}.json"), text + "\n")


def write_summary(out: str, verb: str, results: Sequence[Measured]) -> None:
    """Write what all targets came to, to `OUT/VERB.json`."""
    content = [
        {
            "target": measured.target,
            "split": measured.split,
            "several": measured.several,
            "networks": {
                name: {
                    "videos": network.scores.videos,
                    "labels": len(network.scores.per_label),
                    **{m: asdict(getattr(network.scores, m)) for m in ("top1", "top5", "mean_ap")},
                }
                for name, network in measured.networks.items()
            },
            "better": asdict(measured.better) if measured.better else None,
        }
        for measured in results
    ]
    text = json.dumps({"format": FORMAT, "targets": content}, indent=1, ensure_ascii=False)
    write_text(str(Path(out) / f"{verb}.json"), text + "\n")


def sentence(measured: Measured) -> str:
    """The main figure of every network, with 95 % intervals."""
    measure, word = ("mean_ap", "mAP") if measured.several else ("top1", "top-1")
    parts = [
        f"{name} {shown(getattr(network.scores, measure))}"
        for name, network in measured.networks.items()
    ]
    scores = next(iter(measured.networks.values())).scores
    labels = len(scores.per_label)
    text = f"{measured.name}: {METHODS[measured.verb]} {word} {', '.join(parts)}"
    if measured.better:
        text += f", difference {shown(getattr(measured.better, measure), sign=True)}"
    chance = "" if measured.several else f", chance {1 / labels:.1%}"
    return f"{text}; {labels} labels{chance}, {scores.videos} videos"


def shown(share: Share, *, sign: bool = False) -> str:
    """A share with its interval, in percent.

    >>> shown(Share(0.5, 0.25, 0.75))
    '50.0% [25.0, 75.0]'
    """
    form = "+.1f" if sign else ".1f"
    value, low, high = (format(100 * v, form) for v in (share.value, share.low, share.high))
    return f"{value}% [{low}, {high}]"


def forget(out: str, verb: str, target: str) -> None:
    """Delete what an earlier call found on a target, on any split, and its comparison of all.

    Other targets' pages stay: they may have been measured one by one.
    """
    stale = [Path(out) / verb]
    for path in (Path(out) / verb).glob("*.json"):
        if _target_of(path) == target:
            stale.append(path.with_suffix(""))
    for path in stale:
        for ending in (".json", ".html"):
            path.with_name(path.name + ending).unlink(missing_ok=True)


def _target_of(path: Path) -> object:
    try:
        content = json.loads(path.read_text())
    except ValueError:
        return None  # Nothing that was written here.
    return content.get("target") if isinstance(content, dict) else None


def _in_order(predictions: Predictions, clip_ids: Sequence[str]) -> Any:
    if predictions.clip_ids == tuple(clip_ids):
        return predictions.scores_VC
    place = {clip_id: i for i, clip_id in enumerate(predictions.clip_ids)}
    return predictions.scores_VC[[place[clip_id] for clip_id in clip_ids]]


def _rows(
    clip_ids: Sequence[str], truth_VC: Bools, scores: Mapping[str, Any]
) -> list[dict[str, object]]:
    guesses = {}
    for name, scores_VC in scores.items():
        first_VG = np.argsort(-scores_VC, axis=1, kind="stable")[:, :GUESSES]
        guesses[name] = (first_VG.tolist(), np.take_along_axis(scores_VC, first_VG, 1).tolist())
    return [
        {
            "clip_id": clip_id,
            "label_ids": np.flatnonzero(truth_VC[row]).tolist(),
            "guesses": {
                name: [[i, round(s, 6)] for i, s in zip(ids[row], values[row], strict=True)]
                for name, (ids, values) in guesses.items()
            },
        }
        for row, clip_id in enumerate(clip_ids)
    ]
