"""What the verbs that learn from a dataset of ours do; `transfer.py` has those for targets."""

import sys

from tqdm import tqdm

from training.checkpoint import Checkpoint
from training.clips import TrainingClips
from training.learner import Learner, build_model, use_device
from training.loop import train
from training.options import Options
from training.ranks import ranks
from training.weights import load_weights, put_weights, refuse_misfit


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


def dataset_clips(data: str, options: Options) -> TrainingClips:
    """This rank's training clips of the split that the options name in the folder `data`."""
    how = options.train
    return TrainingClips(
        # Not by Path, which would take a slash out of s3://.
        f"{data.rstrip('/')}/shards/{options.clips.split}",
        options.clips,
        rng_seed=how.rng_seed,
        batch_size=how.batch_size,
    )


def new_learner(options: Options, labels: tuple[str, ...], weights: str = "") -> Learner:
    """A network that begins with the file `weights`, or at random, on the device to train on."""
    device = use_device(options.train.threads)
    model, origin = build_model(options.model, len(labels), options.train.rng_seed), ""
    if weights:
        found = load_weights(weights)
        refuse_misfit(found, options.model)
        told = put_weights(model, found, labels)
        origin = found.digest
        if ranks().writes:
            tqdm.write(f"{weights}: {found.found}; {told}", file=sys.stderr)
    return Learner(model, options.train, options.model, device, origin)
