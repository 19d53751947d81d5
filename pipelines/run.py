"""Running a stage: skip it if it is done, else do it, count, commit.

A stage is done when `OUT/stages/<stage>.json` holds the key it would have now: its options, what
the stages before it produced (by content), and the files from outside that it reads. That record is
written last; without it a stage's output does not exist and is made again.
"""

import fcntl
import importlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from formats.settings import significant, to_toml
from formats.shards import digest_of
from formats.storage import StorageError, file_states, remove_leftovers, sha256_file, write_text
from labelspace.seeds import load_seeds
from pipelines.benchmarks.target_specs import files_of
from pipelines.options import Options
from pipelines.scratch import own_scratch

# Raise it when a stage's output changes for the same options and input.
FORMAT = 6

# The engine that runs in this process; any other is a Beam runner's name.
LOCAL = "local"


class JobError(Exception):
    """The job cannot go on; the message says what, where and what to do."""


@dataclass(frozen=True)
class Stage:
    """What a stage depends on and what it leaves."""

    needs: tuple[str, ...]
    options: tuple[str, ...]
    outputs: tuple[str, ...]
    """Files and folders under OUT that are the stage's own."""
    appends: bool = False
    """What an earlier run left is kept and added to."""
    prepares: bool = False
    """Input from outside is looked at by `prepare(job)`, which hands back what `run` is to others:
    what is wrong with it must cost nothing of what an earlier run left."""


STAGES: Mapping[str, Stage] = {
    "expand": Stage((), ("expand",), ("hashtags.parquet", "hashtags.json", "expansion.json")),
    "match": Stage(("expand",), ("run", "match"), ("matches", "unreadable"), prepares=True),
    "targets": Stage(
        (),
        ("run", "targets", "fetch"),
        ("targets", "target_videos", "target_shards"),
        appends=True,
        prepares=True,
    ),
    "fetch": Stage(("match",), ("run", "fetch"), ("videos",), appends=True),
    "deduplicate": Stage(
        ("fetch", "targets"), ("run", "deduplicate"), ("duplicates", "decoys", "reposts")
    ),
    "label": Stage(
        ("match", "fetch", "deduplicate"),
        ("run", "label", "expand"),
        ("labels.parquet", "labels.json", "labelled"),
    ),
    "split": Stage(("label",), ("run", "split"), ("clips", "quotas.parquet")),
    "shard": Stage(("split", "label", "deduplicate"), ("run", "shard", "fetch"), ("shards",)),
}


@dataclass(frozen=True)
class Job:
    """One dataset job: where it writes, what it reads, how it is set up."""

    out: Path
    seed: str
    """A seed set's name, or the path of a file of labels."""
    options: Options
    catalog: str | None = None
    targets: tuple[str, ...] = ()
    """Tables of target videos; the file's stem is the target set's name."""
    runner: str = LOCAL
    beam_args: tuple[str, ...] = ()

    def path(self, *names: str) -> str:
        """A path under OUT."""
        return str(self.out.joinpath(*names))

    @property
    def config_digest(self) -> str:
        """Hash of every option that shapes the dataset, and of the seed labels."""
        sections = {name: significant(getattr(self.options, name)) for name in vars(self.options)}
        return digest_of(FORMAT, _seed_digest(self), sections)


@dataclass(frozen=True)
class StageRecord:
    """`OUT/stages/<stage>.json`: what a finished stage left."""

    stage: str
    key: str
    config_digest: str
    seconds: float
    bytes: int
    counts: dict[str, int]
    files: dict[str, int]
    """Bytes by path under OUT."""
    result_digest: str
    """Hash of the tables and manifests left; the stages after this one start from it."""


@dataclass
class Outcome:
    """What a stage hands back besides its files."""

    counts: dict[str, int] = field(default_factory=dict)
    unfinished: bool = False
    """The output stands, but a next run should try again (videos to retry later)."""


def run_stage(stage: str, job: Job) -> tuple[StageRecord, bool]:
    """Bring one stage up to date.

    Returns:
        The stage's record, and whether it had been done before.

    Raises:
        JobError: a stage before it has not been run.
        StorageError: the disk refused; nothing is left of the stage but the units it appended.
        CatalogError, JobError: the input is wrong; what was left before stands, unless that only
            shows when all of it is read.
    """
    key = stage_key(stage, job)
    done = read_record(stage, job.out)
    # What is to be retried is in no key: it says what to do now, not what to leave.
    again = stage == "fetch" and job.options.fetch.retry
    if done is not None and done.key == key and not again and _files_present(done, job.out):
        return done, True
    started = time.monotonic()
    work = _prepare(stage, job)
    _clear(stage, job)
    try:
        outcome = work()
        seconds = round(time.monotonic() - started, 3)
        record = _commit(stage, job, "" if outcome.unfinished else key, (seconds, outcome.counts))
    except StorageError:
        # What no record names is nothing, and the next run would delete it: rather make room.
        with suppress(OSError):
            _clear(stage, job)
        raise
    return record, False


def read_record(stage: str, out: Path) -> StageRecord | None:
    """The record of a finished stage; None if it is not finished (or the record is damaged)."""
    try:
        return StageRecord(**json.loads(_record_path(stage, out).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def write_config(job: Job) -> None:
    """Leave the resolved options in `OUT/config.toml`."""
    header = f"# Tagreel, resolved options of this job.\n# seed set: {job.seed!r}\n"
    write_text(job.path("config.toml"), header + to_toml(job.options))


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Hold OUT for this process.

    Raises:
        JobError: another job holds it.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        if not (out / ".lock").exists() and any(out.iterdir()):
            raise JobError(
                f"{out}: holds files that are not Tagreel's; give an empty or new folder"
            )
        lock = open(out / ".lock", "w")  # noqa: SIM115
    except OSError as error:
        raise JobError(f"{out}: cannot be used as the output folder: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise JobError(f"{out}: another job is writing here; wait for it to end") from error
        for folder in (out, out / "stages", out / "report"):
            remove_leftovers(str(folder))
        with own_scratch(out):
            yield


def _prepare(stage: str, job: Job) -> Callable[[], Outcome]:
    # Imported only now: a stage that is done must not cost the start of Beam.
    module = importlib.import_module(f"pipelines.{stage}")
    return module.prepare(job) if STAGES[stage].prepares else partial(module.run, job)


def _clear(stage: str, job: Job) -> None:
    """Undo the stage's commit, and with it what it left: no stale part may be read as a new one."""
    _record_path(stage, job.out).unlink(missing_ok=True)
    for name in STAGES[stage].outputs:
        remove_leftovers(job.path(name), below=True)
    if not STAGES[stage].appends:
        for path in _outputs(stage, job):
            path.unlink()


def stage_key(stage: str, job: Job) -> str:
    """What a stage's output depends on, as a hash.

    Raises:
        JobError: a stage before it has not been run.
    """
    spec = STAGES[stage]
    before = []
    for needed in spec.needs:
        record = read_record(needed, job.out)
        if record is None:
            raise JobError(f"{stage} needs the stage {needed}; run `make {needed}` first")
        before.append(record.result_digest)
    chosen = {name: significant(getattr(job.options, name)) for name in spec.options}
    return digest_of(FORMAT, stage, chosen, before, _outside(stage, job))


def _outside(stage: str, job: Job) -> Any:
    """What a stage reads that no stage made, so that a change is noticed."""
    if stage == "expand":
        return _seed_digest(job)
    if stage == "match":
        return file_states([job.catalog] if job.catalog else [])
    if stage == "targets":
        return file_states(file for table in job.targets for file in files_of(table))
    if stage == "label":
        return Path(job.seed).name  # labels.json says it
    return None


def _seed_digest(job: Job) -> str:
    seeds = load_seeds(job.seed, job.options.expand.verbnet)
    return digest_of(seeds.joined, [list(vars(one).values()) for one in seeds.seeds])


def _commit(stage: str, job: Job, key: str, done: tuple[float, dict[str, int]]) -> StageRecord:
    files, result_digest = left_by(stage, job)
    seconds, counts = done
    record = StageRecord(
        stage,
        key,
        job.config_digest,
        seconds,
        sum(files.values()),
        counts,
        files,
        result_digest,
    )
    write_record(record, job.out)
    return record


def left_by(stage: str, job: Job) -> tuple[dict[str, int], str]:
    """Bytes by path of what a stage left, and the hash of it."""
    files = {str(path.relative_to(job.out)): path.stat().st_size for path in _outputs(stage, job)}
    # Tars are named, with their hashes, by the tables and manifests beside them.
    tables = {n: sha256_file(job.path(n)) for n in files if n.endswith((".parquet", ".json"))}
    return files, digest_of(tables)


def write_record(record: StageRecord, out: Path) -> None:
    """Commit a stage."""
    path = str(_record_path(record.stage, out))
    write_text(path, json.dumps(asdict(record), indent=1) + "\n")


def _outputs(stage: str, job: Job) -> Iterator[Path]:
    for name in STAGES[stage].outputs:
        path = job.out / name
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] != ".")
        elif path.exists():
            yield path


def _files_present(record: StageRecord, out: Path) -> bool:
    return all(
        (out / name).is_file() and (out / name).stat().st_size == size
        for name, size in record.files.items()
    )


def _record_path(stage: str, out: Path) -> Path:
    return out / "stages" / f"{stage}.json"
