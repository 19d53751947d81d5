"""Stage match: the catalog -> `matches/`, the rows that carry a relevant hashtag (paper 3.1).

One pass over the catalog in Arrow batches. What does not match, or is left out by a filter, is
counted, not kept; what cannot be read is listed in `unreadable/` with its file and line. Rows with
one URI become one match: their labels united, the smallest video_id kept.

Memory: a batch of 32,768 rows per worker, and 1/16 of a bucket of matches (see `merges`); it does
not grow with the catalog as long as `run.buckets` does.
"""

import functools
import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from formats.shards import digest_of
from formats.tables import (
    CatalogRow,
    HashtagRow,
    MatchRow,
    UnreadableRow,
    part_files,
    read_rows,
    schema_of,
    write_rows,
)
from labelspace.bulk import extract_hashtag_lists, separate_entries
from labelspace.matching import LabelMatcher
from pipelines import expand
from pipelines.batches import WriteCounts, on_pairs, read_counts
from pipelines.catalogs import CatalogError, CatalogUnit, check_catalog, read_unit
from pipelines.engine import Engine, progress
from pipelines.filters import FILTERS, failures
from pipelines.identity import piece_uri, row_key
from pipelines.merges import RunWriter, merge_runs, runs_folder
from pipelines.options import MatchOptions
from pipelines.readers.columns import CatalogBatch, Found, printable
from pipelines.readers.fields import missing_column
from pipelines.removal.strikes import remember_matches
from pipelines.run import Job, JobError, Outcome

TABLE = "matches"
UNREADABLE = "unreadable"
_COUNTS = "counts.json"
_LISTED_PER_UNIT = 100_000


@dataclass(frozen=True)
class MatchPlan:
    """What a worker needs to match a unit."""

    hashtags: str
    folder: str
    unreadable: str
    buckets: int
    options: MatchOptions


def prepare(job: Job) -> Callable[[], Outcome]:
    """Look into the job's catalog, and hand back what writes its matches.

    Raises:
        JobError: no catalog.
        CatalogError: the catalog is missing or lacks a column.
    """
    if job.catalog is None:
        raise JobError("match needs a catalog; name yours with CATALOG=path")
    units, found = check_catalog(job.catalog, job.options.match)
    return functools.partial(_write_matches, job, units, found)


def _write_matches(job: Job, units: list[CatalogUnit], found: list[Found]) -> Outcome:
    """Write the matches of the units.

    Raises:
        JobError: too many unreadable rows or files, no row that matches, or no object with a key
            that the options ask for.
    """
    shutil.rmtree(runs_folder(job.path(TABLE)), ignore_errors=True)

    def build(pipeline: beam.Pipeline) -> None:
        listed = pipeline | "NameUnits" >> beam.Create(units)
        _ = listed | "Match" >> MatchCatalog(job)

    with progress.bar("match", None, "rows"):
        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    shutil.rmtree(runs_folder(job.path(TABLE)), ignore_errors=True)
    remember_matches(job.out)
    counted = read_counts(job.path(TABLE, _COUNTS))
    seen = [name for name in schema_of(CatalogRow).names if counted[f"seen_{name}"]]
    counts = _complete(counted)
    _check(counts, job, missing_column(found, seen, job.options.match))
    return Outcome(counts)


@dataclass
class MatchCatalog(beam.PTransform):
    """Catalog units -> parts of matches, and the counts of what did not match."""

    job: Job

    def expand(self, units: beam.PCollection[CatalogUnit]) -> beam.PCollection[str]:
        job, buckets = self.job, self.job.options.run.buckets
        plan = MatchPlan(
            job.path(expand.TABLE),
            job.path(TABLE),
            job.path(UNREADABLE),
            buckets,
            job.options.match,
        )
        found = units | "MatchUnit" >> beam.FlatMap(match_unit, plan).with_outputs(
            "counts", main="runs"
        )
        parts = (
            found.runs
            | "GroupBuckets" >> beam.GroupByKey()
            | "MergeRuns" >> beam.Map(on_pairs(merge_runs, job.path(TABLE), buckets))
        )
        merged = parts | "CountMerged" >> beam.FlatMap(_merged_counts)
        _ = (
            (found.counts, merged)
            | "Counts" >> beam.Flatten()
            | "WriteCounts" >> WriteCounts(job.path(TABLE, _COUNTS))
        )
        return parts | "Names" >> beam.Map(lambda part: part[0])


def match_unit(unit: CatalogUnit, plan: MatchPlan) -> Iterator[Any]:
    """Match one unit; yield (bucket, run) of its matches, and beside them (what, how many)."""
    matcher = _matcher(plan.hashtags, Path(plan.hashtags).stat().st_mtime_ns)
    name = digest_of(unit.path, unit.row_group)[:16]
    counts: Counter[str] = Counter()
    unreadable: list[UnreadableRow] = []
    with RunWriter(str(runs_folder(plan.folder) / f"{name}.arrow"), plan.buckets) as writer:
        try:
            for batch in read_unit(unit, plan.options):
                matches, left_out = filter_matches(batch.rows, matcher, plan.options)
                writer.add(matches)
                counts += _batch_counts(batch, matches.num_rows, left_out)
                unreadable += batch.unreadable[: _LISTED_PER_UNIT - len(unreadable)]
                progress.advance(batch.rows.num_rows + len(batch.unreadable) + batch.photos)
        except CatalogError as error:
            if not plan.options.max_bad_files:
                raise
            counts["unreadable_files"] += 1
            unreadable.append(UnreadableRow(printable(unit.path), None, str(error)))
    if unreadable:
        write_rows(f"{plan.unreadable}/part-{name}.parquet", unreadable, UnreadableRow)
    yield from writer.runs
    for count in sorted(counts.items()):
        yield beam.pvalue.TaggedOutput("counts", count)


def filter_matches(
    rows: pa.RecordBatch, matcher: LabelMatcher, options: MatchOptions
) -> tuple[pa.RecordBatch, Counter[str]]:
    """The rows that match and that no filter leaves out, and how many each filter did."""
    found = match_rows(rows, matcher)
    chosen = rows.take(found.column("row"))
    left_out: Counter[str] = Counter()
    kept = np.ones(chosen.num_rows, np.bool_)
    for name, fails in failures(chosen, options):
        left_out[name] += int(np.count_nonzero(kept & fails))
        kept &= ~fails
    if not kept.all():
        mask = pa.array(kept)
        found, chosen = found.filter(mask), chosen.filter(mask)
    return to_matches(chosen, found), left_out


def match_rows(rows: pa.RecordBatch, matcher: LabelMatcher) -> pa.RecordBatch:
    """Which rows carry a relevant hashtag, in the list or in the caption (`MATCH_SCHEMA`)."""
    listed = separate_entries(rows.column("hashtags"))
    return matcher.match_lists(listed, extract_hashtag_lists(rows.column("caption")))


def to_matches(chosen: pa.RecordBatch, found: pa.RecordBatch) -> pa.RecordBatch:
    """Catalog rows and what was found in each -> rows of the table of matches."""
    schema = schema_of(MatchRow)
    uris = _uris(chosen)
    columns = {
        "row_key": pa.array([row_key(uri) for uri in uris], pa.string()),
        "uri": pa.array(uris, pa.string()),
        "labels": found.column("labels"),
        "hashtags": found.column("hashtags"),
        "uploader": _stated(chosen.column("uploader")),
        "licence": _stated(chosen.column("licence")),
        "merged": pa.array([()] * len(uris), pa.list_(pa.string())),
        "taken_down": pa.nulls(len(uris), pa.string()),
    }
    arrays = [columns[name] if name in columns else chosen.column(name) for name in schema.names]
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )


def _uris(rows: pa.RecordBatch) -> list[str]:
    """The URI of each row, with the seconds that it is about."""
    uris: list[str] = rows.column("uri").to_pylist()
    if rows.column("end_s").null_count == rows.num_rows:
        return uris
    pieces = zip(rows.column("start_s").to_pylist(), rows.column("end_s").to_pylist(), strict=True)
    return [
        uri if end_s is None else piece_uri(uri, start_s, end_s)
        for uri, (start_s, end_s) in zip(uris, pieces, strict=True)
    ]


def _stated(texts: pa.StringArray) -> pa.StringArray:
    """Empty texts as null: a CSV cannot tell the two apart, and neither shall a merge."""
    return pc.if_else(pc.equal(texts, ""), None, texts)


@functools.lru_cache(maxsize=2)
def _matcher(hashtags: str, _modified_ns: int) -> LabelMatcher:
    """The matcher of a table of hashtags, built once per worker process."""
    return LabelMatcher(read_rows(hashtags, HashtagRow))


def _batch_counts(batch: CatalogBatch, matched: int, left_out: Counter[str]) -> Counter[str]:
    rows, bad = batch.rows.num_rows, len(batch.unreadable)
    counts = Counter(
        catalog_rows=rows + bad + batch.photos,
        unreadable=bad,
        unmatched=rows - matched - left_out.total(),
        filtered=left_out.total() + batch.photos,
        filtered_photo=batch.photos,
    )
    counts.update({f"filtered_{name}": count for name, count in left_out.items()})
    counts.update({f"seen_{name}": count for name, count in batch.seen.items()})
    return counts


def _merged_counts(part: tuple[str, int]) -> Iterator[tuple[str, int]]:
    yield "merged", part[1]


def _complete(counts: Counter[str]) -> dict[str, int]:
    left_out = ("unreadable", "unmatched", "filtered", "merged")
    matched = counts["catalog_rows"] - sum(counts[name] for name in left_out)
    reasons = {f"filtered_{name}": counts[f"filtered_{name}"] for name in FILTERS}
    return (
        {name: counts[name] for name in ("catalog_rows", *left_out)}
        | {name: count for name, count in reasons.items() if count}
        | {"matched": matched, "unreadable_files": counts["unreadable_files"]}
    )


def _check(counts: dict[str, int], job: Job, missing: str | None) -> None:
    rows, bad, options = counts["catalog_rows"], counts["unreadable"], job.options.match
    catalog = printable(str(job.catalog))
    where = f"{job.path(UNREADABLE)} lists them with file, line and reason{_first_unreadable(job)}"
    if bad > options.max_bad_fraction * rows:
        raise JobError(
            f"{catalog}: {bad:,} of {rows:,} rows cannot be read; {where}. Mend them or allow for "
            f'them: SET="match.max_bad_fraction={_rounded_up(bad / rows)}"'
        )
    if counts["unreadable_files"] > options.max_bad_files:
        raise JobError(
            f"{catalog}: {counts['unreadable_files']:,} files (or row groups) cannot be read "
            f"to their end, more than match.max_bad_files = {options.max_bad_files}; {where}"
        )
    if not rows:
        raise JobError(f"{catalog}: holds no row; every file of it is empty")
    if missing is not None:
        raise JobError(f"{catalog}: {missing}")
    if not counts["matched"]:
        raise JobError(
            f"{catalog}: none of its {rows:,} rows ({bad:,} of them unreadable) carries a "
            f"hashtag of the seed set {job.seed!r} and passes the filters; look at "
            "hashtags.parquet, or try another SEED"
        )


def _first_unreadable(job: Job) -> str:
    parts = part_files(job.path(UNREADABLE))
    first = next((row for part in parts for row in read_rows(part, UnreadableRow)), None)
    if first is None:
        return ""
    line = "" if first.line is None else f", line {first.line}"
    return f" (such as {first.path}{line}: {first.reason})"


def _rounded_up(share: float) -> str:
    """The share to one digit, and never below it."""
    return f"{min(1.0, math.ceil(share * 10) / 10):g}" if share > 0.1 else "0.1"
