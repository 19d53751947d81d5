"""The paper's `full-ft`: all of a network is trained on a target, with a grid search (paper 4)."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import write_text
from training.checkpoint import CHECKPOINT, Checkpoint
from training.clips import Chosen, SpreadClips
from training.devices import use_device
from training.errors import DivergedError
from training.evaluate import cut_for_test, predict
from training.learner import Learner, build_model
from training.linear import Choice, rank_of
from training.loop import train
from training.models.networks import VideoResNet
from training.options import FinetuneOptions, Options
from training.ranks import ranks
from training.scores import mean_average_precision, top1
from training.sharing import told
from training.targets import Target, held_out
from training.truth import TargetError, training_clips

HOLDOUT = "holdout.json"


@dataclass(frozen=True)
class Start:
    """The weights that fine-tuning begins with, but for a new last layer."""

    digest: str
    """Hash of the weights; empty for random ones."""
    body: Mapping[str, Tensor]


@dataclass(frozen=True)
class Tuned:
    """What became of them."""

    checkpoint: Checkpoint
    choices: tuple[Choice, ...]


def tune(target: Target, start: Start, options: Options, out: str) -> Tuned:
    """Choose rate and weight decay on a hold-out of `train`, then train on all of it, in `out`.

    Killed and started again, it goes on; a point of the grid that is done is not trained again.

    Raises:
        TargetError: `out` holds another search, the target is too small, or all rates are too high.
        TrainingError: `out` holds another run, or the loss is not finite.
    """
    grid = _grid(options.finetune)
    choices: tuple[Choice, ...] = ()
    if len(grid) > 1:
        choices = _search(target, start, [replace(options, finetune=p) for p in grid], out)
    taken = {f"{c.settings['lr']}, {c.settings['weight_decay']}": c.taken for c in choices}
    (best,) = [p for p in grid if len(grid) == 1 or taken[f"{p.lr}, {p.weight_decay}"]]
    return Tuned(_train(target, start, replace(options, finetune=best), out), choices)


def _grid(how: FinetuneOptions) -> list[FinetuneOptions]:
    rates, decays = how.grid_lr or (how.lr,), how.grid_weight_decay or (how.weight_decay,)
    return [
        replace(how, lr=lr, weight_decay=decay, grid_lr=(), grid_weight_decay=())
        for lr, decay in itertools.product(sorted(set(rates)), sorted(set(decays)))
    ]


def _search(target: Target, start: Start, points: list[Options], out: str) -> tuple[Choice, ...]:
    """What the hold-out says of every point; among equals the lowest rate is taken."""
    how = points[0]
    held = held_out(target, how.evaluate.holdout_fraction, how.finetune.rng_seed)
    choices = [_point(target, start, point, out, held) for point in points]
    best = max(choices, key=lambda choice: rank_of(choice, target.train))
    if best.diverged:
        raise TargetError(f"{target.name}: the loss overflows at every rate of finetune.grid_lr")
    return tuple(replace(choice, taken=choice is best) for choice in choices)


def _point(
    target: Target, start: Start, options: Options, out: str, held: frozenset[str]
) -> Choice:
    """Train on what is not held out and test on what is, unless that was done before."""
    how = options.finetune
    settings = {"lr": how.lr, "weight_decay": how.weight_decay}
    folder = Path(out) / "grid" / f"lr-{how.lr:g}-decay-{how.weight_decay:g}"
    key = _key(target, start, options)
    # Another machine may still see the folder as it was a while ago.
    if not told((folder / HOLDOUT).exists()):
        choice = _tried(target, start, options, str(folder), held)
        content = {"key": key, "top1": choice.top1, "mean_ap": choice.mean_ap}
        if ranks().writes:
            text = json.dumps({**content, "diverged": choice.diverged})
            write_text(str(folder / HOLDOUT), text + "\n")
            # Its weights are of no more use, and as large as those that will be.
            (folder / CHECKPOINT).unlink(missing_ok=True)
    # Every rank takes what the first one found: they must not choose differently.
    found = told(_found(folder / HOLDOUT, key) if ranks().writes else {})
    return Choice(settings, found["top1"], found["mean_ap"], diverged=bool(found["diverged"]))


def _found(path: Path, key: str) -> dict[str, float]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        same = content.pop("key") == key
        found = {name: float(content[name]) for name in ("top1", "mean_ap", "diverged")}
        if not all(0 <= share <= 1 for share in found.values()):
            raise ValueError(f"not shares: {found}")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise TargetError(f"{path}: cannot be read, delete it to train anew: {error}") from error
    if not same:
        raise TargetError(
            f"{path}: of a search with other options or data: choose another OUT= (--out)"
        )
    return found


def _tried(
    target: Target, start: Start, options: Options, out: str, held: frozenset[str]
) -> Choice:
    settings = {"lr": options.finetune.lr, "weight_decay": options.finetune.weight_decay}
    try:
        checkpoint = _train(target, start, options, out, lambda clip_id: clip_id not in held)
        model = restored(checkpoint).to(use_device(options.finetune.threads))
        how, clips = options.evaluate, cut_for_test(target.clips, options.evaluate)
        videos = SpreadClips(target.split("train"), clips, how.clips, held.__contains__)
        said = predict(model, videos, options, several=target.train.several)
    except DivergedError:
        return Choice(settings, 0.0, 0.0, diverged=True)
    truth_VC = target.train.matrix(said.clip_ids)
    mean_ap = mean_average_precision(said.scores_VC, truth_VC)
    return Choice(settings, top1(said.scores_VC, truth_VC), mean_ap)


def _train(
    target: Target, start: Start, options: Options, out: str, chosen: Chosen | None = None
) -> Checkpoint:
    how, device = options.finetune, use_device(options.finetune.threads)
    seed = {"rng_seed": how.rng_seed, "batch_size": how.batch_size}
    clips = training_clips(target.split("train"), target.train, target.clips, chosen, **seed)
    model = build_model(options.model, len(target.train.labels), how.rng_seed)
    _begin(model, start)
    learner = Learner(model, how, options.model, device, start.digest)
    return train(learner, clips, options, section="finetune", out=out)


def _begin(model: VideoResNet, start: Start) -> None:
    """Put the weights into a network with another last layer."""
    if not start.body:
        return
    body = {name: value for name, value in start.body.items() if not name.startswith("fc.")}
    try:
        left = model.load_state_dict(body, strict=False)
    except RuntimeError as error:
        raise TargetError(f"the weights are of another network: {error}") from error
    if left.unexpected_keys or set(left.missing_keys) != {"fc.weight", "fc.bias"}:
        raise TargetError("the weights are of another network than the options name")


def restored(checkpoint: Checkpoint) -> VideoResNet:
    """The network of a checkpoint, on the CPU."""
    model = build_model(checkpoint.options.model, checkpoint.model["fc.bias"].numel(), 0)
    model.load_state_dict(checkpoint.model)
    return model


def _key(target: Target, start: Start, options: Options) -> str:
    """What the result of a point depends on."""
    sections = (options.model, options.clips, options.finetune, options.evaluate)
    parts = [significant(section) for section in sections]
    return digest_of(start.digest, target.train.dataset_id, parts, ranks().count)
