"""What the verbs that learn from a dataset of ours do; `transfer.py` has those for targets."""

import math
import sys
from pathlib import Path

from tqdm import tqdm

from formats.shards import MANIFEST, ShardError
from training.checkpoint import Checkpoint
from training.clips import TrainingClips
from training.devices import use_device
from training.journal import last_mean_loss
from training.learner import Learner, build_model
from training.loop import train
from training.options import Options
from training.ranks import ranks
from training.sharing import refuse_differences
from training.weights import load_weights, put_weights, refuse_misfit

_LEARNED = 0.95
"""Share of the loss of guessing that a network which learned anything is below."""


def pretrain(data: str, out: str, options: Options, weights: str = "") -> Checkpoint:
    """Train on the dataset job's folder `data`, or go on where a run in `out` was cut.

    The network begins with the file `weights`, or at random.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TrainingError: `out` holds another run, or the loss is not finite.
        WeightsError: the weights are not those of the network that the options name.
    """
    clips = dataset_clips(data, options)
    learner = new_learner(options, clips.manifest.labels, weights)
    return train(learner, clips, options, section="train", out=out)


def summary(checkpoint: Checkpoint, out: str) -> str:
    """What came of a pre-training in `out`, as text; a warning if it learned nothing."""
    text = f"trained {checkpoint.step} steps over {checkpoint.epoch + 1} epochs: {out}"
    labels, loss = len(checkpoint.labels), last_mean_loss(Path(out))
    # Two labels at least: with one there is nothing to guess.
    if labels < 2 or loss is None or loss < _LEARNED * math.log(labels):
        return text
    how, longer = checkpoint.options.train, "train longer (train.clips)"
    advice = f"lower train.lr or {longer}"
    if how.clips <= how.warmup_clips:
        advice = f"all of it was warm-up (train.warmup_clips={how.warmup_clips}): {longer}"
    return (
        f"{text}\nloss {loss:.2f} is that of guessing among {labels} labels: nothing was learned; "
        f"{advice}"
    )


def dataset_clips(data: str, options: Options) -> TrainingClips:
    """This rank's training clips of the split that the options name in the folder `data`.

    Raises:
        ShardError: the folder holds no dataset, or not this split of it.
    """
    how = options.train
    if "://" not in data:
        _refuse_missing(Path(data), options.clips.split)
    return TrainingClips(
        # Not by Path, which would take a slash out of s3://.
        f"{data.rstrip('/')}/shards/{options.clips.split}",
        options.clips,
        rng_seed=how.rng_seed,
        batch_size=how.batch_size,
    )


def _refuse_missing(data: Path, split: str) -> None:
    if (data / "shards" / split).is_dir():
        return
    finished = sorted(path.parent.name for path in data.glob(f"shards/*/{MANIFEST}"))
    if not finished:
        raise ShardError(
            f"{data}: holds no finished dataset: `make dataset OUT={data}` makes one, "
            "DATA= (--data) names another"
        )
    raise ShardError(
        f"{data}: has no split {split!r}: choose one with clips.split: {', '.join(finished)}"
    )


def new_learner(options: Options, labels: tuple[str, ...], weights: str = "") -> Learner:
    """A network that begins with the file `weights`, or at random, on the device to train on.

    Raises:
        PeerError: the ranks were begun with other options, numbers of labels or weights.
        WeightsError: the weights are not those of the network that the options name.
    """
    device = use_device(options.train.threads)
    found = load_weights(weights) if weights else None
    origin = found.digest if found else ""
    # Before the ranks' networks are joined, which those of other shapes cannot be.
    refuse_differences(options, labels=len(labels), weights=origin)
    model = build_model(options.model, len(labels), options.train.rng_seed)
    if found:
        refuse_misfit(found, options.model)
        told = put_weights(model, found, labels)
        if ranks().writes:
            tqdm.write(f"{weights}: {found.found}; {told}", file=sys.stderr)
    return Learner(model, options.train, options.model, device, origin)
