"""The tables that several stages meet on, joined bucket by bucket."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa

from formats.tables import part_files
from pipelines.batches import BucketTable, names, rows_of
from pipelines.run import Job

STORED = "stored"
REJECTED = "rejected"
RETRY_LATER = "retry_later"


@dataclass(frozen=True)
class FetchedVideo:
    """The columns of `videos/` that later stages need: all but the fingerprint."""

    row_key: str
    video_id: str
    status: str
    reason: str | None
    part: str | None
    offset: int | None
    size_bytes: int | None
    duration_s: float | None
    tries: int
    fps: float | None = None
    height: int | None = None
    source_bytes: int | None = None


@dataclass(frozen=True)
class RowKey:
    """Any table's key column."""

    row_key: str


@dataclass
class JoinTables(beam.PTransform):
    """Pipeline -> (bucket, {table: its batches}) for tables given as folder -> row type."""

    job: Job
    tables: Mapping[str, type]

    def expand(
        self, pipeline: beam.Pipeline
    ) -> beam.PCollection[tuple[int, dict[str, Iterable[pa.RecordBatch]]]]:
        buckets = self.job.options.run.buckets
        inputs = {}
        for folder, row_type in self.tables.items():
            files = names(pipeline, part_files(self.job.path(folder)), f" {folder}")
            inputs[folder] = files | f"Bucket {folder}" >> BucketTable(row_type, buckets)
        return inputs | "Join" >> beam.CoGroupByKey()


def latest_videos(batches: Iterable[pa.RecordBatch]) -> dict[str, FetchedVideo]:
    """One row per key: a stored one over a rejected one over one to retry later; then most tries.

    Parts are append-only, so a video that was tried again stands in more than one. Tries add up
    from row to row, so of two rejections the later one stands, in whatever order they are read.
    """
    latest: dict[str, FetchedVideo] = {}
    for video in rows_of(batches, FetchedVideo):
        known = latest.get(video.row_key)
        if known is None or _rank(video) > _rank(known):
            latest[video.row_key] = video
    return latest


def keys_of(batches: Iterable[pa.RecordBatch]) -> set[str]:
    """The row keys of a bucket's batches."""
    return {row.row_key for row in rows_of(batches, RowKey)}


def _rank(video: FetchedVideo) -> tuple[bool, bool, int, str]:
    stored, final = video.status == STORED, video.status != RETRY_LATER
    return stored, final, video.tries, video.part or ""
