"""What finetune, linear and evaluate do: transfer to labelled targets, measured (paper 4)."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.checkpoint import Checkpoint
from training.clips import SpreadClips
from training.evaluate import Predictions, VideoFeatures, cut_for_test, extract_features, predict
from training.feature_cache import cache_key, load_features, model_digest, save_features
from training.finetune import Start, restored, tune
from training.learner import build_model, in_half_precision, use_device
from training.linear import fit_linear
from training.models.networks import VideoResNet
from training.options import Options
from training.ranks import ranks
from training.results import (
    CHECKPOINT,
    PRE_TRAINED,
    RANDOM,
    Measured,
    Said,
    Where,
    forget,
    judge,
    sentence,
    write_measured,
    write_summary,
)
from training.targets import Target, open_targets, with_scratch
from training.transfer_pages import write_overview, write_page
from training.truth import TargetError, Truth, read_truth

FEATURES = "features"


def linear(folders: Sequence[str], source: Checkpoint, out: str, options: Options) -> str:
    """Fit a linear classifier on frozen features for each target; return what came out as text.

    Twice: on the checkpoint's features, and on those of the same network with random weights:
    `fc-only` of the paper. Features are kept in `features/` in `out`.

    Raises:
        ShardError: a target's split is not finished, or a shard is not what its manifest says.
        TargetError: there is no target, two have one name, splits differ in labels, or one is too
            small.
    """
    device = use_device(options.train.threads)
    random = build_model(options.model, source.model["fc.bias"].numel(), options.train.rng_seed + 1)
    networks = [
        _Network(name, model.to(device), model_digest(model.state_dict()))
        for name, model in ((PRE_TRAINED, restored(source)), (RANDOM, random))
    ]
    with _scratch() as scratch:
        results = _Results(out, "linear", options)
        for target in open_targets(folders, options, scratch):
            _linear(target, networks, results)
        return results.finish()


def finetune(folders: Sequence[str], source: Checkpoint, out: str, options: Options) -> str:
    """Train all of a pre-trained network on each target, then measure it: `full-ft` of the paper.

    With `finetune.scratch` also the same network from random weights. Runs are in
    `finetune/TARGET/WEIGHTS` in `out`.

    Raises:
        ShardError, TargetError: as for `linear`.
        TrainingError: `out` holds another run, or the loss is not finite.
    """
    starts = {PRE_TRAINED: Start(model_digest(source.model), source.model)}
    if options.finetune.scratch:
        starts[RANDOM] = Start("", {})
    with _scratch() as scratch:
        results = _Results(out, "finetune", options)
        for target in open_targets(folders, options, scratch):
            _finetune(target, starts, results)
        return results.finish()


def evaluate(folder: str, checkpoint: Checkpoint, options: Options, out: str = "") -> str:
    """Measure a checkpoint on a split that has the labels it was trained on.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TargetError: the split has other labels.
    """
    with _scratch() as scratch:
        clips = with_scratch(options.clips, scratch)
        truth = read_truth(folder, clips)
        # Weights of others name no labels: then their number must do.
        known = checkpoint.labels or truth.labels
        if truth.labels != known or len(known) != checkpoint.model["fc.bias"].numel():
            raise TargetError(f"{folder} has other labels than the checkpoint was trained on")
        parts = [part for part in folder.rstrip("/").split("/") if part]
        target = Target(parts[-2] if len(parts) > 1 else "target", folder, clips, truth, {})
        model = restored(checkpoint).to(use_device(options.train.threads))
        videos = SpreadClips(folder, cut_for_test(clips, options.evaluate), options.evaluate.clips)
        said = predict(model, videos, options, several=truth.several)
        results = _Results(out, "evaluate", options)
        weights = Said(model_digest(checkpoint.model), said)
        results.add(target, (parts[-1], truth), {CHECKPOINT: weights})
        return results.finish()


@dataclass(frozen=True)
class _Network:
    name: str
    model: VideoResNet
    digest: str


class _Results:
    """What is measured by one command, written as it comes; by the first rank only."""

    def __init__(self, out: str, verb: str, options: Options):
        self.out = out
        self.options = options
        self._verb = verb
        self._measured: list[Measured] = []
        self._writes = bool(out) and ranks().writes
        if self._writes:
            forget(out, verb)

    def add(self, target: Target, test: tuple[str, Truth], said: Mapping[str, Said]) -> None:
        """Judge what networks said of one split."""
        split, truth = test
        learned = {"train": target.train.dataset_id} if target.tests else {}
        datasets = {**learned, split: truth.dataset_id}
        where = Where(self._verb, target.name, split, datasets)
        measured, rows = judge(where, truth, said, self.options)
        self._measured.append(measured)
        if self._writes:
            write_measured(self.out, measured, rows)
            write_page(self.out, measured)

    def finish(self) -> str:
        """Write the summary; return it as text, a line per target and split."""
        if self._writes:
            write_summary(self.out, self._verb, self._measured)
            write_overview(self.out, self._verb, self._measured)
        return "\n".join(sentence(measured) for measured in self._measured)


def _linear(target: Target, networks: Sequence[_Network], results: _Results) -> None:
    options, how = results.options, results.options.evaluate
    device = next(networks[0].model.parameters()).device
    place = _Place(results.out, options, device)
    trains = place.features(target, ("train", target.train), networks, how.linear_clips)
    fitted = [
        fit_linear(train, target.train, how, device, rng_seed=options.train.rng_seed)
        for train in trains
    ]
    for split, truth in target.tests.items():
        tests = place.features(target, (split, truth), networks, how.clips)
        said = {
            network.name: Said(
                network.digest, Predictions(one.predict(test), test.clip_ids), one.choices
            )
            for network, one, test in zip(networks, fitted, tests, strict=True)
        }
        results.add(target, (split, truth), said)


@dataclass(frozen=True)
class _Place:
    """Where features are kept, and what they depend on."""

    out: str
    options: Options
    device: torch.device

    def features(
        self,
        target: Target,
        test: tuple[str, Truth],
        networks: Sequence[_Network],
        clips: int,
    ) -> list[VideoFeatures]:
        """Those of every network; one pass over the videos for all that are not kept yet."""
        (split, truth), folder = test, str(Path(self.out) / FEATURES)
        half = in_half_precision(self.options.model, self.device)
        keys = [cache_key(n.digest, truth, self.options, clips, half=half) for n in networks]
        found = [load_features(folder, key, truth) for key in keys]
        missing = [i for i, features in enumerate(found) if features is None]
        if missing:
            videos = SpreadClips(target.split(split), target.clips, clips)
            models = [networks[i].model for i in missing]
            for i, features in zip(
                missing, extract_features(models, videos, self.options), strict=True
            ):
                found[i] = features
                if ranks().writes:
                    save_features(folder, keys[i], features)
        return [features for features in found if features is not None]


def _finetune(target: Target, starts: Mapping[str, Start], results: _Results) -> None:
    options = results.options
    said: dict[str, dict[str, Said]] = {split: {} for split in target.tests}
    for name, start in starts.items():
        # From random weights no layer may be kept as it is.
        how = options if start.body else _without_factors(options)
        run = str(Path(results.out) / "finetune" / target.name / name)
        tuned = tune(target, start, how, run)
        model = restored(tuned.checkpoint).to(use_device(options.finetune.threads))
        for split, truth in target.tests.items():
            clips = cut_for_test(target.clips, options.evaluate)
            videos = SpreadClips(target.split(split), clips, options.evaluate.clips)
            predictions = predict(model, videos, options, several=truth.several)
            said[split][name] = Said(start.digest, predictions, tuned.choices)
    for split, truth in target.tests.items():
        results.add(target, (split, truth), said[split])


def _without_factors(options: Options) -> Options:
    return replace(options, finetune=replace(options.finetune, layer_lr=()))


@contextmanager
def _scratch() -> Iterator[str]:
    with tempfile.TemporaryDirectory(".tmp", "tagreel-") as folder:
        yield folder
