"""Pairs of source videos that may show the same: those with close hashes in one band.

The first step of `pipelines.reposts`, and the one that grows with the source.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.bands import Entries, Words, band_width, bands, close_pairs, in_band
from dedup.hashing import CODE_BYTES, Codes
from dedup.reposts import INSET
from formats.tables import count_values, part_files, write_rows
from pipelines import fetch
from pipelines.batches import ReadTable, WriteCounts, names, on_pairs, read_counts
from pipelines.engine import Engine
from pipelines.joins import STORED
from pipelines.run import Job

EXACT = ("source_sha256", "packets_sha256")
"""A hash of a video's bytes is as long as one of a frame, so each is one more band."""
_SLICE_HASHES = 4_000_000
"""Entries that one worker compares at a time, on average: 600 MB."""
_ENTRIES_AT_ONCE = 5_000_000
"""Entries that one Beam job shuffles, if a single band has not more: 1 GB in the local engine."""
_ENTRY = pa.schema(
    [
        ("value", pa.uint32()),
        ("code", pa.binary(CODE_BYTES)),
        ("key_high", pa.uint64()),
        ("key_low", pa.uint64()),
    ]
)


@dataclass(frozen=True)
class CandidateRow:
    """Two stored videos with close hashes, `row_key` being the lesser of the two keys."""

    row_key: str
    other_key: str


@dataclass(frozen=True)
class HashedVideo:
    """The columns of `videos/` that bands are cut from."""

    row_key: str
    status: str
    source_sha256: str | None
    packets_sha256: str | None
    fingerprint: tuple[bytes, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class BandPlan:
    """How the hashes are spread over workers."""

    width: int
    """Bytes of a band."""
    slices: int
    """Pieces that a band's hashes are compared in, by its bits."""
    radius: int

    @property
    def numbers(self) -> int:
        """How many bands there are, those of exact hashes included."""
        return bands(self.width) + len(EXACT)


def find_candidates(job: Job, folder: str, radius: int) -> int:
    """Write the pairs of stored videos with hashes within the radius to parts in the folder.

    A pair may stand in several parts. Returns how many comparisons were left out.
    """
    videos = part_files(job.path(fetch.TABLE))
    hashes = sum(count_values(file, "fingerprint") for file in videos)
    plan = BandPlan(band_width(hashes), max(1, math.ceil(hashes / _SLICE_HASHES)), radius)
    at_once = max(1, _ENTRIES_AT_ONCE // max(hashes, 1))
    skipped = 0
    for start in range(0, plan.numbers, at_once):
        chosen = tuple(range(start, min(start + at_once, plan.numbers)))
        counts = f"{folder}/counts-{start:02d}.json"

        def build(
            pipeline: beam.Pipeline, chosen: tuple[int, ...] = chosen, counts: str = counts
        ) -> None:
            pairs = names(pipeline, videos, "Videos") | FindClosePairs(plan, chosen, folder)
            _ = pairs | "WriteCounts" >> WriteCounts(counts)

        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
        skipped += read_counts(counts)["skipped"]
    return skipped


@dataclass
class FindClosePairs(beam.PTransform):
    """Names of parts of videos -> counts of what was skipped; the pairs are in parts."""

    plan: BandPlan
    chosen: tuple[int, ...]
    folder: str

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[tuple[str, int]]:
        return (
            files
            | "ReadVideos" >> ReadTable(HashedVideo)
            | "CutBands"
            >> beam.FlatMap(cut_bands, self.plan, self.chosen).with_output_types(
                tuple[int, pa.RecordBatch]
            )
            | "GroupSlices" >> beam.GroupByKey()
            | "Compare" >> beam.Map(on_pairs(write_pairs, self.plan.radius, self.folder))
        )


def cut_bands(
    batch: pa.RecordBatch, plan: BandPlan, chosen: tuple[int, ...]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield (slice of a band, entries) of the batch's stored videos.

    A video has one entry for each value of a band: a still picture repeats itself.
    """
    stored = batch.filter(pc.equal(batch.column("status"), STORED))
    keys = key_words(stored.column("row_key"))
    for band in chosen:
        codes, rows = _hashes(stored, band - bands(plan.width))
        value, codes = in_band(codes, min(band, bands(plan.width) - 1), plan.width)
        _, first = np.unique(rows.astype(np.uint64) << 32 | value, return_index=True)
        number = value[first] % plan.slices
        order = first[np.argsort(number, kind="stable")]
        entries = _to_batch(Entries(value[order], codes[order], keys[rows[order]]))
        ends = np.cumsum(np.bincount(number, minlength=plan.slices))
        for piece, (start, stop) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            if stop > start:
                yield band * plan.slices + piece, entries.slice(start, stop - start)


def write_pairs(
    number: int, batches: Iterable[pa.RecordBatch], radius: int, folder: str
) -> tuple[str, int]:
    """Write the close pairs of one slice, if there are any; return what was skipped."""
    table = pa.Table.from_batches(batches, _ENTRY).combine_chunks()
    codes = np.frombuffer(table.column("code").chunk(0).buffers()[1], np.uint8)
    keys = [table.column(name).to_numpy() for name in ("key_high", "key_low")]
    value = table.column("value").to_numpy()
    found = close_pairs(
        Entries(value, codes.reshape(-1, CODE_BYTES)[: len(value)], np.stack(keys, axis=1)), radius
    )
    if len(found.first):
        rows = map(CandidateRow, _to_keys(found.first), _to_keys(found.second))
        write_rows(f"{folder}/part-{number:08d}.parquet", rows, CandidateRow)
    return "skipped", found.skipped


def key_words(row_keys: pa.Array) -> Words:
    """Row keys of 32 hex digits as two words each, uint64 [N, 2]; their order is the keys'."""
    content = bytes.fromhex("".join(row_keys.to_pylist()))
    return np.frombuffer(content, ">u8").reshape(-1, 2).astype(np.uint64)


def _to_keys(words: Words) -> Iterator[str]:
    return (f"{high:016x}{low:016x}" for high, low in words.tolist())


def _hashes(stored: pa.RecordBatch, exact: int) -> tuple[Codes, np.ndarray]:
    """The frames' hashes, or those of the bytes, and the row of the batch that each is of."""
    if exact < 0:
        column = stored.column("fingerprint")
        shown = pc.invert(pc.starts_with(pc.list_flatten(stored.column("versions")), INSET))
        rows = pc.list_parent_indices(column).filter(shown).to_numpy()
        content = b"".join(pc.list_flatten(column).filter(shown).to_pylist())
    else:
        marks = stored.column(EXACT[exact])
        rows = np.flatnonzero(pc.is_valid(marks).to_numpy(zero_copy_only=False))
        content = bytes.fromhex("".join(marks.drop_null().to_pylist()))
    return np.frombuffer(content, np.uint8).reshape(-1, CODE_BYTES), rows


def _to_batch(entries: Entries) -> pa.RecordBatch:
    codes = pa.py_buffer(np.ascontiguousarray(entries.codes))
    columns = [
        pa.array(entries.value),
        pa.FixedSizeBinaryArray.from_buffers(
            _ENTRY.field("code").type, len(entries.value), [None, codes]
        ),
        *(pa.array(np.ascontiguousarray(words)) for words in entries.keys.T),
    ]
    return pa.record_batch(columns, schema=_ENTRY)
