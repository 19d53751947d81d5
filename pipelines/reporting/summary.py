"""The counts of a finished dataset, read off its tables: rows in = sum of fates, or an error."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.settings import load_settings
from formats.shards import Manifest, digest_of, read_manifest
from formats.storage import write_text
from formats.tables import (
    ClipRow,
    DuplicateRow,
    Fate,
    LedgerRow,
    MatchRow,
    count_rows,
    part_files,
    read_batches,
    schema_of,
)
from pipelines.options import Options
from pipelines.reporting.target_counts import TargetCount, count_targets
from pipelines.run import STAGES, JobError, StageRecord, read_record

REPOST = "repost of "
"""What a re-post's reason in the ledger starts with; the `row_key` of the kept video follows."""
# Fates of catalog rows that match no label, so that the ledger does not list them one by one.
NOT_MATCHED = ("unmatched", "filtered", "merged", "unreadable")


class AccountingError(JobError):
    """The tables contradict each other: some row has no fate, or more than one."""


@dataclass(frozen=True)
class SplitSummary:
    """What one split holds."""

    dataset_id: str
    videos: int
    clips: int
    minutes: float
    labels: int
    """Labels with at least one clip here."""


@dataclass(frozen=True)
class DuplicateSummary:
    """Source videos removed because they may overlap a target."""

    count: int
    by_target: Mapping[str, int]
    """Videos by target set; a video that is in two of them counts in both."""
    compared: int
    """Stored videos that were compared with the targets."""
    decoy_hits: int | None
    """How many of them matched upside down, by chance alone; None if that was not looked at."""
    reposts: int | None
    """Videos removed because another one of the source shows the same; None if not looked for."""
    target_sets: Mapping[str, TargetCount]

    def by_chance(self) -> str | None:
        """What the decoys say about false removals, for people; None if they were not looked at."""
        if self.decoy_hits is None or not self.compared:
            return None
        return (
            f"Upside down, {self.decoy_hits:,} of {self.compared:,} videos matched a target "
            f"({self.decoy_hits / self.compared:.2%}): an estimate of how many are removed by "
            "chance. It is too low by 2 to 6 times among videos of one composition, such as "
            "talking heads."
        )

    def inside_source(self) -> str:
        """What was done about re-posts, for people."""
        if self.reposts is None:
            return "Re-posts inside the source were not looked for, so a video may be here twice."
        return (
            f"Re-posts inside the source removed: {self.reposts:,}; of videos that show the same, "
            "one is kept, and `reposts/` holds the evidence."
        )


@dataclass(frozen=True)
class StageSummary:
    """What one stage cost when it last ran."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class Summary:
    """`OUT/report/summary.json`."""

    dataset_id: str
    """Hex hash of every split's dataset_id."""
    catalog_rows: int
    fates: Mapping[str, int]
    """Every fate, and those of rows that never matched; the values add up to `catalog_rows`."""
    filtered: Mapping[str, int]
    """Rows left out by the filters of match, by filter."""
    rejected: Mapping[str, int]
    retry_later: Mapping[str, int]
    duplicates: DuplicateSummary
    splits: Mapping[str, SplitSummary]
    labels_matched: int
    """Seed labels that at least one catalog row stands for."""
    labels_kept: int
    labels_dropped: int
    stages: Mapping[str, StageSummary]
    seconds: float


def summarise(folder: str) -> Summary:
    """Count a finished dataset; memory grows with the labels, not with the rows.

    Raises:
        AccountingError: the fates do not add up to the catalog, or a split's clips to its shards.
        JobError: a stage is not done.
        ShardError: a split has no manifest.
        TableError: a table is missing or damaged.
    """
    records = {stage: _record(folder, stage) for stage in STAGES}
    by_reason = _ledger_counts(folder)
    fates = _fates(records["match"], by_reason)
    splits = {name: _split(folder, name) for name in dataset_options(folder).split.splits}
    kept = count_rows(str(Path(folder) / "labels.parquet"))
    matched = len(matched_labels(folder))
    return Summary(
        dataset_id=digest_of({name: split.dataset_id for name, split in splits.items()}),
        catalog_rows=records["match"].counts["catalog_rows"],
        fates=fates,
        filtered=_filtered(records["match"]),
        rejected=_reasons(by_reason, Fate.REJECTED),
        retry_later=_reasons(by_reason, Fate.RETRY_LATER),
        duplicates=_duplicates(folder, by_reason, records["deduplicate"]),
        splits=splits,
        labels_matched=matched,
        labels_kept=kept,
        labels_dropped=matched - kept,
        stages={stage: StageSummary(r.seconds, r.bytes) for stage, r in records.items()},
        seconds=round(sum(record.seconds for record in records.values()), 3),
    )


def write_summary(folder: str, summary: Summary) -> None:
    """Write `report/summary.json`."""
    text = json.dumps(asdict(summary), indent=1, ensure_ascii=False)
    write_text(str(Path(folder) / "report" / "summary.json"), text + "\n")


def dataset_options(folder: str) -> Options:
    """The resolved options that the dataset was built with."""
    return load_settings(Options, [str(Path(folder) / "config.toml")])


def read_columns(
    folder: str, table: str, row_type: type, columns: Sequence[str]
) -> Iterator[pa.RecordBatch]:
    """Some columns of a table, be it one file or a folder of parts, one row group at a time."""
    narrow = schema_of(row_type, *columns)
    for path in table_files(folder, table):
        yield from read_batches(path, narrow)


def table_files(folder: str, table: str) -> list[str]:
    """The Parquet files of a table, in the order of their names."""
    if table.endswith(".parquet"):
        return [str(Path(folder) / table)]
    return part_files(str(Path(folder) / table))


def matched_labels(folder: str) -> Counter[str]:
    """Catalog rows by seed label, before any was fetched; a row counts for each of its labels."""
    counts: Counter[str] = Counter()
    for batch in read_columns(folder, "matches", MatchRow, ["labels"]):
        counts.update(_value_counts(pc.list_flatten(batch.column("labels"))))
    return counts


def split_manifest(folder: str, split: str) -> Manifest:
    """What a finished split consists of."""
    return read_manifest(str(Path(folder) / "shards" / split))


def _record(folder: str, stage: str) -> StageRecord:
    record = read_record(stage, Path(folder))
    if record is None:
        raise JobError(f"{folder}: the stage {stage} is not done; run `make dataset` to the end")
    return record


def _ledger_counts(folder: str) -> Counter[tuple[str, str | None]]:
    counts: Counter[tuple[str, str | None]] = Counter()
    for batch in read_columns(folder, "ledger.parquet", LedgerRow, ["fate", "reason"]):
        grouped = pa.Table.from_batches([batch]).group_by(["fate", "reason"])
        for row in grouped.aggregate([([], "count_all")]).to_pylist():
            # Each re-post names the video that is kept, which would be a count of its own.
            repost = row["fate"] == Fate.DUPLICATE and (row["reason"] or "").startswith(REPOST)
            counts[row["fate"], REPOST if repost else row["reason"]] += row["count_all"]
    return counts


def _fates(match: StageRecord, by_reason: Mapping[tuple[str, str | None], int]) -> dict[str, int]:
    fates = {str(fate): 0 for fate in Fate}
    for (fate, _), count in by_reason.items():
        if fate not in fates:
            raise AccountingError(f"the ledger holds {count} rows with the unknown fate {fate!r}")
        fates[fate] += count
    fates |= {name: match.counts.get(name, 0) for name in NOT_MATCHED}
    rows, total = match.counts["catalog_rows"], sum(fates.values())
    if total != rows:
        terms = " + ".join(f"{name} {count}" for name, count in fates.items())
        raise AccountingError(
            f"the catalog has {rows} rows, their fates add up to {total}: {terms}"
        )
    return fates


def _filtered(match: StageRecord) -> dict[str, int]:
    prefix = "filtered_"
    return {
        name.removeprefix(prefix): count
        for name, count in match.counts.items()
        if name.startswith(prefix)
    }


def _reasons(by_reason: Mapping[tuple[str, str | None], int], wanted: Fate) -> dict[str, int]:
    """Counts by reason, the most frequent first."""
    found = [
        (reason or "unknown", count)
        for (fate, reason), count in by_reason.items()
        if fate == wanted
    ]
    return dict(sorted(found, key=lambda item: (-item[1], item[0])))


def _split(folder: str, name: str) -> SplitSummary:
    manifest = split_manifest(folder, name)
    clips: Counter[int] = Counter()
    for batch in read_columns(folder, f"clips/{name}", ClipRow, ["label_id"]):
        clips.update(_value_counts(batch.column("label_id")))
    if clips.total() != manifest.clips:
        raise AccountingError(
            f"split {name}: {clips.total()} clips were chosen, its shards hold {manifest.clips}"
        )
    return SplitSummary(
        manifest.dataset_id, manifest.videos, manifest.clips, manifest.minutes, len(clips)
    )


def _duplicates(
    folder: str, by_reason: Mapping[tuple[str, str | None], int], record: StageRecord
) -> DuplicateSummary:
    options = dataset_options(folder).deduplicate
    removed = _reasons(by_reason, Fate.DUPLICATE)
    reposts = removed.pop(REPOST, 0)
    return DuplicateSummary(
        sum(removed.values()),
        _duplicates_by_target(folder),
        record.counts["compared"],
        record.counts["decoy_hits"] if options.decoys else None,
        reposts if options.reposts else None,
        count_targets(folder),
    )


def _duplicates_by_target(folder: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    columns = ["target", "row_key"]
    schema = schema_of(DuplicateRow, *columns)
    # A video's rows are all in one part, so a part at a time is enough to count it once.
    for path in table_files(folder, "duplicates"):
        pairs = pa.Table.from_batches(read_batches(path, schema), schema)
        counts.update(_value_counts(pairs.group_by(columns).aggregate([]).column("target")))
    return dict(sorted(counts.items()))


def _value_counts(values: pa.Array | pa.ChunkedArray) -> dict:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(values).to_pylist()}
