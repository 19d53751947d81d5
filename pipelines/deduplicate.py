"""Stage deduplicate: `videos/` against `targets/` -> `duplicates/`, with evidence (paper 3.2).

Two tiers: exact copies by address, id or bytes, then frames by their hashes. `decoys/` holds what
the same videos match when shown upside down: by chance alone, so their number estimates how many
of the removed ones were removed falsely.
"""

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from dedup.fingerprint import Fingerprint
from dedup.index import open_index
from dedup.matching import Duplicate, as_decoy, find_all
from dedup.profiles import Profile
from formats.tables import (
    DuplicateRow,
    TargetVideoRow,
    count_rows,
    part_files,
    read_batches,
    read_rows,
    schema_of,
)
from pipelines import fetch, reposts, targets
from pipelines.batches import (
    ReadTable,
    WriteTable,
    bucket_rows,
    names,
    read_counts,
    rows_of,
    write_json,
)
from pipelines.engine import Engine, progress
from pipelines.exact_copies import ExactCopies
from pipelines.joins import STORED
from pipelines.run import Job, JobError, Outcome
from pipelines.stop_frames import drop_stop_frames

TABLE = "duplicates"
DECOYS = "decoys"
STOPPED = "stop_frames.json"


@dataclass(frozen=True)
class FingerprintedVideo:
    """The columns of `videos/` that are compared with the targets."""

    row_key: str
    video_id: str
    status: str
    final_uri: str | None
    names: tuple[str, ...]
    source_sha256: str | None
    packets_sha256: str | None
    fingerprint: tuple[bytes, ...]
    seconds: tuple[float, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """What every video is compared with, and how: small, so that it travels with the work."""

    indexes: tuple[str, ...]
    target_videos: tuple[str, ...]
    """The tables of their videos."""
    profile: Profile
    buckets: int


def run(job: Job) -> Outcome:
    """Write every stored video that may overlap a target video.

    Raises:
        JobError: more videos would go, re-posts included, than `max_duplicate_fraction` allows.
        IndexFileError: the targets' index is damaged.
    """
    videos = part_files(job.path(fetch.TABLE))

    def build(pipeline: beam.Pipeline) -> None:
        files = names(pipeline, videos, "Videos")
        _ = files | "Deduplicate" >> FindDuplicates(job)

    for table in (TABLE, DECOYS):
        Path(job.path(table)).mkdir(parents=True, exist_ok=True)
    with progress.bar("deduplicate", sum(map(count_rows, videos)), "videos"):
        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    stopped = drop_stop_frames(job.path(TABLE), _count_compared(job))
    write_json({"stop_frames": len(stopped)}, job.path(TABLE, STOPPED))
    counts = count_duplicates(job)
    _refuse_too_many(job, counts)
    if job.options.deduplicate.reposts:
        reposts.write_reposts(job, TABLE)
        counts |= reposts.count_reposts(job)
        _refuse_too_many(job, counts)
    return Outcome(counts)


def _refuse_too_many(job: Job, counts: Mapping[str, int]) -> None:
    """Stop if nobody can have meant so many to go; the tables stay, to be looked at."""
    found, again, compared = counts["duplicates"], counts.get("reposts", 0), counts["compared"]
    if found + again > job.options.deduplicate.max_duplicate_fraction * compared:
        raise JobError(
            f"{found:,} duplicates of targets and {again:,} re-posts among {compared:,} stored "
            "videos, more than deduplicate.max_duplicate_fraction allows; is a target set the "
            "source itself, or does the source show one thing alone?"
        )


def count_duplicates(job: Job) -> dict[str, int]:
    """Rows of `videos/`, videos compared, duplicates, rows of evidence, and videos whose decoy hit.

    And how many stop frames were found. Memory grows with the duplicates' keys.
    """
    return {
        "videos": sum(map(count_rows, part_files(job.path(fetch.TABLE)))),
        "compared": _count_compared(job),
        "duplicates": len(_keys(job.path(TABLE))),
        "evidence_rows": sum(map(count_rows, part_files(job.path(TABLE)))),
        "decoy_hits": len(_keys(job.path(DECOYS))),
        **read_counts(job.path(TABLE, STOPPED)),
    }


@dataclass
class FindDuplicates(beam.PTransform):
    """Names of parts of videos -> parts of duplicates, and of decoys that hit."""

    job: Job

    def expand(self, files: beam.PCollection[str]) -> tuple[beam.PCollection[str], ...]:
        options, buckets = self.job.options.deduplicate, self.job.options.run.buckets
        targets_ = Comparison(
            targets.index_files(self.job),
            targets.video_files(self.job),
            options.thresholds(),
            buckets,
        )
        batches = files | "ReadVideos" >> ReadTable(FingerprintedVideo)
        searches = {TABLE: find_in_batch} | ({DECOYS: find_decoys} if options.decoys else {})
        by_name = ("row_key", "target", "target_video_id")
        return tuple(
            batches
            | f"Find {table}"
            >> beam.FlatMap(search, targets_).with_output_types(tuple[int, pa.RecordBatch])
            | f"Write {table}" >> WriteTable(self.job.path(table), DuplicateRow, buckets, by_name)
            for table, search in searches.items()
        )


def find_in_batch(
    batch: pa.RecordBatch, comparison: Comparison
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the batch's duplicates by bucket."""
    copies = _copies(comparison.target_videos, _versions(comparison.target_videos))
    found: list[DuplicateRow] = []
    videos = _stored(batch)
    for video, alike in zip(videos, _alike(map(_fingerprint, videos), comparison), strict=True):
        found += duplicates_of(video, alike, copies)
    progress.advance(batch.num_rows)
    yield from bucket_rows(found, DuplicateRow, comparison.buckets)


def find_decoys(
    batch: pa.RecordBatch, comparison: Comparison
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield by bucket what the batch's videos match upside down."""
    found: list[DuplicateRow] = []
    videos = _stored(batch)
    decoys = [as_decoy(_fingerprint(video)) for video in videos]
    for video, alike in zip(videos, _alike(decoys, comparison), strict=True):
        found += (_evidence(video, h.target, h.target_video_id, h, "decoy") for h in alike)
    yield from bucket_rows(found, DuplicateRow, comparison.buckets)


def duplicates_of(
    video: FingerprintedVideo, alike: Iterable[Duplicate], copies: ExactCopies
) -> Iterator[DuplicateRow]:
    """Yield the target videos that a stored video may overlap, each once."""
    exact = {(copy.target, copy.target_video_id): copy.tier for copy in copies.find(video)}
    frames = {(hit.target, hit.target_video_id): hit for hit in alike}
    for name in sorted({*exact, *frames}):
        yield _evidence(video, *name, frames.get(name), exact.get(name, "frames"))


def _alike(fingerprints: Iterable[Fingerprint], comparison: Comparison) -> list[list[Duplicate]]:
    """What the frames of each video match. The indexes are mapped, once per worker process."""
    videos = list(fingerprints)
    found: list[list[Duplicate]] = [[] for _ in videos]
    for path in comparison.indexes:
        hits = find_all(videos, open_index(path), comparison.profile)
        for mine, some in zip(found, hits, strict=True):
            mine += some
    return found


def _evidence(
    video: FingerprintedVideo, target: str, target_video_id: str, hit: Duplicate | None, tier: str
) -> DuplicateRow:
    row = DuplicateRow(video.row_key, video.video_id, target, target_video_id, 0, 0.0, 0, "")
    row = replace(row, tier=tier)
    return replace(row, **vars(hit)) if hit is not None else row


def _stored(batch: pa.RecordBatch) -> list[FingerprintedVideo]:
    return [video for video in rows_of([batch], FingerprintedVideo) if video.status == STORED]


def _fingerprint(video: FingerprintedVideo) -> Fingerprint:
    return Fingerprint.from_rows(video.fingerprint, video.seconds, video.versions)


def _count_compared(job: Job) -> int:
    """The stored videos; a table's status column is in memory a row group at a time."""
    files, status = part_files(job.path(fetch.TABLE)), schema_of(FingerprintedVideo, "status")
    batches = (batch for file in files for batch in read_batches(file, status))
    return sum(batch.column("status").to_pylist().count(STORED) for batch in batches)


def _keys(folder: str) -> set[str]:
    """The row keys of a table."""
    schema = schema_of(DuplicateRow, "row_key")
    batches = (batch for file in part_files(folder) for batch in read_batches(file, schema))
    return {key for batch in batches for key in batch.column("row_key").to_pylist()}


def _version(path: str) -> int:
    """Tells a file from what an earlier run of this process had read there."""
    return Path(path).stat().st_mtime_ns


def _versions(paths: Iterable[str]) -> tuple[int, ...]:
    return tuple(map(_version, paths))


@functools.lru_cache(maxsize=8)
def _copies(tables: tuple[str, ...], _modified_ns: tuple[int, ...]) -> ExactCopies:
    """The exact tier; a set's name is that of its table."""
    return ExactCopies({Path(path).stem: read_rows(path, TargetVideoRow) for path in tables})
