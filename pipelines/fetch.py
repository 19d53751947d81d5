"""Stage fetch: matches -> `videos/`, each downloaded, checked, stored and fingerprinted once.

The unit of work is a part: a tar of stored videos and a Parquet table of what became of each match
in it. The table is written last and is the commit; a tar without one is a killed worker's and is
removed. A run takes the matches without a final fate, so parts are only ever added: a kill costs
the units that were under way, and a catalog may grow between runs.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import remove_leftovers, write_text
from formats.tables import MatchRow, count_rows, read_rows
from pipelines import match
from pipelines.batches import WriteCounts, names, part_files, read_counts
from pipelines.catalogs import catalog_folder
from pipelines.engine import Engine, progress
from pipelines.fetch_options import FetchOptions
from pipelines.joins import (
    REJECTED,
    RETRY_LATER,
    STORED,
    FetchedVideo,
    JoinTables,
    RowKey,
    keys_of,
    latest_videos,
)
from pipelines.run import Job, JobError, Outcome
from pipelines.units import FetchUnit, Workplace, fetch_unit

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
    """Fetch every match without a final fate.

    Raises:
        JobError: more than `max_failed_fraction` of all matches could not be stored.
    """
    folder = job.path(TABLE)
    Path(folder).mkdir(parents=True, exist_ok=True)
    _check_options(folder, job.options.fetch)
    _remove_uncommitted(folder)
    workplace = Workplace(
        folder, catalog_folder(job.catalog) if job.catalog else None, job.options.fetch
    )

    def build(pipeline: beam.Pipeline) -> None:
        files = names(pipeline, part_files(job.path(match.TABLE)), "Matches")
        _ = files | "Fetch" >> FetchMatches(workplace)

    engine = Engine(job.runner, job.beam_args, job.options.run.workers)
    total = sum(count_rows(file) for file in part_files(job.path(match.TABLE)))
    with progress.bar("fetch", total, "videos"):
        engine.execute(build)
    counts = _count(job, engine)
    _check(counts, job)
    return Outcome(dict(sorted(counts.items())), unfinished=counts[RETRY_LATER] > 0)


@dataclass
class FetchMatches(beam.PTransform):
    """Names of parts of matches -> names of the parts of videos that were added."""

    workplace: Workplace

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[str]:
        return (
            files
            | "PlanUnits" >> beam.FlatMap(plan_units, self.workplace)
            | "Spread" >> beam.Reshuffle()
            | "FetchUnit" >> beam.FlatMap(fetch_unit, self.workplace)
        )


def plan_units(matches: str, workplace: Workplace) -> Iterator[FetchUnit]:
    """Cut the matches of one part that have no final fate into units, in order of their keys.

    Holds one bucket of keys in memory.
    """
    known = {}
    for part in part_files(workplace.videos):
        known.update(_statuses(part))
    final = {key for key, status in known.items() if status != RETRY_LATER}
    open_matches = [row for row in read_rows(matches, MatchRow) if row.row_key not in final]
    progress.advance(count_rows(matches) - len(open_matches))
    # Videos that were tried before come in units of their own: if nothing changes for any of them,
    # nothing is written, and the stages that follow have nothing to do.
    for first in (True, False):
        group = [row for row in open_matches if (row.row_key not in known) is first]
        size = workplace.options.videos_per_part
        for start in range(0, len(group), size):
            rows = tuple(group[start : start + size])
            part = f"part-{digest_of([row.row_key for row in rows])[:16]}"
            yield FetchUnit(part, rows, first)


def _statuses(part: str) -> dict[str, str]:
    return {row.row_key: row.status for row in read_rows(part, FetchedVideo)}


def _remove_uncommitted(folder: str) -> None:
    remove_leftovers(folder)
    for tar in Path(folder).glob("part-*.tar"):
        if not tar.with_suffix(".parquet").exists():
            tar.unlink()


def count_outcomes(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]]
) -> Iterator[tuple[str, int]]:
    """Yield (status or status:reason, videos) of a bucket's matches."""
    videos = latest_videos(tables[TABLE])
    for key in keys_of(tables[match.TABLE]):
        video = videos[key]
        yield video.status, 1
        if video.reason is not None:
            yield f"{video.status}:{video.reason}", 1


def _count(job: Job, engine: Engine) -> Counter[str]:
    """Outcomes of this job's matches; `videos/` may hold those of matches that are gone."""

    def build(pipeline: beam.Pipeline) -> None:
        tables = {match.TABLE: RowKey, TABLE: FetchedVideo}
        joined = pipeline | "Matches" >> JoinTables(job, tables)
        _ = (
            joined
            | "CountOutcomes" >> beam.FlatMapTuple(count_outcomes)
            | "WriteCounts" >> WriteCounts(job.path(TABLE, _COUNTS))
        )

    engine.execute(build)
    return read_counts(job.path(TABLE, _COUNTS))


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


def _check(counts: Counter[str], job: Job) -> None:
    failed, total = counts[REJECTED] + counts[RETRY_LATER], _total(counts)
    limit = job.options.fetch.max_failed_fraction
    if failed <= limit * total:
        return
    reasons = Counter({k.partition(":")[2]: n for k, n in counts.items() if ":" in k})
    worst = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(3))
    raise JobError(
        f"{failed:,} of {total:,} videos could not be stored, more than "
        f"fetch.max_failed_fraction = {limit:g} allows; most often: {worst}. What was fetched is "
        "kept; look at videos/*.parquet, then run again or raise the limit"
    )


def _total(counts: Counter[str]) -> int:
    return counts[STORED] + counts[REJECTED] + counts[RETRY_LATER]
