"""`ledger.parquet`: the one fate of every matched catalog row."""

import shutil
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
import pyarrow as pa

from formats.tables import (
    DuplicateRow,
    Fate,
    LedgerRow,
    MatchRow,
    RepostRow,
    part_files,
    read_batches,
    schema_of,
    write_batches,
)
from pipelines import deduplicate, fetch, label, match, reposts, split
from pipelines.batches import InBatches, WriteBatches, on_pairs, rows_of
from pipelines.engine import Engine
from pipelines.joins import (
    REJECTED,
    RETRY_LATER,
    FetchedVideo,
    JoinTables,
    RowKey,
    keys_of,
    latest_videos,
)
from pipelines.label_manifest import read_space_facts
from pipelines.reporting.summary import REPOST
from pipelines.run import Job

TABLE = "ledger.parquet"
_PARTS = ".ledger"


def write_ledger(job: Job) -> None:
    """Write the ledger from the tables of a job whose stages are done.

    Raises:
        JobError: the label space has no manifest.
    """
    clips = [f"{split.TABLE}/{name}" for name in job.options.split.splits]
    dropped = read_space_facts(str(job.out)).reasons()
    shutil.rmtree(job.path(_PARTS), ignore_errors=True)  # A killed run's would be read as ours.
    tables: dict[str, type] = {
        match.TABLE: MatchRow,
        fetch.TABLE: FetchedVideo,
        deduplicate.TABLE: DuplicateRow,
        reposts.TABLE: RepostRow,
        label.TABLE: RowKey,
        **dict.fromkeys(clips, RowKey),
    }

    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "Tables" >> JoinTables(job, tables)
            | "Fates" >> beam.ParDo(InBatches(on_pairs(find_fates, clips, dropped), LedgerRow))
            | "WriteLedger"
            >> WriteBatches(job.path(_PARTS), LedgerRow, job.options.run.buckets, ("row_key",))
        )

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    _concatenate(job)


def find_fates(
    _bucket: int,
    tables: dict[str, Iterable[pa.RecordBatch]],
    clips: list[str],
    dropped: Mapping[str, str],
) -> Iterator[LedgerRow]:
    """Yield the fate of each of a bucket's matches.

    `dropped` has the labels outside the label space, and which limit left each out.
    """
    videos = latest_videos(tables[fetch.TABLE])
    copied = {r.row_key: f"{REPOST}{r.kept_key}" for r in rows_of(tables[reposts.TABLE], RepostRow)}
    copied |= {r.row_key: r.target for r in rows_of(tables[deduplicate.TABLE], DuplicateRow)}
    labelled = keys_of(tables[label.TABLE])
    sampled = {key for name in clips for key in keys_of(tables[name])}
    for row in rows_of(tables[match.TABLE], MatchRow):
        key = row.row_key
        if row.taken_down:
            yield taken_down(row)
            continue
        early = _early_fate(videos[key], copied.get(key))
        if early is not None:
            fate, reason, stage = early
        elif key in labelled:
            sampled_fate = (Fate.CLIP, None, "shard"), (Fate.NOT_SAMPLED, None, "split")
            fate, reason, stage = sampled_fate[key not in sampled]
        else:
            fate, reason, stage = _unlabelled_fate(dropped.get(name) for name in row.labels)
        yield LedgerRow(key, row.video_id, fate, reason, stage)


def taken_down(row: MatchRow) -> LedgerRow:
    """The fate of what was taken down: that it was, and how it was named, but not what it was."""
    return LedgerRow(row.row_key, "", Fate.TAKEN_DOWN, row.taken_down, "takedown")


def _early_fate(video: FetchedVideo, copy_of: str | None) -> tuple[Fate, str | None, str] | None:
    if video.status == REJECTED:
        return Fate.REJECTED, video.reason, "fetch"
    if video.status == RETRY_LATER:
        return Fate.RETRY_LATER, video.reason, "fetch"
    if copy_of is not None:
        return Fate.DUPLICATE, copy_of, "deduplicate"
    return None


def _unlabelled_fate(limits: Iterable[str | None]) -> tuple[Fate, str, str]:
    """The fate of a video none of whose labels was kept: that of the label that came furthest."""
    found = set(limits)
    for limit in ("label_subset", "max_labels"):
        if limit in found:
            return Fate.NOT_SAMPLED, limit, "label"
    return Fate.LABEL_TOO_SMALL, "min_videos", "label"


def _concatenate(job: Job) -> None:
    """One file out of the buckets' parts, one row group in memory at a time."""
    schema = schema_of(LedgerRow)
    parts = part_files(job.path(_PARTS))
    batches = (batch for part in parts for batch in read_batches(part, schema))
    write_batches(job.path(TABLE), batches, schema)
    shutil.rmtree(job.path(_PARTS))
