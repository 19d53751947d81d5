"""Stage fetch: matches -> `videos/`, each downloaded, checked, stored and fingerprinted once.

The unit of work is a part: a tar of stored videos and a Parquet table of what became of each match
in it. The table is written last and is the commit; a tar without one is a killed worker's and is
removed. A run takes the matches without a final fate, and those rejected for a reason that is to be
retried, so parts are only ever added: a kill costs the units that were under way, and a catalog may
grow between runs.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import remove_leftovers, write_text
from formats.tables import MatchRow, count_rows, read_rows
from pipelines import match
from pipelines.batches import names, part_files, read_counts, read_part
from pipelines.catalogs import catalog_folder
from pipelines.engine import Engine, progress
from pipelines.fetch_options import FetchOptions
from pipelines.joins import REJECTED, RETRY_LATER, FetchedVideo, JoinTables, latest_videos
from pipelines.run import Job, JobError, Outcome
from pipelines.strikes import purge_videos, taken_down_keys
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
# Options that decide how hard we try, not how a video is judged or stored.
_MAY_CHANGE = {
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
        files = names(pipeline, part_files(job.path(match.TABLE)), "Matches")
        _ = files | "Fetch" >> FetchMatches(workplace)

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
    """Names of parts of matches -> names of the parts of videos that were added."""

    workplace: Workplace

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[str]:
        return (
            files
            | "PlanUnits" >> beam.FlatMap(plan_units, self.workplace)
            | "Spread" >> beam.Reshuffle()
            | "FetchUnit" >> beam.ParDo(FetchUnits(self.workplace))
        )


def plan_units(matches: str, workplace: Workplace) -> Iterator[FetchUnit]:
    """Cut the matches of one part that have no final fate into units, in order of their keys.

    Holds one bucket of keys in memory.
    """
    rows = list(read_rows(matches, MatchRow))
    known = _known_videos(workplace.videos, rows)
    by_status: dict[str, list[MatchRow]] = {"": [], RETRY_LATER: [], REJECTED: []}
    for row in rows:
        if row.taken_down:
            continue
        video = known.get(row.row_key)
        if video is None or video.status == RETRY_LATER or _is_retried(video, workplace.options):
            by_status[video.status if video else ""].append(row)
    progress.advance(len(rows) - sum(map(len, by_status.values())))
    # Videos that were tried before come in units of their own: if nothing changes for any of them,
    # nothing is written, and the stages that follow have nothing to do.
    for group in by_status.values():
        size = workplace.options.videos_per_part
        for start in range(0, len(group), size):
            yield _unit(group[start : start + size], known)


def _known_videos(folder: str, rows: list[MatchRow]) -> dict[str, FetchedVideo]:
    """What became so far of those of the matches that were tried."""
    keys = {row.row_key for row in rows}
    return latest_videos(
        # Not Arrow's is_in, which would hash all keys anew for each of very many small parts.
        batch.filter(
            pa.array([key in keys for key in batch.column("row_key").to_pylist()], pa.bool_())
        )
        for part in part_files(folder)
        for batch in read_part(part, FetchedVideo)
    )


def _is_retried(video: FetchedVideo, options: FetchOptions) -> bool:
    return video.status == REJECTED and video.reason in options.retry


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
