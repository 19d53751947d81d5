"""python -m training pretrain|finetune|linear|evaluate: one verb, one line, clear errors."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from formats.settings import SettingsError
from formats.shards import ShardError
from formats.storage import StorageError
from training import commands
from training.checkpoint import CHECKPOINT, Checkpoint, CheckpointError, load_checkpoint
from training.frames import VideoError
from training.learner import TrainingError
from training.linear import LinearError
from training.options import Options, load_options, override

# What can go wrong without a bug in this program; each says in one sentence what to do.
_EXPECTED = (
    CheckpointError,
    LinearError,
    SettingsError,
    ShardError,
    StorageError,
    TrainingError,
    VideoError,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; return the exit code: 0 done, 1 failed, 2 called wrongly, 130 interrupted."""
    parsed = _parser().parse_args(arguments)
    verb: Callable[[argparse.Namespace], str] = parsed.verb
    try:
        print(verb(parsed))
    except _EXPECTED as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


def _pretrain(parsed: argparse.Namespace) -> str:
    options = load_options(parsed.config, parsed.set)
    checkpoint = commands.pretrain(parsed.data, parsed.out, options)
    return f"trained {checkpoint.step} steps over {checkpoint.epoch + 1} epochs: {parsed.out}"


def _finetune(parsed: argparse.Namespace) -> str:
    source = _checkpoint(parsed)
    options = _options(parsed, source)
    return commands.describe(commands.finetune(parsed.target, source, parsed.out, options))


def _linear(parsed: argparse.Namespace) -> str:
    source = _checkpoint(parsed)
    options = _options(parsed, source)
    targets = parsed.target or (commands.find_targets(parsed.data) if parsed.data else [])
    return commands.linear(targets, source, parsed.out, options)


def _evaluate(parsed: argparse.Namespace) -> str:
    return commands.describe(commands.measure(parsed.target, _checkpoint(parsed)))


def _options(parsed: argparse.Namespace, source: Checkpoint) -> Options:
    """The named config with the checkpoint's network and clips, or the checkpoint's own options."""
    if parsed.config:
        return commands.with_checkpoint(source, load_options(parsed.config, parsed.set))
    return override(source.options, parsed.set)


def _checkpoint(parsed: argparse.Namespace) -> Checkpoint:
    return load_checkpoint(parsed.checkpoint or str(Path(parsed.out) / CHECKPOINT))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    verb = _verb(verbs, "pretrain", _pretrain, "learn from a dataset, or go on learning")
    verb.add_argument("--data", required=True, help="folder of the dataset job")
    verb.add_argument("--out", required=True, help="folder of the run")
    _add_options(verb)
    verb.set_defaults(config="sample")

    verb = _verb(verbs, "finetune", _finetune, "train a checkpoint on a target (full-ft)")
    verb.add_argument("--target", required=True, help="folder with train/ and val/ shards")
    verb.add_argument("--checkpoint", required=True, help="pre-trained checkpoint.pt")
    verb.add_argument("--out", required=True, help="folder of the new run")
    _add_options(verb)

    verb = _verb(verbs, "linear", _linear, "linear classifier on frozen features (fc-only)")
    verb.add_argument("--data", help="folder of the dataset job: every target it holds")
    verb.add_argument("--target", action="append", help="folder with train/ and val/; repeatable")
    verb.add_argument("--checkpoint", help="checkpoint.pt; default: the one in --out")
    verb.add_argument("--out", required=True, help="folder that linear.json is written to")
    _add_options(verb)

    verb = _verb(verbs, "evaluate", _evaluate, "accuracy of a checkpoint on a split")
    verb.add_argument("--target", required=True, help="folder of one split's shards")
    verb.add_argument("--checkpoint", required=True, help="checkpoint.pt")
    return parser


def _verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    function: Callable[[argparse.Namespace], str],
    what: str,
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=what, description=what)
    verb.set_defaults(verb=function)
    return verb


def _add_options(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--config",
        help="name in training/configs, or a file; default: sample, or what the checkpoint had",
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="SECTION.OPTION=VALUE",
        help="change one option; repeatable",
    )


if __name__ == "__main__":
    sys.exit(main())
