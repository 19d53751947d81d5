"""`python -m pipelines STAGE|dataset|preflight|sample|verify|...`: the dataset side's commands."""

import argparse
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from formats.settings import SettingsError
from formats.shards import ShardError
from formats.storage import StorageError, is_refusal, refused
from formats.tables import TableError
from labelspace.extract import HashtagError
from labelspace.hashtags import LabelError
from labelspace.seeds import SeedError
from pipelines.benchmarks.target_specs import NAMES
from pipelines.catalogs import CatalogError
from pipelines.command_parser import CommandParser
from pipelines.job_words import described_job, evaluated_job, settings_in
from pipelines.readers.columns import printable
from pipelines.run import (
    LOCAL,
    STAGES,
    Job,
    JobError,
    StageRecord,
    exclusive,
    run_stage,
    write_config,
)
from pipelines.stage_lines import lines_after, too_few_matches

if TYPE_CHECKING:
    from pipelines.reporting.summary import Summary

WORLD = "build/world"

# What users run into: one sentence each. Anything else is a bug and keeps its traceback.
EXPECTED = (
    CatalogError,
    HashtagError,
    JobError,
    LabelError,
    SeedError,
    SettingsError,
    ShardError,
    StorageError,
    TableError,
)


def main(words: Sequence[str], *, ends_process: bool = False) -> int:
    """Run one command; return the exit code. Expected trouble is one sentence on stderr."""
    arguments = _parser().parse_args(words)
    if ends_process and getattr(arguments, "runner", LOCAL) == LOCAL:
        # Beam logs every worker's traceback, also of those that end after the command; the error
        # itself reaches us and is told once.
        logging.disable(logging.ERROR)
    try:
        with _stoppable():
            arguments.command(arguments)
    except EXPECTED as error:
        print(f"tagreel: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        if not is_refusal(error):
            raise
        print(f"tagreel: {refused(str(error.filename), error, 'used')}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print("tagreel: stopped; the same command goes on from here", file=sys.stderr)
        return 128 + (signal.SIGTERM if isinstance(stop, _Terminated) else signal.SIGINT)
    return 0


class _Terminated(KeyboardInterrupt):
    """SIGTERM: how a batch system, or a machine that shuts down, says stop."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM end the block as ^C does; a thread cannot be told, and is not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(prog="python -m pipelines", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(verbs, "dataset", _dataset, "every stage, then the report", _job_arguments)
    for stage in STAGES:
        verb = _add(verbs, stage, _one_stage, f"only the stage {stage}", _job_arguments)
        verb.set_defaults(stage=stage)
    verb = _add(verbs, "preflight", _preflight, "fetch a sample and forecast", _job_arguments)
    verb.add_argument("--rows", type=int, default=200, help="how many matches to fetch (200)")
    _add(verbs, "sample", _sample, "render the sample world", _world_argument)
    verb = _add(verbs, "verify", _verify, "re-read shards, videos and tables", _out_argument)
    verb.add_argument("--subset", default="1/1", metavar="n/t", help="only the n-th of t parts")
    verb = _add(verbs, "takedown", _takedown, "remove videos, and keep them out", _out_argument)
    verb.add_argument("--ids", required=True, help="file of ids, URIs, uploader:NAME")
    _add(verbs, "overlap", _overlap, "compare with a target's label list", _overlap_arguments)
    verb = _add(verbs, "dedup-eval", _dedup_eval, "recall on edited targets", _job_arguments)
    verb.add_argument("--videos", type=int, default=20, help="how many targets to edit (20)")
    verb = _add(verbs, "audit", _audit, "judge removed videos by eye", _out_argument)
    verb.add_argument("--pairs", type=int, default=50, help="how many to judge (50)")
    verb.add_argument("--verdicts", default="", help="a CSV file of verdicts on them")
    verb = _add(verbs, "report", _report, "write the page, the plots and the card", _out_argument)
    _set_argument(verb)
    return parser


def _add(
    verbs: "argparse._SubParsersAction[CommandParser]",
    name: str,
    command: Callable[[argparse.Namespace], None],
    text: str,
    arguments: Callable[[argparse.ArgumentParser], None],
) -> argparse.ArgumentParser:
    verb = verbs.add_parser(name, help=text, description=text)
    verb.set_defaults(command=command)
    arguments(verb)
    return verb


def _out_argument(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--out", type=Path, required=True, help="the job's folder")


def _overlap_arguments(verb: argparse.ArgumentParser) -> None:
    _out_argument(verb)
    verb.add_argument(
        "lists", nargs="+", metavar="NAME_OR_PATH", help="a label list: kinetics, or a file"
    )


def _world_argument(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--world", default=WORLD, help=f"the sample world's folder ({WORLD})")


TARGETS_HELP = (
    "target sets, between commas: a table of videos, or NAME:FOLDER of a benchmark as its authors "
    f"hand it out ({', '.join(NAMES)})"
)


def _job_arguments(verb: argparse.ArgumentParser) -> None:
    _out_argument(verb)
    _world_argument(verb)
    verb.add_argument("--seed", default="kinetics", help="a seed set's name, or a file of labels")
    verb.add_argument("--catalog", help="your catalog; without one the sample world is used")
    verb.add_argument("--targets", default="", help=TARGETS_HELP)
    verb.add_argument("--config", action="append", default=[], help="a TOML file of options")
    _set_argument(verb)
    verb.add_argument("--retry", default="", help="reasons of rejected videos to try once more")
    verb.add_argument("--runner", default=LOCAL, help="local, or the name of a Beam runner")
    verb.add_argument("beam", nargs="*", help="after --: arguments for Beam")


def _set_argument(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--set", action="append", default=[], help="section.option=value", dest="words"
    )


def _dataset(arguments: argparse.Namespace) -> None:
    with described_job(arguments) as job:
        write_config(job)
        _say_start(job)
        seconds = 0.0
        for stage in STAGES:
            seconds += _run(stage, job).seconds
            if stage == "match" and (few := too_few_matches(job)):
                raise JobError(few)
        _finish(job, seconds)


def _one_stage(arguments: argparse.Namespace) -> None:
    needs_no_catalog = arguments.stage == "targets" and arguments.catalog is None
    with (evaluated_job if needs_no_catalog else described_job)(arguments) as job:
        if arguments.stage == "targets" and not job.targets and any(job.out.glob("targets/*")):
            raise JobError(f"{job.out}: holds target sets; name TARGETS, or NAME and ROOT")
        write_config(job)
        _run(arguments.stage, job)
        if arguments.stage == "match":
            _warn(job)


def _preflight(arguments: argparse.Namespace) -> None:
    with described_job(arguments) as job:
        write_config(job)
        for stage in ("expand", "match"):
            _run(stage, job)
        _warn(job)
        preflight = importlib.import_module("pipelines.preflight")
        for line in preflight.lines(preflight.preflight(job, arguments.rows)):
            print(line)
        print(f"the same as JSON: {job.path(preflight.PREFLIGHT)}")


def _dedup_eval(arguments: argparse.Namespace) -> None:
    with evaluated_job(arguments) as job:
        evaluation = importlib.import_module("pipelines.dedup_eval")
        told = importlib.import_module("pipelines.judging.evaluation")
        for line in told.lines(evaluation.evaluate(job, arguments.videos)):
            print(line)
        print(f"the same with every miss: {job.path(told.EVALUATION)}")


def _report(arguments: argparse.Namespace) -> None:
    finish = importlib.import_module("pipelines.finish")
    finish.report_again(arguments.out, settings_in(arguments.words))
    print(f"look at {arguments.out}/report/index.html and {arguments.out}/DATASET_CARD.md")


def _sample(arguments: argparse.Namespace) -> None:
    world = importlib.import_module("pipelines.sample").build_world(arguments.world)
    print(f"sample world: {world.catalog}")


def _verify(arguments: argparse.Namespace) -> None:
    verify = importlib.import_module("pipelines.verify")
    counts = verify.verify(arguments.out, verify.parse_subset(arguments.subset))
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()) + ": all as written")


def _takedown(arguments: argparse.Namespace) -> None:
    takedown = importlib.import_module("pipelines.takedown")
    takedown.offline_job(arguments.out)
    with exclusive(arguments.out):
        print(takedown.describe(takedown.take_down(arguments.out, arguments.ids)))


def _overlap(arguments: argparse.Namespace) -> None:
    overlap = importlib.import_module("pipelines.overlap")
    for name, found in overlap.compare(arguments.out, arguments.lists).items():
        print(overlap.describe(name, found), end="\n\n")
    print(f"the same with every label: {arguments.out / overlap.REPORT}")


def _audit(arguments: argparse.Namespace) -> None:
    audit = importlib.import_module("pipelines.audit")
    for line in audit.lines(arguments.out, arguments.pairs, arguments.verdicts):
        print(line)


def _run(stage: str, job: Job) -> StageRecord:
    record, done = run_stage(stage, job)
    counts = "  ".join(f"{name} {count:,}" for name, count in record.counts.items())
    time = "done before" if done else f"{record.seconds:.1f} s"
    print(f"{stage:<12} {time:>11}  {counts}", flush=True)
    for line in () if done else lines_after(job, record):
        print(line, flush=True)
    return record


def _warn(job: Job) -> None:
    if few := too_few_matches(job):
        print(few, file=sys.stderr)


def _say_start(job: Job) -> None:
    catalog, targets = printable(str(job.catalog)), ", ".join(job.targets) or "none"
    print(f"seed set {job.seed}, catalog {catalog}, targets {targets}")
    if not job.targets:
        print("no TARGETS given: nothing is removed as a duplicate of a benchmark", file=sys.stderr)


def _finish(job: Job, seconds: float) -> None:
    summary: Summary = importlib.import_module("pipelines.finish").write_results(job)
    print(f"\n{'fate':<18}{'rows':>8}")
    for fate, count in summary.fates.items():
        if count:
            print(f"{fate:<18}{count:>8,}")
    print(f"{'catalog rows':<18}{summary.catalog_rows:>8,}\n")
    print(f"{'split':<14}{'clips':>8}{'minutes':>10}{'labels':>8}")
    for name, held in summary.splits.items():
        print(f"{name:<14}{held.clips:>8,}{held.minutes:>10.1f}{held.labels:>8}")
    print(f"\ndataset {summary.dataset_id[:16]} in {seconds:.0f} s of work: {job.out}/shards")
    print(f"look at {job.out}/report/index.html and {job.out}/DATASET_CARD.md")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], ends_process=True))
