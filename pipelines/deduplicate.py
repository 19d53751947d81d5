"""Stage deduplicate: `videos/` against `targets/` -> `duplicates/`, with evidence (paper 3.2)."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from dedup.fingerprint import Fingerprint
from dedup.index import TargetIndex
from dedup.matching import PROFILES, find_duplicates
from formats.tables import DuplicateRow, count_rows, part_files
from pipelines import fetch, targets
from pipelines.batches import ReadTable, WriteTable, bucket_rows, names, rows_of
from pipelines.engine import Engine, progress
from pipelines.joins import STORED
from pipelines.run import Job, JobError, Outcome

TABLE = "duplicates"


@dataclass(frozen=True)
class FingerprintedVideo:
    """The columns of `videos/` that are compared with the targets."""

    row_key: str
    video_id: str
    status: str
    fingerprint: tuple[bytes, ...]
    seconds: tuple[float, ...]
    versions: tuple[str, ...]


def run(job: Job) -> Outcome:
    """Write every stored video that may overlap a target video.

    Raises:
        JobError: more videos would go than `max_duplicate_fraction` allows.
        IndexFileError: the targets' index is damaged.
    """
    videos = part_files(job.path(fetch.TABLE))

    def build(pipeline: beam.Pipeline) -> None:
        files = names(pipeline, videos, "Videos")
        _ = files | "Deduplicate" >> FindDuplicates(job)

    Path(job.path(TABLE)).mkdir(parents=True, exist_ok=True)
    with progress.bar("deduplicate", sum(map(count_rows, videos)), "videos"):
        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    found = sum(map(count_rows, part_files(job.path(TABLE))))
    stored = sum(map(count_rows, videos))
    if found > job.options.deduplicate.max_duplicate_fraction * stored:
        raise JobError(
            f"{found:,} duplicates among {stored:,} videos, more than "
            "deduplicate.max_duplicate_fraction allows; is a target set the source itself?"
        )
    return Outcome({"videos": stored, "evidence_rows": found})


@dataclass
class FindDuplicates(beam.PTransform):
    """Names of parts of videos -> parts of duplicates."""

    job: Job

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[str]:
        job, buckets = self.job, self.job.options.run.buckets
        indexes = targets.index_files(job)
        return (
            files
            | "ReadVideos" >> ReadTable(FingerprintedVideo)
            | "Compare"
            >> beam.FlatMap(
                find_in_batch, indexes, job.options.deduplicate.profile, buckets
            ).with_output_types(tuple[int, pa.RecordBatch])
            | "WriteDuplicates"
            >> WriteTable(
                job.path(TABLE), DuplicateRow, buckets, ("row_key", "target", "target_video_id")
            )
        )


def find_in_batch(
    batch: pa.RecordBatch, indexes: tuple[str, ...], profile: str, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batch's duplicates by bucket. One index is in memory per worker process."""
    found: list[DuplicateRow] = []
    for video in rows_of([batch], FingerprintedVideo):
        if video.status == STORED:
            for path in indexes:
                found += duplicates_of(video, _index(path, Path(path).stat().st_mtime_ns), profile)
        progress.advance()
    yield from bucket_rows(found, DuplicateRow, buckets)


def duplicates_of(
    video: FingerprintedVideo, index: TargetIndex, profile: str
) -> Iterator[DuplicateRow]:
    """Yield the target videos that a stored video may overlap."""
    fingerprint = Fingerprint.from_rows(video.fingerprint, video.seconds, video.versions)
    for hit in find_duplicates(fingerprint, index, PROFILES[profile]):
        yield DuplicateRow(
            video.row_key,
            video.video_id,
            hit.target,
            hit.target_video_id,
            hit.matched_frames,
            hit.offset_s,
            hit.min_distance,
            hit.variant,
            hit.source_second,
            hit.target_second,
        )


@functools.lru_cache(maxsize=8)
def _index(path: str, _modified_ns: int) -> TargetIndex:
    return TargetIndex.load(path)
