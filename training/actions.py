"""Actions from a network that knows verbs and one that knows nouns, as for EPIC-Kitchens (paper 4).

An action is a verb and a noun. Of all pairs only those count that the list of actions has; the
probability of one is that of its verb times that of its noun.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from formats.shards import digest_of
from training.checkpoint import Checkpoint
from training.clips import SpreadClips
from training.devices import use_device
from training.evaluate import Floats, Predictions, cut_for_test, predict
from training.feature_cache import model_digest
from training.finetune import restored
from training.options import Options
from training.reporting import Results, protocol_of
from training.results import Said
from training.scratch import own_scratch
from training.sharing import refuse_differences
from training.targets import lone_split, with_scratch
from training.truth import TargetError, read_truth

Pairs = npt.NDArray[np.int64]
"""[A, 2]: which verb and which noun an action is."""
PAIR = "verb and noun"
_LISTED = 3


@dataclass(frozen=True)
class Judge:
    """A network for verbs or nouns, and how it looks at videos."""

    checkpoint: Checkpoint
    options: Options


def recognise(folder: str, verb: Judge, noun: Judge, out: str = "") -> str:
    """Measure actions on a split whose labels are `VERB NOUN`; return what came out as text.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TargetError: an action is of no verb or noun that the networks know, or of two pairs.
    """
    with own_scratch() as scratch:
        clips = with_scratch(verb.options.clips, scratch)
        truth = read_truth(folder, clips)
        for judge in (verb, noun):
            digest = model_digest(judge.checkpoint.model)
            refuse_differences(judge.options, dataset_id=truth.dataset_id, weights=digest)
        pairs = pairs_of(truth.labels, verb.checkpoint.labels, noun.checkpoint.labels)
        verbs, nouns = (_said(folder, judge, scratch) for judge in (verb, noun))
        scores_VA = action_scores(verbs.scores_VC, nouns.scores_VC, pairs)
        protocol = {
            f"{name}.{part}": values
            for name, judge in (("verb", verb), ("noun", noun))
            for part, values in protocol_of(judge.options).items()
        }
        results = Results(out, "action", verb.options, protocol)
        weights = digest_of(*(model_digest(judge.checkpoint.model) for judge in (verb, noun)))
        said = {PAIR: Said(weights, Predictions(scores_VA, verbs.clip_ids))}
        results.add(*lone_split(folder, truth, clips), said)
        return results.finish()


def pairs_of(actions: Sequence[str], verbs: Sequence[str], nouns: Sequence[str]) -> Pairs:
    """Which verb and noun each action is: its name is theirs, with a space between.

    >>> pairs_of(["cut bread", "open door"], ["cut", "open"], ["bread", "door"]).tolist()
    [[0, 0], [1, 1]]

    Raises:
        TargetError: an action is none of theirs, or could be two.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for i, verb in enumerate(verbs):
        for j, noun in enumerate(nouns):
            found.setdefault(f"{verb} {noun}", []).append((i, j))
    odd = [action for action in actions if len(found.get(action, ())) != 1]
    if odd:
        raise TargetError(
            f"{len(odd)} of {len(actions)} actions are no verb and noun of these networks, or "
            f"could be two: {', '.join(odd[:_LISTED])}"
        )
    return np.array([found[action][0] for action in actions])


def action_scores(verb_VC: Floats, noun_VC: Floats, pairs: Pairs) -> Floats:
    """The probability of each action among the known ones, [V, A]."""
    least = np.finfo(np.float32).tiny
    log_VA = sum(
        np.log(np.maximum(shares_VC, least), dtype=np.float64)[:, pairs[:, side]]
        for side, shares_VC in enumerate((verb_VC, noun_VC))
    )
    shares_VA = np.exp(log_VA - np.max(log_VA, axis=1, keepdims=True))
    return np.asarray(shares_VA / shares_VA.sum(1, keepdims=True), np.float32)


def _said(folder: str, judge: Judge, scratch: str) -> Predictions:
    options = judge.options
    clips = cut_for_test(with_scratch(options.clips, scratch), options.evaluate)
    model = restored(judge.checkpoint).to(use_device(options.train.threads))
    return predict(model, SpreadClips(folder, clips, options.evaluate.clips), options)
