"""python -m training train|pretrain|inflate|finetune|linear|evaluate|action|bench: one verb."""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from formats.settings import SettingsError
from formats.shards import ShardError
from formats.storage import StorageError
from training import actions, commands, transfer
from training.bench import CLASSES, as_json, bench, table
from training.checkpoint import CHECKPOINT, Checkpoint, CheckpointError, load_checkpoint
from training.devices import memory_told
from training.errors import TrainingError
from training.frames import VideoError
from training.inflation import inflate_checkpoint
from training.loop import TrainingStopped
from training.options import Options, load_options, override
from training.ranks import PeerError, first_to_say, joined, ranks
from training.run_folder import run_folder
from training.targets import check_targets, find_targets, without_training
from training.truth import TargetError
from training.weights import as_checkpoint, load_weights
from training.workers import WorkerError, losses_told

# What can go wrong without a bug in this program; each says in one sentence what to do.
_EXPECTED = (
    CheckpointError,
    PeerError,
    SettingsError,
    ShardError,
    StorageError,
    TargetError,
    TrainingError,
    VideoError,
    WorkerError,
)


_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"
_NO_TARGET = "no target set: nothing measured; `make linear TARGET=...` measures on one"
_WEIGHTS = "weights to begin with: a checkpoint.pt, or a file of torchvision, ig65m-pytorch or VMZ"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code.

    0 done, 1 failed, 2 called wrongly, 130 interrupted, 143 stopped by SIGTERM with a checkpoint.
    Of the processes that torchrun starts, the first one prints what came out.
    """
    parsed = parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], str] = parsed.verb
    try:
        # The inner ones see an error first: a lost worker is no lost connection.
        out = run_folder(getattr(parsed, "out", None) or "")
        with joined() as here, out, memory_told(), losses_told():
            text = verb(parsed)
            if here.writes:
                print(text)
    except _EXPECTED as error:
        if first_to_say(str(error)):
            print(f"tagreel: {error}", file=sys.stderr)
        return 143 if isinstance(error, TrainingStopped) else 1
    except KeyboardInterrupt:
        again = "the same command goes on from the last checkpoint"
        if first_to_say(again):
            print(f"tagreel: stopped; {again}", file=sys.stderr)
        return 130
    return 0


def _train(parsed: argparse.Namespace) -> str:
    options = load_options(parsed.config, parsed.set)
    targets = _found(parsed.data)
    if ranks().writes:
        check_targets(targets, options)
    checkpoint = commands.pretrain(parsed.data, parsed.out, options, parsed.weights or "")
    if ranks().writes:
        print(commands.summary(checkpoint, parsed.out), flush=True)
    if not targets:
        return _NO_TARGET
    return transfer.linear(targets, checkpoint, parsed.out, options)


def _pretrain(parsed: argparse.Namespace) -> str:
    options = load_options(parsed.config, parsed.set)
    checkpoint = commands.pretrain(parsed.data, parsed.out, options, parsed.weights or "")
    return commands.summary(checkpoint, parsed.out)


def _inflate(parsed: argparse.Namespace) -> str:
    return inflate_checkpoint(parsed.checkpoint, parsed.out, parsed.set)


def _bench(parsed: argparse.Namespace) -> str:
    options = load_options(parsed.config, parsed.set)
    clips = commands.dataset_clips(parsed.data, options) if parsed.data else None
    labels = clips.manifest.labels if clips else tuple(str(i) for i in range(CLASSES))
    result = bench(commands.new_learner(options, labels), clips, options, parsed.steps)
    return as_json(result) if parsed.json else table(result)


def _finetune(parsed: argparse.Namespace) -> str:
    source = _checkpoint(parsed)
    options = _options(parsed, source)
    return transfer.finetune(_targets(parsed), source, parsed.out, options)


def _linear(parsed: argparse.Namespace) -> str:
    source = _checkpoint(parsed)
    options = _options(parsed, source)
    return transfer.linear(_targets(parsed), source, parsed.out, options)


def _evaluate(parsed: argparse.Namespace) -> str:
    source = _checkpoint(parsed)
    options = override(source.options, parsed.set)
    return transfer.evaluate(parsed.target, source, options, parsed.out or "")


def _action(parsed: argparse.Namespace) -> str:
    verb, noun = (
        actions.Judge(source, override(source.options, parsed.set))
        for source in map(load_checkpoint, (parsed.verb_net, parsed.noun_net))
    )
    return actions.recognise(parsed.target, verb, noun, parsed.out or "")


def _targets(parsed: argparse.Namespace) -> list[str]:
    return parsed.target or (_found(parsed.data) if parsed.data else [])


def _found(data: str) -> list[str]:
    """The target sets of a dataset that can be measured on; the others are told."""
    found = find_targets(data)
    lacking = without_training(found)
    if ranks().writes:
        for folder in lacking:
            print(f"{folder}: no video to learn from (subset train), so not measured on")
    return [folder for folder in found if folder not in lacking]


def _options(parsed: argparse.Namespace, source: Checkpoint) -> Options:
    """The named config with the checkpoint's network and clips, or the checkpoint's own options.

    What is set by name holds in either case.
    """
    options = source.options
    if parsed.config:
        options = load_options(parsed.config, [])
        options = replace(options, model=source.options.model, clips=source.options.clips)
    return override(options, parsed.set)


def _checkpoint(parsed: argparse.Namespace) -> Checkpoint:
    """The checkpoint that is named, or weights of others as one with the options of this call."""
    if not parsed.weights:
        return load_checkpoint(parsed.checkpoint or _own_checkpoint(parsed.out))
    weights = load_weights(parsed.weights)
    trust = "" if weights.labels else "; classes without names, taken to be in a target's order"
    if ranks().writes:
        print(f"{parsed.weights}: {weights.found}{trust}", file=sys.stderr)
    if weights.labels:
        return load_checkpoint(parsed.weights)
    config, words = getattr(parsed, "config", None), getattr(parsed, "set", [])
    options = load_options(config, words) if config else override(Options(), words)
    return as_checkpoint(weights, options)


def _own_checkpoint(out: str) -> str:
    path = Path(out) / CHECKPOINT
    if not path.exists():
        raise CheckpointError(
            f"{path}: no checkpoint there: run `make train` first, or name one with CHECKPOINT= "
            "or WEIGHTS= (--checkpoint, --weights)"
        )
    return str(path)


def parser() -> argparse.ArgumentParser:
    """What the command line may hold."""
    whole = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = whole.add_subparsers(required=True, metavar="VERB")
    _add_source_verbs(verbs)
    _add_target_verbs(verbs)
    return whole


def _add_source_verbs(verbs: _Verbs) -> None:
    for name, function, what in (
        ("train", _train, "pretrain, then linear on the dataset's targets if it has any"),
        ("pretrain", _pretrain, "learn from a dataset, or go on learning"),
    ):
        verb = _verb(verbs, name, function, what)
        verb.add_argument("--data", required=True, help="folder of the dataset job; s3://, gs://")
        verb.add_argument("--out", required=True, help="folder of the run")
        verb.add_argument("--weights", help=_WEIGHTS)
        _add_options(verb)
        verb.set_defaults(config="sample")

    verb = _verb(verbs, "inflate", _inflate, "turn an R2D trained on frames into an R3D")
    verb.add_argument("--checkpoint", required=True, help="checkpoint.pt of model.kind = r2d")
    verb.add_argument("--out", required=True, help="folder that the R3D's checkpoint.pt goes to")
    _add_set(verb)

    verb = _verb(verbs, "bench", _bench, "speed of the loader, the network, and both")
    verb.add_argument("--data", help="folder of the dataset job; without it only the network")
    verb.add_argument("--steps", type=_steps, default=50, help="steps to measure; default: 50")
    verb.add_argument("--json", action="store_true", help="print JSON in place of the table")
    _add_options(verb)
    verb.set_defaults(config="sample")


def _add_target_verbs(verbs: _Verbs) -> None:
    verb = _verb(verbs, "finetune", _finetune, "train a checkpoint on a target (full-ft)")
    _add_targets(verb)

    verb = _verb(verbs, "linear", _linear, "linear classifier on frozen features (fc-only)")
    _add_targets(verb)

    verb = _verb(verbs, "evaluate", _evaluate, "accuracy of a checkpoint on a split")
    verb.add_argument("--target", required=True, help="folder of one split's shards")
    _add_source(verb, "checkpoint.pt")
    verb.add_argument("--out", help="folder for the result as JSON and as a page")
    _add_set(verb)

    verb = _verb(verbs, "action", _action, "accuracy of a verb and a noun network on actions")
    verb.add_argument("--target", required=True, help="folder of one split's shards of actions")
    verb.add_argument("--verb-net", required=True, help="checkpoint.pt that was tuned on the verbs")
    verb.add_argument("--noun-net", required=True, help="checkpoint.pt that was tuned on the nouns")
    verb.add_argument("--out", help="folder for the result as JSON and as a page")
    _add_set(verb)


def _add_targets(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--data", help="folder of the dataset job: every target it holds")
    verb.add_argument("--target", action="append", help="folder with train/ and val/; repeatable")
    _add_source(verb, "checkpoint.pt; default: the one in --out", required=False)
    verb.add_argument("--out", required=True, help="folder for results as JSON and as pages")
    _add_options(verb)


def _verb(
    verbs: _Verbs,
    name: str,
    function: Callable[[argparse.Namespace], str],
    what: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=what, description=what)
    verb.set_defaults(verb=function)
    return verb


def _add_source(verb: argparse.ArgumentParser, what: str, *, required: bool = True) -> None:
    source = verb.add_mutually_exclusive_group(required=required)
    source.add_argument("--checkpoint", help=what)
    source.add_argument("--weights", help=_WEIGHTS)


def _add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--config",
        help="name in training/configs, or a file; default: sample, or what the checkpoint had",
    )
    _add_set(verb)


def _add_set(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.OPTION=VALUE",
        help="change one option; repeatable",
    )


def _steps(text: str) -> int:
    steps = int(text)
    if steps < 1:
        raise argparse.ArgumentTypeError(f"want at least 1, got {steps}")
    return steps


if __name__ == "__main__":
    sys.exit(main())
