"""What finetune, linear and evaluate do: transfer to labelled targets, measured (paper 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.checkpoint import Checkpoint
from training.clips import SpreadClips
from training.devices import in_half_precision, use_device
from training.evaluate import Predictions, VideoFeatures, cut_for_test, extract_features, predict
from training.feature_cache import cache_key, load_features, model_digest, save_features
from training.finetune import Start, restored, tune
from training.learner import build_model
from training.linear import fit_linear
from training.models.networks import VideoResNet
from training.options import Options
from training.ranks import ranks
from training.reporting import Results
from training.results import CHECKPOINT, PRE_TRAINED, RANDOM, Said
from training.scratch import own_scratch
from training.sharing import refuse_differences, told
from training.targets import (
    Target,
    held_out,
    lone_split,
    open_targets,
    refuse_larger_test,
    with_scratch,
)
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
        SettingsError: as `refuse_larger_test`.
    """
    refuse_larger_test(options)
    device = use_device(options.train.threads)
    random = build_model(options.model, source.model["fc.bias"].numel(), options.train.rng_seed + 1)
    networks = [
        _Network(name, model.to(device), model_digest(model.state_dict()))
        for name, model in ((PRE_TRAINED, restored(source)), (RANDOM, random))
    ]
    with own_scratch() as scratch:
        results = Results(out, "linear", options)
        place = _Place(out, options, networks)
        targets = open_targets(folders, options, scratch)
        refuse_differences(options, **_data(targets), weights=networks[0].digest)
        for target in targets:
            held_out(target, options.evaluate.holdout_fraction, options.train.rng_seed)
        for target in targets:
            place.prepare(target, ("train", target.train), options.evaluate.linear_clips)
            for test in target.tests.items():
                place.prepare(target, test, options.evaluate.clips)
        # The others have nothing left to do, and need not wait.
        for target in targets if ranks().writes else []:
            _linear(target, place, results)
        return results.finish()


def finetune(folders: Sequence[str], source: Checkpoint, out: str, options: Options) -> str:
    """Train all of a pre-trained network on each target, then measure it: `full-ft` of the paper.

    With `finetune.scratch` also the same network from random weights. Runs are in
    `finetune/TARGET/WEIGHTS` in `out`.

    Raises:
        ShardError, TargetError: as for `linear`.
        SettingsError: as `cut_for_test`.
        TrainingError: `out` holds another run, or the loss is not finite.
    """
    # Refused here, and not by the first test after hours of training.
    cut_for_test(options.clips, options.evaluate)
    starts = {PRE_TRAINED: Start(model_digest(source.model), source.model)}
    if options.finetune.scratch:
        starts[RANDOM] = Start("", {})
    with own_scratch() as scratch:
        results = Results(out, "finetune", options)
        targets = open_targets(folders, options, scratch)
        refuse_differences(options, **_data(targets), weights=starts[PRE_TRAINED].digest)
        for target in targets:
            _finetune(target, starts, results)
        return results.finish()


def evaluate(folder: str, checkpoint: Checkpoint, options: Options, out: str = "") -> str:
    """Measure a checkpoint on a split that has the labels it was trained on.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        TargetError: the split has other labels.
    """
    with own_scratch() as scratch:
        clips = with_scratch(options.clips, scratch)
        truth = read_truth(folder, clips)
        # Weights of others name no labels: then their number must do.
        known, classes = checkpoint.labels or truth.labels, checkpoint.model["fc.bias"].numel()
        if len(truth.labels) != classes:
            raise TargetError(f"{folder} has {len(truth.labels)} labels, the network {classes}")
        if truth.labels != known:
            raise TargetError(f"{folder} has other labels than the checkpoint was trained on")
        digest = model_digest(checkpoint.model)
        refuse_differences(options, dataset_id=truth.dataset_id, weights=digest)
        model = restored(checkpoint).to(use_device(options.train.threads))
        videos = SpreadClips(folder, cut_for_test(clips, options.evaluate), options.evaluate.clips)
        said = predict(model, videos, options, several=truth.several)
        results = Results(out, "evaluate", options)
        results.add(*lone_split(folder, truth, clips), {CHECKPOINT: Said(digest, said)})
        return results.finish()


def _data(targets: Sequence[Target]) -> dict[str, str]:
    """`dataset_id` by split."""
    return {
        f"{target.name}/{split}": truth.dataset_id
        for target in targets
        for split, truth in {"train": target.train, **target.tests}.items()
    }


@dataclass(frozen=True)
class _Network:
    name: str
    model: VideoResNet
    digest: str


def _linear(target: Target, place: "_Place", results: Results) -> None:
    options, how = results.options, results.options.evaluate
    fitted = [
        fit_linear(train, target.train, how, place.device, rng_seed=options.train.rng_seed)
        for train in place.features(target.train, how.linear_clips)
    ]
    for split, truth in target.tests.items():
        tests = place.features(truth, how.clips)
        said = {
            network.name: Said(
                network.digest, Predictions(one.predict(test), test.clip_ids), one.choices
            )
            for network, one, test in zip(place.networks, fitted, tests, strict=True)
        }
        results.add(target, (split, truth), said)


@dataclass(frozen=True)
class _Place:
    """Where features are kept, and what they depend on."""

    out: str
    options: Options
    networks: Sequence[_Network]

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.networks[0].model.parameters()).device

    def prepare(self, target: Target, test: tuple[str, Truth], clips: int) -> None:
        """Compute the features that are not kept yet; one pass over a split for all of them."""
        (split, truth), keys = test, self._keys(test[1], clips)
        kept = self._kept(keys, truth) if ranks().writes else []
        # As the first rank finds them: all must compute the same.
        missing = told([i for i, features in enumerate(kept) if features is None])
        if not missing:
            return
        videos = SpreadClips(target.split(split), target.clips, clips)
        models = [self.networks[i].model for i in missing]
        found = extract_features(models, videos, self.options)
        if ranks().writes:
            for i, features in zip(missing, found, strict=True):
                save_features(self._folder, keys[i], features)

    def features(self, truth: Truth, clips: int) -> list[VideoFeatures]:
        """Those of every network, as they are kept.

        Raises:
            TargetError: somebody took them away since.
        """
        kept = self._kept(self._keys(truth, clips), truth)
        found = [features for features in kept if features is not None]
        if len(found) < len(kept):
            raise TargetError(f"{self._folder}: features that were there are gone: try again")
        return found

    @property
    def _folder(self) -> str:
        return str(Path(self.out) / FEATURES)

    def _kept(self, keys: Sequence[str], truth: Truth) -> list[VideoFeatures | None]:
        return [load_features(self._folder, key, truth) for key in keys]

    def _keys(self, truth: Truth, clips: int) -> list[str]:
        half = in_half_precision(self.options.model, self.device)
        return [cache_key(n.digest, truth, self.options, clips, half=half) for n in self.networks]


def _finetune(target: Target, starts: Mapping[str, Start], results: Results) -> None:
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
