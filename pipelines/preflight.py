"""A forecast of fetch: some matches really fetched into a folder that is thrown away.

What a catalog is worth shows only when its links are followed, and following all of them may take
days. The sample is an order by hash, so it is the same on every engine and whatever the order of
the catalog's rows, and a larger one holds a smaller one.
"""

import heapq
import json
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path

from formats.storage import write_text
from formats.tables import MatchRow, part_files, read_rows, write_rows
from pipelines import fetch, match
from pipelines.batches import read_part
from pipelines.identity import split_piece
from pipelines.reporting.intervals import wilson
from pipelines.reporting.markup import byte_size, duration
from pipelines.run import LOCAL, Job, JobError
from pipelines.tallies import host_of
from pipelines.yields import Yields, describe, plain

PREFLIGHT = "preflight.json"
_SCRATCH = ".preflight"
_UNITS_PER_WORKER = 4


@dataclass(frozen=True)
class TakenDown:
    """The column of `matches/` that says what is not to be fetched."""

    taken_down: str | None


@dataclass(frozen=True)
class Sample:
    """What fetching the sample came to."""

    yields: Yields
    seconds: float
    disk_bytes: int
    """Of `videos/`: tars and tables."""
    largest_host: str
    largest_host_share: float
    """Downloads from it for each sampled match; pieces of one source share one."""


@dataclass(frozen=True)
class Forecast:
    """`OUT/preflight.json`: what fetching all matches would come to."""

    matches: int
    sampled: int
    stored: int
    yield_share: float
    yield_low: float
    """The 95 % Wilson interval of the share; the share itself if every match was sampled."""
    yield_high: float
    reasons: dict[str, int]
    videos: int
    videos_low: int
    videos_high: int
    bytes_in_mean: float
    """Downloaded for each match; what was broken off halfway is not known and not counted."""
    bytes_disk_mean: float
    bytes_in: int
    bytes_disk: int
    seconds_sampled: float
    hours: float
    """At the rate measured, the engine's start included: same workers, per-host limits, hosts."""
    workers: int
    """Of the local engine; 0 = as many as another runner gave."""
    largest_host: str
    hours_largest_host: float
    """What `host_gap_s` alone makes the largest host take, from one worker process."""
    finding: str
    """The yield of the sample in one sentence."""


def preflight(job: Job, rows: int) -> Forecast:
    """Fetch so many matches, write the forecast and leave everything else as it was.

    Memory grows with the rows sampled. A run that was killed leaves a folder that the next removes.

    Raises:
        JobError: nothing matched, or rows is not positive.
    """
    if rows < 1:
        raise JobError(f"preflight samples at least 1 row, not {rows}; N says how many")
    parts = part_files(job.path(match.TABLE))
    sampled = sample_matches(parts, rows)
    if not sampled:
        raise JobError(
            f"{job.path(match.TABLE)}: no row of the catalog matches a label, so there is nothing "
            "to fetch; look at the counts of the stage match and at match.* in the options"
        )
    scratch = job.out / _SCRATCH
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        found = _fetch_sample(replace(job, out=scratch), sampled)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    forecast = make_forecast(job, sum(map(_count_left, parts)), found)
    write_text(job.path(PREFLIGHT), json.dumps(asdict(forecast), indent=1) + "\n")
    return forecast


def sample_matches(parts: Sequence[str], rows: int) -> list[MatchRow]:
    """The matches with the smallest row keys, which are hashes of the URIs; in their order."""
    # Every part is sorted by key, so that no part has one of them beyond its first rows.
    first = (row for part in parts for row in islice(_left(part), rows))
    return heapq.nsmallest(rows, first, key=lambda row: row.row_key)


def _left(part: str) -> Iterator[MatchRow]:
    """The matches of a part but for those that were taken down."""
    return (row for row in read_rows(part, MatchRow) if not row.taken_down)


def _count_left(part: str) -> int:
    return sum(batch.column("taken_down").null_count for batch in read_part(part, TakenDown))


def make_forecast(job: Job, matches: int, found: Sample) -> Forecast:
    """Scale the sample to all matches."""
    tally = found.yields.total
    scale = matches / tally.videos
    low, high = wilson(tally.stored, tally.videos)
    if tally.videos == matches:
        low = high = tally.stored / tally.videos
    gap_s = job.options.fetch.host_gap_s
    return Forecast(
        matches=matches,
        sampled=tally.videos,
        stored=tally.stored,
        yield_share=tally.stored / tally.videos,
        yield_low=low,
        yield_high=high,
        reasons=dict(tally.reasons.most_common()),
        videos=round(matches * tally.stored / tally.videos),
        videos_low=math.floor(matches * low),
        videos_high=math.ceil(matches * high),
        bytes_in_mean=tally.source_bytes / tally.videos,
        bytes_disk_mean=found.disk_bytes / tally.videos,
        bytes_in=round(tally.source_bytes * scale),
        bytes_disk=round(found.disk_bytes * scale),
        seconds_sampled=round(found.seconds, 3),
        hours=found.seconds * scale / 3600,
        workers=_workers(job) if job.runner == LOCAL else 0,
        largest_host=found.largest_host,
        hours_largest_host=matches * found.largest_host_share * gap_s / 3600,
        finding=describe(found.yields),
    )


def lines(forecast: Forecast) -> Iterator[str]:
    """The forecast as a table of text."""
    one = forecast
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in one.reasons.items())
    interval = f"{one.yield_low:.1%} to {one.yield_high:.1%} (95 %)"
    workers = one.workers or "the runner's"
    disk = f"{byte_size(one.bytes_disk_mean)} a match, in videos/"
    largest = f"{plain(one.largest_host)}, at the least, by fetch.host_gap_s"
    table = (
        ("yield", f"{one.yield_share:.1%}", interval),
        ("videos", f"{one.videos:,}", f"{one.videos_low:,} to {one.videos_high:,}"),
        ("download", byte_size(one.bytes_in), f"{byte_size(one.bytes_in_mean)} a match"),
        ("disk", byte_size(one.bytes_disk), disk),
        ("time", duration(one.hours * 3600), f"at the rate of this sample, {workers} workers"),
        ("largest host", duration(one.hours_largest_host * 3600), largest),
    )
    yield f"{one.sampled:,} of {one.matches:,} matches fetched in {duration(one.seconds_sampled)}"
    yield from (f"{name:<14}{value:>12}  {note}" for name, value, note in table)
    yield f"not stored: {reasons or 'none'}"
    yield one.finding
    yield (
        "The forecast takes all matches to be like these, on the same network and machine, and "
        "the limits per host as they are; shards/ will hold the chosen clips once more."
    )


def _fetch_sample(job: Job, rows: list[MatchRow]) -> Sample:
    """Fetch the rows with the job's own options, in units small enough for every worker."""
    options, workers = job.options.fetch, _workers(job)
    size = math.ceil(len(rows) / (workers * _UNITS_PER_WORKER))
    size = min(options.videos_per_part, max(size, options.downloads_per_unit))
    chosen = replace(options, videos_per_part=size, retry=(), max_host_failed_fraction=1.0)
    job = replace(job, options=replace(job.options, fetch=chosen))
    write_rows(job.path(match.TABLE, "part-00000-of-00001.parquet"), rows, MatchRow)
    started = time.monotonic()
    fetch.fetch_matches(job)
    seconds = time.monotonic() - started
    host, downloads = busiest_host([row.uri for row in rows])
    disk_bytes = sum(path.stat().st_size for path in Path(job.path(fetch.TABLE)).glob("part-*"))
    return Sample(fetch.count_yields(job), seconds, disk_bytes, host, downloads / len(rows))


def busiest_host(uris: Sequence[str]) -> tuple[str, int]:
    """The host that is asked for most downloads, and for how many.

    >>> busiest_host(["http://a.test/1#t=0,2", "http://a.test/1#t=2,4", "http://b.test/2"])
    ('a.test', 1)
    """
    # In their order: of several that are asked as often, it is the first.
    sources = dict.fromkeys(split_piece(uri)[0] for uri in uris)
    ((host, downloads),) = Counter(map(host_of, sources)).most_common(1)
    return host, downloads


def _workers(job: Job) -> int:
    return job.options.run.workers or os.cpu_count() or 1
