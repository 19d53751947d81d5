"""Stage targets: benchmark videos -> `targets/<name>/`, their hashes and an index of them.

A target table (CSV) names videos: video_id, uri, label? or labels?, subset? (train | val). Target
videos with a label and a subset also become shards in `target_shards/<name>/<subset>`, so that
transfer to the benchmark can be measured with the same loader. A set stays as it is while its table
and the options do, whatever other sets come and go.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import apache_beam as beam

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import remove_leftovers, write_text
from formats.tables import TargetVideoRow, read_rows, write_rows
from pipelines.benchmarks.target_files import record_folder
from pipelines.benchmarks.target_sets import (
    Piece,
    PiecePlan,
    SetFolder,
    TargetSet,
    describe_piece,
    plan_pieces,
    read_set,
    write_piece,
)
from pipelines.benchmarks.target_shards import SHARDS, delete_shards, write_target_shards
from pipelines.benchmarks.target_specs import files_of
from pipelines.benchmarks.target_tables import sorted_targets, target_folder, target_name
from pipelines.benchmarks.target_units import TargetUnit, hash_unit
from pipelines.engine import Engine, progress
from pipelines.options import Options
from pipelines.run import FORMAT, Job, JobError, Outcome

TABLE = "targets"
VIDEOS = "target_videos"
_UNIT_VIDEOS = 16
_MOST_UNITS = 1024
_LIMITS = ("max_failed_fraction",)


def prepare(job: Job) -> Callable[[], Outcome]:
    """Read the job's target tables, and hand back what hashes their videos.

    Raises:
        JobError: a target table is missing or lacks columns, a folder does not hold its benchmark,
            or two have one name.
    """
    if len({target_name(table) for table in job.targets}) < len(job.targets):
        raise JobError("two target tables have one name; rename one of the files")
    for table in job.targets:
        sorted_targets(table)
    return partial(_hash_sets, job)


def _hash_sets(job: Job) -> Outcome:
    """Hash every target video and build the index of each set.

    Raises:
        JobError: too many videos of a set fail.
    """
    counts = {"videos": 0, "hashes": 0, "failed": 0}
    _forget_others(job)
    for table in job.targets:
        record_folder(target_name(table), table, job.out)
        found = _hash_set(table, job)
        for name in counts:
            counts[name] += getattr(found, name)
    return Outcome(counts)


def video_files(job: Job) -> tuple[str, ...]:
    """The tables of the videos of the job's target sets."""
    return tuple(job.path(VIDEOS, f"{target_name(table)}.parquet") for table in job.targets)


def index_files(job: Job) -> tuple[str, ...]:
    """The pieces of the indexes of the job's target sets.

    Raises:
        JobError: a set was never finished.
    """
    folders = [job.path(TABLE, target_name(table)) for table in job.targets]
    return tuple(f"{folder}/{p.path}" for folder in folders for p in read_set(folder).pieces)


@dataclass
class HashTargets(beam.PTransform):
    """Units of a target table -> their numbers, once their hashes are written."""

    folder: SetFolder
    options: Options

    def expand(self, units: beam.PCollection[TargetUnit]) -> beam.PCollection[int]:
        return (
            units
            | "SpreadUnits" >> beam.Reshuffle()
            | "HashUnit" >> beam.Map(hash_unit, self.folder, self.options)
        )


def _forget_others(job: Job) -> None:
    """Delete what earlier jobs left of target sets that this one does not have."""
    names = {target_name(table) for table in job.targets}
    for table in (TABLE, SHARDS):
        for path in Path(job.path(table)).glob("*"):
            if path.is_file():
                path.unlink()
            elif path.name not in names and path.name.rpartition(".")[0] not in names:
                shutil.rmtree(path)
    for path in Path(job.path(VIDEOS)).glob("*"):
        if path.stem not in names:
            path.unlink()


def _hash_set(table: str, job: Job) -> TargetSet:
    name = target_name(table)
    folder, key = SetFolder(job.path(TABLE, name)), _key(table, job)
    found = folder.finished(key)
    if found is None or not _is_good(table, found, folder, job):
        folder.begin(key)
        delete_shards(name, job)
        remove_leftovers(folder.path)
        found = _make_set(table, folder, job)
        folder.commit(found)
    folder.clean()
    return found


def _key(table: str, job: Job) -> str:
    """What a target set is made from. How many may fail says nothing of what is in it."""
    sections = [
        {name: value for name, value in significant(section).items() if name not in _LIMITS}
        for section in (job.options.targets, job.options.fetch)
    ]
    rows = [vars(video) for video in sorted_targets(table)]
    # A table that was only touched is read anew: its videos may have changed with it.
    times = [Path(file).stat().st_mtime_ns for file in files_of(table)]
    return digest_of(FORMAT, sections, rows, str(Path(target_folder(table)).resolve()), times)


def _is_good(table: str, found: TargetSet, folder: SetFolder, job: Job) -> bool:
    """Whether a set that was made before will do; if too much of it failed, it is tried again."""
    may_lack = _may_lack(found.failed, found.videos, job)
    return may_lack and _is_mended(table, found, folder, job)


def _may_lack(failed: int, videos: int, job: Job) -> bool:
    return failed <= job.options.targets.max_failed_fraction * videos


def _make_set(table: str, folder: SetFolder, job: Job) -> TargetSet:
    name, engine = target_name(table), Engine(job.runner, job.beam_args, job.options.run.workers)
    units = plan_units(table)
    _hash_units(units, folder, job, engine)
    videos = [list(read_rows(folder.videos(unit.number), TargetVideoRow)) for unit in units]
    every = [video for unit in videos for video in unit]
    failures = [video.failure for video in every if video.failure]
    listed = Path(job.path(VIDEOS, f"{name}.failed"))
    listed.unlink(missing_ok=True)
    if failures:
        lines = (f"{v.video_id}\t{v.failure}\n" for v in every if v.failure)
        write_text(str(listed), "".join(lines))
    if not _may_lack(len(failures), len(every), job):
        raise JobError(
            f"target set {name}: {len(failures)} of {len(every)} videos cannot be read, so a leak "
            f"of theirs would go unseen; first: {failures[0]}. "
            f"{listed} lists them; mend them or raise targets.max_failed_fraction"
        )
    write_rows(job.path(VIDEOS, f"{name}.parquet"), every, TargetVideoRow)
    plans = plan_pieces(name, videos)
    pieces = _write_pieces(plans, folder, engine)
    write_target_shards(name, every, folder, job)
    return TargetSet(
        target=name,
        hash_fps=job.options.targets.hash_fps,
        search="multi_index" if any(plan.hashed for plan in plans) else "flat",
        videos=len(every),
        failed=len(failures),
        hashes=sum(video.hashes for video in every),
        pieces=pieces,
    )


def _is_mended(table: str, found: TargetSet, folder: SetFolder, job: Job) -> bool:
    """Write pieces that are gone or cut short anew, from the hashes; whether the set is whole then.

    Hashing all videos again would take hours, this takes seconds.
    """
    lost = [piece for piece in found.pieces if not folder.is_whole(piece)]
    units, known = plan_units(table), Path(job.path(VIDEOS, f"{found.target}.parquet"))
    if not lost:
        return True
    if not known.exists() or not all(Path(folder.part(unit.number)).exists() for unit in units):
        return False
    rows = list(read_rows(str(known), TargetVideoRow))
    plans = plan_pieces(found.target, (rows[unit.start : unit.stop] for unit in units))
    plans = [plan for plan, piece in zip(plans, found.pieces, strict=False) if piece in lost]
    engine = Engine(job.runner, job.beam_args, job.options.run.workers)
    return list(_write_pieces(plans, folder, engine)) == lost


def plan_units(table: str) -> list[TargetUnit]:
    """Cut a target table into units of work: 16 videos each, or more if there were over 1,024."""
    count = len(sorted_targets(table))
    size = max(_UNIT_VIDEOS, -(-count // _MOST_UNITS))
    name = target_name(table)
    return [
        TargetUnit(name, table, number, start, min(start + size, count))
        for number, start in enumerate(range(0, count, size))
    ]


def _hash_units(units: Sequence[TargetUnit], folder: SetFolder, job: Job, engine: Engine) -> None:
    """Bring every unit up to date; one that is whole, and of which nothing failed, stays."""
    todo = [unit for unit in units if not _is_whole(folder.videos(unit.number))]

    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "NameUnits" >> beam.Create(todo, reshuffle=False)
            | "Hash" >> HashTargets(folder, job.options)
        )

    if todo:
        with progress.bar("targets", sum(unit.stop - unit.start for unit in todo), "videos"):
            engine.execute(build)


def _is_whole(videos: str) -> bool:
    if not Path(videos).exists():
        return False
    return not any(video.failure for video in read_rows(videos, TargetVideoRow))


def _write_pieces(
    plans: Sequence[PiecePlan], folder: SetFolder, engine: Engine
) -> tuple[Piece, ...]:
    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "PlanPieces" >> beam.Create(plans, reshuffle=False)
            | "SpreadPieces" >> beam.Reshuffle()
            | "WritePiece" >> beam.Map(write_piece, folder)
        )

    if plans:
        engine.execute(build)
    return tuple(describe_piece(plan, folder) for plan in plans)
