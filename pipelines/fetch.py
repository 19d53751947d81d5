"""Stage fetch: matches -> `videos/`, each downloaded, checked, stored and fingerprinted once.

The unit of work is a part: a tar of stored videos and a Parquet table of what became of each match
in it. The table is written last and is the commit; a tar without one is a killed worker's and is
removed. A run takes the matches without a final fate, and those rejected for a reason that is to be
retried, so parts are only ever added: a kill costs the units that were under way, and a catalog may
grow between runs.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import remove_leftovers, write_text
from formats.tables import MatchRow, Reason, count_rows, part_files
from pipelines import match
from pipelines.batches import on_pairs, read_counts, rows_of
from pipelines.catalogs import catalog_folder
from pipelines.engine import Engine, progress
from pipelines.fetch_options import FetchOptions
from pipelines.identity import split_piece
from pipelines.joins import REJECTED, RETRY_LATER, FetchedVideo, JoinTables, latest_videos
from pipelines.removal.strikes import purge_videos, taken_down_keys
from pipelines.run import Job, JobError, Outcome
from pipelines.tallies import MatchUri
from pipelines.units import FetchUnit, FetchUnits, Workplace
from pipelines.yields import (
    YIELD,
    Verdict,
    WriteYields,
    Yields,
    describe_over_limit,
    most_often,
    read_yields,
)

TABLE = "videos"
_COUNTS = "counts.json"
_OPTIONS = "options.json"
_PIECES = 4
"""Times `videos_per_part` that pieces of one source may be a unit: one worker stores them all."""
# Options that decide where we look and how hard we try, not how a video is judged or stored.
_MAY_CHANGE = {
    "sources",
    "ytdlp_hosts",
    "deadline_s",
    "idle_s",
    "max_tries",
    "max_redirects",
    "decode_deadline_s",
    "decode_memory_bytes",
    "max_failed_fraction",
}


def run(job: Job) -> Outcome:
    """Fetch every match without a final fate, and once more what `retry` names.

    Raises:
        JobError: more than `max_failed_fraction` of all matches could not be stored, or more than
            `max_host_failed_fraction` of one host's. What was fetched is kept.
    """
    fetch_matches(job)
    yields = count_yields(job)
    _check(yields, job)
    counts = read_counts(job.path(TABLE, _COUNTS))
    return Outcome(dict(sorted(counts.items())), unfinished=counts[RETRY_LATER] > 0)


def fetch_matches(job: Job) -> None:
    """Add what is missing to `videos/`."""
    folder = job.path(TABLE)
    Path(folder).mkdir(parents=True, exist_ok=True)
    _check_options(folder, job.options.fetch)
    _remove_uncommitted(folder)
    # What a name on the list stands for may only be known since the catalog was read anew.
    purge_videos(job.out, taken_down_keys(job.out))
    workplace = Workplace(
        folder, catalog_folder(job.catalog) if job.catalog else None, job.options.fetch
    )

    def build(pipeline: beam.Pipeline) -> None:
        _ = pipeline | "Fetch" >> FetchMatches(job, workplace)

    total = sum(count_rows(file) for file in part_files(job.path(match.TABLE)))
    with progress.bar("fetch", total, "videos"):
        _engine(job).execute(build)


def count_yields(job: Job) -> Yields:
    """Count this job's matches by outcome and host; `videos/` may hold those of others too."""
    limit = job.options.fetch.max_host_failed_fraction

    def build(pipeline: beam.Pipeline) -> None:
        tables = {match.TABLE: MatchUri, TABLE: FetchedVideo}
        joined = pipeline | "Matches" >> JoinTables(job, tables)
        _ = joined | "Yields" >> WriteYields(job.path(TABLE, _COUNTS), job.path(YIELD), limit)

    _engine(job).execute(build)
    return read_yields(job.path(YIELD))


def _engine(job: Job) -> Engine:
    return Engine(job.runner, job.beam_args, job.options.run.workers)


@dataclass
class FetchMatches(beam.PTransform):
    """Pipeline -> names of the parts of videos that were added."""

    job: Job
    workplace: Workplace

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[str]:
        tables = {match.TABLE: MatchRow, TABLE: FetchedVideo}
        return (
            pipeline
            | "Tables" >> JoinTables(self.job, tables)
            | "PlanUnits" >> beam.FlatMap(on_pairs(plan_units, self.workplace.options))
            | "Spread" >> beam.Reshuffle()
            | "FetchUnit" >> beam.ParDo(FetchUnits(self.workplace))
        )


def plan_units(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]], options: FetchOptions
) -> Iterator[FetchUnit]:
    """Cut a bucket's matches that have no final fate into units, in order of their keys."""
    known = latest_videos(tables[TABLE])
    matches = rows_of(tables[match.TABLE], MatchRow)
    by_status: dict[str, list[MatchRow]] = {"": [], RETRY_LATER: [], REJECTED: []}
    for row in sorted(matches, key=lambda row: row.row_key):
        if row.taken_down:
            continue
        video = known.get(row.row_key)
        if video is None or video.status == RETRY_LATER or _is_retried(video, options):
            by_status[video.status if video else ""].append(row)
    progress.advance(len(matches) - sum(map(len, by_status.values())))
    # Videos that were tried before come in units of their own: if nothing changes for any of them,
    # nothing is written, and the stages that follow have nothing to do.
    for rows in by_status.values():
        for unit in _together(rows, options.videos_per_part):
            yield _unit(unit, known)


def _together(rows: list[MatchRow], size: int) -> Iterator[list[MatchRow]]:
    """Up to `size` rows in their order, or `_PIECES` times as many of one source.

    A source is downloaded for every unit that has a piece of it.
    """
    unit: list[MatchRow] = []
    for _, pieces in groupby(rows, key=lambda row: split_piece(row.uri)[0]):
        left = list(pieces)
        while left:
            source, left = left[: _PIECES * size], left[_PIECES * size :]
            if unit and len(unit) + len(source) > size:
                yield unit
                unit = []
            unit += source
    if unit:
        yield unit


def _is_retried(video: FetchedVideo, options: FetchOptions) -> bool:
    # What was not even looked at is: that costs nothing, and the kind may be allowed by now.
    retried = (*options.retry, Reason.SOURCE_NOT_ALLOWED)
    return video.status == REJECTED and video.reason in retried


def _unit(rows: list[MatchRow], known: dict[str, FetchedVideo]) -> FetchUnit:
    """Rows that were all tried before, or none."""
    before = tuple(known[row.row_key] for row in rows if row.row_key in known)
    # What was tried before is in the name, or a second try would overwrite the part of the first.
    tried: list[object] = [(video.row_key, video.tries) for video in before]
    identity = tried or [row.row_key for row in rows]
    return FetchUnit(f"part-{digest_of(identity)[:16]}", tuple(rows), before)


def _remove_uncommitted(folder: str) -> None:
    remove_leftovers(folder)
    for tar in Path(folder).glob("part-*.tar"):
        if not tar.with_suffix(".parquet").exists():
            tar.unlink()


def _check_options(folder: str, options: FetchOptions) -> None:
    """Refuse to add videos to those that were stored in another way."""
    path = Path(folder) / _OPTIONS
    now = {k: v for k, v in significant(options).items() if k not in _MAY_CHANGE}
    text = json.dumps(now, sort_keys=True) + "\n"
    if not path.exists():
        write_text(str(path), text)
    elif path.read_text() != text:
        before = json.loads(path.read_text())
        changed = [
            f"{k} was {before.get(k)!r}, is {v!r}"
            for k, v in json.loads(text).items()
            if before.get(k) != v
        ]
        raise JobError(
            f"{folder}: its videos were fetched with other options ({'; '.join(changed)}); take "
            f"another OUT, or delete {folder} to fetch them again"
        )


def _check(yields: Yields, job: Job) -> None:
    options, found = job.options.fetch, yields.total
    over = describe_over_limit(yields, options.max_host_failed_fraction)
    if found.failures > options.max_failed_fraction * found.videos:
        over = (
            f"{found.failures:,} of {found.videos:,} videos could not be stored, more than "
            f"fetch.max_failed_fraction = {options.max_failed_fraction:g} allows; most often: "
            f"{most_often(found)} ({yields.verdict})"
        )
    if over is None:
        return
    look = "your network" if yields.verdict is Verdict.OWN_NETWORK else f"{job.path(YIELD)}"
    raise JobError(
        f"{over}. What was fetched is kept; look at {look}, then run again (RETRY=reason,reason "
        "tries rejected videos once more) or raise the limit"
    )
