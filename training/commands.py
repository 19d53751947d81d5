"""What each verb of `python -m training` does."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch

from formats.storage import write_text
from training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint
from training.clips import SpreadClips, TrainingClips
from training.evaluate import Accuracy, evaluate, extract_features
from training.learner import Learner, TrainingError, build_model, use_device
from training.linear import LinearResult, fit_and_test
from training.loop import train
from training.models.networks import VideoResNet
from training.options import Options

TARGETS = "target_shards"


def pretrain(data: str, out: str, options: Options) -> Checkpoint:
    """Train on the dataset job's folder `data`, or go on where a run in `out` was cut.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TrainingError: `out` holds another run, or the loss is not finite.
    """
    how, device = options.train, use_device(options.train.threads)
    folder = str(Path(data) / "shards" / options.clips.split)
    clips = TrainingClips(folder, options.clips, rng_seed=how.rng_seed, batch_size=how.batch_size)
    model = build_model(options.model, len(clips.manifest.labels), how.rng_seed)
    return train(
        Learner(model, how, options.model, device), clips, options, section="train", out=out
    )


def finetune(target: str, source: Checkpoint, out: str, options: Options) -> Accuracy:
    """Train all of a pre-trained network on `target`/train, then measure it on `target`/val.

    The network and its clips are the checkpoint's, with a new last layer; `full-ft` of the paper.

    Raises:
        ShardError, TrainingError: as for `pretrain`.
    """
    how, device = options.finetune, use_device(options.finetune.threads)
    clips = TrainingClips(
        str(Path(target) / "train"),
        options.clips,
        rng_seed=how.rng_seed,
        batch_size=how.batch_size,
    )
    model = build_model(options.model, len(clips.manifest.labels), how.rng_seed)
    body = {name: value for name, value in source.model.items() if not name.startswith("fc.")}
    model.load_state_dict(body, strict=False)
    train(Learner(model, how, options.model, device), clips, options, section="finetune", out=out)
    return _write(out, measure(str(Path(target) / "val"), load_checkpoint(f"{out}/{CHECKPOINT}")))


def measure(folder: str, checkpoint: Checkpoint) -> Accuracy:
    """The accuracy of a checkpoint on a split that has the labels it was trained on.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TrainingError: the split has other labels.
    """
    options = checkpoint.options
    device = use_device(options.train.threads)
    videos = SpreadClips(folder, options.clips, options.evaluate.clips)
    if videos.manifest.labels != checkpoint.labels:
        raise TrainingError(f"{folder} has other labels than the checkpoint was trained on")
    model = restore(checkpoint).to(device)
    return evaluate(model, videos, options.evaluate.batch_size, options.model)


def linear(targets: Sequence[str], checkpoint: Checkpoint, out: str, options: Options) -> str:
    """Fit a linear classifier on frozen features for each target; return what came out as text.

    Twice: on the checkpoint's features, and on those of the same network with random weights. Both
    go to `linear.json` in `out`; `fc-only` of the paper.

    Raises:
        ShardError: a target's split is not finished, or a shard is not what its manifest says.
        TrainingError: there is no target, two have one name, or train and val differ in labels.
        LinearError: a target has too few training videos.
    """
    if not targets:
        raise TrainingError("no target to measure on: name one with --target")
    if len({Path(target).name for target in targets}) < len(targets):
        raise TrainingError("two targets have the same name: measure them one by one")
    device = use_device(options.train.threads)
    seed = options.train.rng_seed
    models = {
        "pre-trained": restore(checkpoint).to(device),
        "random": build_model(options.model, len(checkpoint.labels), seed + 1).to(device),
    }
    results = {Path(target).name: _linear(target, models, options) for target in targets}
    content = {t: {k: asdict(r) for k, r in both.items()} for t, both in results.items()}
    write_text(str(Path(out) / "linear.json"), json.dumps(content, indent=1) + "\n")
    return "\n".join(_sentence(target, both) for target, both in results.items())


def restore(checkpoint: Checkpoint) -> VideoResNet:
    """The network of a checkpoint, on the CPU."""
    model = build_model(checkpoint.options.model, len(checkpoint.labels), 0)
    model.load_state_dict(checkpoint.model)
    return model.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload, no-any-return]


def find_targets(data: str) -> list[str]:
    """The labelled target sets that the dataset job wrote below `data`."""
    return [str(path) for path in sorted((Path(data) / TARGETS).glob("*")) if path.is_dir()]


def with_checkpoint(checkpoint: Checkpoint, options: Options) -> Options:
    """Options whose network and clips are the checkpoint's."""
    return replace(options, model=checkpoint.options.model, clips=checkpoint.options.clips)


def describe(accuracy: Accuracy) -> str:
    """An accuracy as one line."""
    return f"top-1 {accuracy.top1:.1%}, top-5 {accuracy.top5:.1%} of {accuracy.videos} videos"


def _linear(
    target: str, models: dict[str, VideoResNet], options: Options
) -> dict[str, LinearResult]:
    how = options.evaluate
    train_videos = SpreadClips(str(Path(target) / "train"), options.clips, how.linear_clips)
    val_videos = SpreadClips(str(Path(target) / "val"), options.clips, how.clips)
    labels = train_videos.manifest.labels
    if val_videos.manifest.labels != labels:
        raise TrainingError(f"{target}: train and val have different labels")
    networks = list(models.values())
    trains = extract_features(networks, train_videos, how.batch_size, options.model)
    vals = extract_features(networks, val_videos, how.batch_size, options.model)
    return {
        name: fit_and_test(train_part, val_part, labels, how, options.train.rng_seed)
        for name, train_part, val_part in zip(models, trains, vals, strict=True)
    }


def _sentence(target: str, both: dict[str, LinearResult]) -> str:
    ours, random = both["pre-trained"].accuracy, both["random"].accuracy
    classes = len(ours.per_class)
    ratio = f"{ours.top1 / random.top1:.2f} times random" if random.top1 else "random has none"
    return (
        f"{target}: fc-only top-1 pre-trained {ours.top1:.1%}, random weights {random.top1:.1%} "
        f"({ratio}); {classes} classes, chance {1 / classes:.1%}, {ours.videos} videos"
    )


def _write(out: str, accuracy: Accuracy) -> Accuracy:
    write_text(str(Path(out) / "accuracy.json"), json.dumps(asdict(accuracy), indent=1) + "\n")
    return accuracy
