"""Stage match: the catalog -> `matches/`, the rows that carry a relevant hashtag (paper 3.1).

One pass over the catalog in Arrow batches. What does not match is counted, not kept. Rows with one
URI become one match: their labels united, the smallest video_id kept.
"""

import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from formats.tables import (
    HashtagRow,
    MatchRow,
    from_batch,
    read_rows,
    schema_of,
    write_rows,
)
from labelspace.extract import extract_hashtags, split_hashtag_field
from labelspace.matching import LabelMatcher
from pipelines import expand
from pipelines.batches import WriteCounts, bucket_file, on_pairs, read_counts, split_by_bucket
from pipelines.catalogs import CatalogUnit, check_columns, list_units, read_unit
from pipelines.columns import CatalogBatch
from pipelines.engine import Engine, progress
from pipelines.options import MatchOptions
from pipelines.run import Job, JobError, Outcome

TABLE = "matches"
_COUNTS = "counts.json"


def row_key(uri: str) -> str:
    """A video's identity in every table after the catalog: a hash of its URI.

    >>> row_key("http://example.org/a.mp4")[:8]
    '9450e0ee'
    """
    return hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def run(job: Job) -> Outcome:
    """Write the matches of the job's catalog.

    Raises:
        JobError: no catalog, too many unreadable rows, or no row that matches.
        CatalogError: the catalog is missing or lacks a column.
    """
    if job.catalog is None:
        raise JobError("match needs a catalog; name yours with CATALOG=path")
    units = list_units(job.catalog)
    for path in {unit.path: unit for unit in units}.values():
        check_columns(path, job.options.match)

    def build(pipeline: beam.Pipeline) -> None:
        listed = pipeline | "NameUnits" >> beam.Create(units)
        _ = listed | "Match" >> MatchCatalog(job)

    with progress.bar("match", None, "rows"):
        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    counts = _complete(read_counts(job.path(TABLE, _COUNTS)))
    _check(counts, job)
    return Outcome(counts)


@dataclass
class MatchCatalog(beam.PTransform):
    """Catalog units -> parts of matches, and the counts of what did not match."""

    job: Job

    def expand(self, units: beam.PCollection[CatalogUnit]) -> beam.PCollection[str]:
        job, buckets = self.job, self.job.options.run.buckets
        found = units | "MatchUnit" >> beam.FlatMap(
            match_unit, job.path(expand.TABLE), job.options.match, buckets
        ).with_outputs("counts", main="matches")
        parts = (
            found.matches
            # Tagged outputs lose their type, and with it the coder for batches.
            | "Typed" >> beam.Map(_same).with_output_types(tuple[int, pa.RecordBatch])
            | "GroupBuckets" >> beam.GroupByKey()
            | "WriteMatches" >> beam.Map(on_pairs(write_matches, job.path(TABLE), buckets))
        )
        merged = parts | "CountMerged" >> beam.FlatMap(_merged_counts)
        _ = (
            (found.counts, merged)
            | "Counts" >> beam.Flatten()
            | "WriteCounts" >> WriteCounts(job.path(TABLE, _COUNTS))
        )
        return parts | "Names" >> beam.Map(lambda part: part[0])


def match_unit(
    unit: CatalogUnit, hashtags: str, columns: MatchOptions, buckets: int
) -> Iterator[Any]:
    """Yield the unit's matches by bucket, and beside them (what, how many) counts."""
    matcher = _matcher(hashtags, Path(hashtags).stat().st_mtime_ns)
    for batch in read_unit(unit, columns):
        matches = match_batch(batch.rows, matcher)
        yield from split_by_bucket(matches, buckets)
        for count in _batch_counts(batch, matches.num_rows):
            yield beam.pvalue.TaggedOutput("counts", count)
        progress.advance(batch.rows.num_rows + batch.bad)


def match_batch(rows: pa.RecordBatch, matcher: LabelMatcher) -> pa.RecordBatch:
    """The rows that carry a relevant hashtag, as matches in the batch's order."""
    found = matcher.match_lists(hashtag_lists(rows))
    chosen = rows.take(found.column("row"))
    uris = chosen.column("uri").to_pylist()
    schema = schema_of(MatchRow)
    columns = {
        "row_key": pa.array([row_key(uri) for uri in uris], pa.string()),
        "labels": found.column("labels"),
        "hashtags": found.column("hashtags"),
    }
    arrays = [columns[name] if name in columns else chosen.column(name) for name in schema.names]
    return pa.RecordBatch.from_arrays(
        [array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema
    )


def hashtag_lists(rows: pa.RecordBatch) -> pa.ListArray:
    """Each row's hashtags, unfolded: those of the list column and those in the caption."""
    listed = rows.column("hashtags").to_pylist()
    captions = rows.column("caption").to_pylist()
    return pa.array(
        [_hashtags(tags, caption) for tags, caption in zip(listed, captions, strict=True)],
        pa.list_(pa.string()),
    )


def write_matches(
    bucket: int, batches: Iterable[pa.RecordBatch], folder: str, buckets: int
) -> tuple[str, int]:
    """Write one bucket, one row per URI, sorted by key.

    Returns:
        The part's name, and how many rows were merged into another.
    """
    by_key: dict[str, MatchRow] = {}
    read = 0
    for batch in batches:
        for row in from_batch(batch, MatchRow):
            read += 1
            known = by_key.get(row.row_key)
            by_key[row.row_key] = row if known is None else _merge(known, row)
    path = bucket_file(folder, bucket, buckets)
    write_rows(path, (by_key[key] for key in sorted(by_key)), MatchRow)
    return path, read - len(by_key)


@functools.lru_cache(maxsize=2)
def _matcher(hashtags: str, _modified_ns: int) -> LabelMatcher:
    """The matcher of a table of hashtags, built once per worker process."""
    return LabelMatcher(read_rows(hashtags, HashtagRow))


def _same(element: tuple[int, pa.RecordBatch]) -> tuple[int, pa.RecordBatch]:
    return element


def _hashtags(listed: list[str | None] | None, caption: str | None) -> list[str]:
    tags = [tag for field in listed or () if field for tag in split_hashtag_field(field)]
    if caption and ("#" in caption or "\uff03" in caption):
        tags.extend(extract_hashtags(caption))
    return tags


def _merge(one: MatchRow, other: MatchRow) -> MatchRow:
    """One row of two that name one URI; the same whichever comes first."""
    first = min(one, other, key=lambda r: (r.video_id, r.uploader or "", r.licence or ""))
    return MatchRow(
        first.row_key,
        first.video_id,
        first.uri,
        tuple(sorted({*one.labels, *other.labels})),
        tuple(sorted({*one.hashtags, *other.hashtags})),
        first.uploader,
        first.licence,
    )


def _batch_counts(batch: CatalogBatch, matched: int) -> Iterator[tuple[str, int]]:
    yield "catalog_rows", batch.rows.num_rows + batch.bad
    yield "unreadable", batch.bad
    yield "unmatched", batch.rows.num_rows - matched


def _merged_counts(part: tuple[str, int]) -> Iterator[tuple[str, int]]:
    yield "merged", part[1]


def _complete(counts: Counter[str]) -> dict[str, int]:
    left_out = ("unreadable", "unmatched", "merged")
    matched = counts["catalog_rows"] - sum(counts[name] for name in left_out)
    return {name: counts[name] for name in ("catalog_rows", *left_out)} | {"matched": matched}


def _check(counts: dict[str, int], job: Job) -> None:
    rows, bad = counts["catalog_rows"], counts["unreadable"]
    if bad > job.options.match.max_bad_fraction * rows:
        raise JobError(
            f"{job.catalog}: {bad:,} of {rows:,} rows cannot be read (no id, no URI, not UTF-8, or "
            "broken); mend them or raise match.max_bad_fraction"
        )
    if not counts["matched"]:
        raise JobError(
            f"{job.catalog}: none of its {rows:,} rows carries a hashtag of the seed set "
            f"{job.seed!r}; look at hashtags.parquet, or try another SEED"
        )
