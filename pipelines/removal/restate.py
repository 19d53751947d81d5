"""Letting a dataset's shards, records, ledger and report tell what is there after a takedown.

What a stage counted is counted again with the stage's own functions; its time stays that of the run
that made it. Everything here may be done twice.
"""

import shutil
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.shards import (
    MANIFEST,
    Manifest,
    ShardEntry,
    dataset_id,
    read_manifest,
    read_shard,
)
from formats.tables import (
    ClipRow,
    Fate,
    LedgerRow,
    MatchRow,
    change_rows,
    count_rows,
    part_files,
    read_batches,
    schema_of,
)
from pipelines import audit, deduplicate, fetch, report, reposts, shard
from pipelines.batches import read_counts, read_part
from pipelines.identity import row_key
from pipelines.joins import FetchedVideo
from pipelines.removal.reshard import delete_unlisted, drop_from_split, finish_moving
from pipelines.removal.strikes import label_counts
from pipelines.removal.takedown_list import TakedownList
from pipelines.reporting import card, summary
from pipelines.run import STAGES, Job, left_by, read_record, stage_key, write_record
from pipelines.split import split_counts

_AFTER_MATCH = ("fetch", "deduplicate", "label", "split", "shard")
_FINISHED = {"deduplicate", "label", "split", "shard"}
Gone = Mapping[str, Mapping[str, tuple[str, float]]]
"""By shard, by clip that goes: its video's row key and its seconds."""


def clean_shards(job: Job, keys: Collection[str], current: Collection[str]) -> None:
    """Take the clips of these videos out of the shards of every split.

    Which shards hold them, `clips/` tells if the stages are up to date; else all are read.
    """
    for folder in sorted((job.out / shard.TABLE).glob("*/")):
        finish_moving(folder)
        if not (folder / MANIFEST).exists():
            delete_unlisted(folder, None)
            continue
        delete_unlisted(folder, read_manifest(str(folder)))
        if {"split", "shard"} <= set(current):
            gone = _find_by_table(job, folder.name, keys)
            files = part_files(job.path("clips", folder.name))
            drop_from_split(folder, gone, partial(_describe, files, keys))
        else:
            gone = _find_by_reading(folder, keys)
            drop_from_split(folder, gone, partial(_subtract, gone))


def current_stages(job: Job) -> tuple[str, ...]:
    """The stages whose output is what the job's options and the stages before it would give now.

    Of those alone that a takedown changes; what stands before them depends on files from outside.
    """
    current = []
    for stage in _AFTER_MATCH:
        record = read_record(stage, job.out)
        needed = all(read_record(name, job.out) for name in STAGES[stage].needs)
        if record is not None and needed and record.key == stage_key(stage, job):
            current.append(stage)
    return tuple(current)


def restate_record(
    stage: str, job: Job, counts: Mapping[str, int] | None, *, current: bool
) -> None:
    """Let a finished stage's record tell of its output as it is now, at the time it had then.

    A stage that was up to date stays so; any other one will run again.
    """
    record = read_record(stage, job.out)
    if record is None:
        return
    files, result_digest = left_by(stage, job)
    key = record.key
    if stage in _AFTER_MATCH:
        key = stage_key(stage, job) if current else ""
    changed = replace(
        record,
        key=key,
        counts=dict(record.counts if counts is None else counts),
        bytes=sum(files.values()),
        files=files,
        result_digest=result_digest,
    )
    write_record(changed, job.out)


def restate(job: Job, current: Collection[str]) -> None:
    """Let the record of every stage tell of its output as it is now."""
    for stage, spec in STAGES.items():
        if stage in ("expand", "targets") or read_record(stage, job.out) is None:
            continue
        needed = all(read_record(name, job.out) for name in spec.needs)
        counts = _counts(stage, job) if needed else None
        restate_record(stage, job, counts, current=stage in current)


def restate_report(job: Job, taken: TakedownList) -> None:
    """Write ledger, summary, page and card anew; they go if the dataset is not finished.

    The audit's page and list go too; what it measured stays, for it names nobody.
    """
    ledger = job.out / "ledger.parquet"
    if ledger.exists():
        change_rows(str(ledger), LedgerRow, taken.videos.keys(), partial(_ledger_ghost, taken))
    shutil.rmtree(job.out / "report", ignore_errors=True)
    for name in audit.NAMING:
        (job.out / name).unlink(missing_ok=True)
    (job.out / card.CARD).unlink(missing_ok=True)
    record = read_record("shard", job.out)
    if (
        ledger.exists()
        and set(taken.unfinished or ()) >= _FINISHED
        and record
        and any(record.counts.values())
    ):
        report.write_report(job.path())
        card.write_card(job.path(), summary.summarise(job.path()))


def _ledger_ghost(taken: TakedownList, row: LedgerRow) -> LedgerRow:
    return LedgerRow(row.row_key, "", Fate.TAKEN_DOWN, taken.videos[row.row_key], "takedown")


def _counts(stage: str, job: Job) -> dict[str, int] | None:
    if stage == "fetch" and _all_tried(job):
        fetch.count_yields(job)
        return dict(sorted(read_counts(job.path("videos", "counts.json")).items()))
    if stage == "deduplicate":
        return {**deduplicate.count_duplicates(job), **reposts.count_reposts(job)}
    if stage == "label":
        return label_counts(job.out)
    if stage == "split":
        return split_counts(job)
    return _shard_counts(job) if stage == "shard" else None


def _shard_counts(job: Job) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in job.options.split.splits:
        if (job.out / shard.TABLE / name / MANIFEST).exists():
            manifest = read_manifest(job.path(shard.TABLE, name))
            counts |= {f"{name}_clips": manifest.clips, f"{name}_shards": len(manifest.shards)}
    return counts


def _all_tried(job: Job) -> bool:
    """Whether every match was fetched at least once; holds the keys of one part of matches."""
    for file in part_files(job.path("matches")):
        keys: set[str] = set()
        for batch in read_batches(file, schema_of(MatchRow, "row_key", "taken_down")):
            keys.update(batch.filter(pc.is_null(batch.column("taken_down"))).column(0).to_pylist())
        for part in part_files(job.path("videos")):
            for batch in read_part(part, FetchedVideo):
                keys.difference_update(batch.column("row_key").to_pylist())
        if keys:
            return False
    return True


def _find_by_table(job: Job, name: str, keys: Collection[str]) -> Gone:
    files = part_files(job.path("clips", name))
    shards = shard.count_shards(job, name, sum(map(count_rows, files)))
    wanted = pa.array(sorted(keys), pa.string())
    gone: dict[str, dict[str, tuple[str, float]]] = {}
    for file in files:
        for batch in read_batches(file, schema_of(ClipRow, "row_key", "clip_id")):
            found = batch.filter(pc.is_in(batch.column("row_key"), wanted))
            for row in found.to_pylist():
                path = shard.shard_name(shard.shard_number(row["clip_id"], shards))
                gone.setdefault(path, {})[row["clip_id"]] = row["row_key"], 0.0
    return gone


def _find_by_reading(folder: Path, keys: Collection[str]) -> Gone:
    gone: dict[str, dict[str, tuple[str, float]]] = {}
    for entry in read_manifest(str(folder)).shards:
        for clip_id, _, facts in read_shard(str(folder / entry.path)):
            key = row_key(str(facts.get("uri")))
            if key in keys:
                seconds = float(str(facts["end_s"])) - float(str(facts["start_s"]))
                gone.setdefault(entry.path, {})[clip_id] = key, seconds
    return gone


def _describe(
    files: list[str], keys: Collection[str], old: Manifest, entries: tuple[ShardEntry, ...]
) -> Manifest:
    identity = old.config_digest, old.labels
    return shard.describe_split(old.split, files, identity, entries, without=keys)


def _subtract(gone: Gone, old: Manifest, entries: tuple[ShardEntry, ...]) -> Manifest:
    """The old manifest less what goes, where no table says what stays."""
    away = [clip for clips in gone.values() for clip in clips.values()]
    return replace(
        old,
        dataset_id=dataset_id(old.config_digest, old.split, old.labels, entries),
        shards=entries,
        clips=sum(entry.clips for entry in entries),
        videos=old.videos - len({key for key, _ in away}),
        minutes=round(max(0.0, old.minutes - sum(seconds for _, seconds in away) / 60), 3),
    )
