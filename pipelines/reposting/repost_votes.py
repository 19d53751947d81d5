"""Which of the pairs of source videos do show the same: the vote, with both fingerprints at hand.

The second step of `pipelines.reposts`. Of `videos/` only those in a pair are shuffled, twice: to
meet their pairs as the first video, then, with it, as the other.
"""

import functools
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dedup.bands import Words
from dedup.fingerprint import Fingerprint
from dedup.reposts import Facts, Likeness, compare_videos
from formats.storage import publish
from formats.tables import part_files, read_batches, schema_of
from pipelines import fetch
from pipelines.batches import (
    BucketTable,
    InBatches,
    ReadTable,
    WriteBatches,
    bucket_numbers,
    names,
    on_pairs,
    rows_of,
    split_by_bucket,
)
from pipelines.joins import STORED, RowKey, keys_of
from pipelines.reposting.repost_pairs import CandidateRow, key_words
from pipelines.run import Job

_BARE = ("stripped", "written")
"""Versions of a frame that there are only where it has bars."""


@dataclass(frozen=True)
class ComparedVideo:
    """The columns of `videos/` that say whether two show the same, and which is kept."""

    row_key: str
    video_id: str
    status: str
    source_sha256: str | None
    packets_sha256: str | None
    source_bytes: int | None
    duration_s: float | None
    width: int | None
    height: int | None
    fingerprint: tuple[bytes, ...]
    seconds: tuple[float, ...]
    versions: tuple[str, ...]


@dataclass(frozen=True)
class SameRow:
    """Two stored videos that show the same, `row_key` being the lesser of the two keys."""

    row_key: str
    other_key: str
    video_id: str
    other_video_id: str
    facts: tuple[float, ...]
    """`dedup.reposts.Facts` of the first video."""
    other_facts: tuple[float, ...]
    tier: str
    matched_frames: int
    min_distance: int
    second: float
    other_second: float
    version: str
    other_version: str


@dataclass
class VoteOnPairs(beam.PTransform):
    """Pipeline -> parts of `SameRow`, the pairs of candidates that hold.

    Left out are those with a video that stands in the table `removed`.
    """

    job: Job
    pairs: str
    """Folder of parts of `CandidateRow`."""
    removed: str
    same: str
    """Folder of the parts that are written."""

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[str]:
        buckets, pairs = self.job.options.run.buckets, part_files(self.pairs)
        gone = names(pipeline, part_files(self.removed), "Removed")
        removed = gone | "BucketRemoved" >> BucketTable(RowKey, buckets)
        files = names(pipeline, pairs, "Pairs")
        candidates = files | "BucketPairs" >> BucketTable(CandidateRow, buckets)
        videos = self._videos(pipeline, pairs)
        halves = (
            {"pairs": candidates, "videos": videos, "removed": removed}
            | "JoinFirst" >> beam.CoGroupByKey()
            | "TakeFirst"
            >> beam.FlatMap(on_pairs(take_first, buckets)).with_output_types(
                tuple[int, tuple[str, ComparedVideo]]
            )
        )
        bits = self.job.options.deduplicate.repost_bits
        return (
            {"halves": halves, "videos": videos, "removed": removed}
            | "JoinOther" >> beam.CoGroupByKey()
            | "Vote" >> beam.ParDo(InBatches(on_pairs(vote, bits), SameRow))
            | "WriteSame" >> WriteBatches(self.same, SameRow, buckets, ("row_key", "other_key"))
        )

    def _videos(
        self, pipeline: beam.Pipeline, pairs: Sequence[str]
    ) -> beam.PCollection[tuple[int, pa.RecordBatch]]:
        """The videos in a pair, by bucket."""
        wanted, buckets = f"{self.pairs}/wanted.npy", self.job.options.run.buckets
        write_wanted(pairs, wanted)
        return (
            names(pipeline, part_files(self.job.path(fetch.TABLE)), "Videos")
            | "ReadVideos" >> ReadTable(ComparedVideo)
            | "BucketWanted"
            >> beam.FlatMap(bucket_wanted, wanted, buckets).with_output_types(
                tuple[int, pa.RecordBatch]
            )
        )


def write_wanted(pairs: Sequence[str], path: str) -> None:
    """Write the first half of the keys of all videos in a pair, 8 bytes each, sorted.

    It lets a few others through, which the joins then leave out.
    """
    found = np.empty(0, np.uint64)
    for file in pairs:
        for batch in read_batches(file, schema_of(CandidateRow)):
            both = [key_words(column)[:, 0] for column in batch.columns]
            found = np.unique(np.concatenate([found, *both]))
    with publish(path) as temporary, open(temporary, "wb") as sink:
        np.save(sink, found)


def bucket_wanted(
    batch: pa.RecordBatch, wanted: str, buckets: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield by bucket the batch's stored videos that are in a pair."""
    stored = batch.filter(pc.equal(batch.column("status"), STORED))
    keys = _wanted(wanted, Path(wanted).stat().st_mtime_ns)
    there = np.isin(key_words(stored.column("row_key"))[:, 0], keys)
    if there.any():
        yield from split_by_bucket(stored.filter(pa.array(there)), buckets)


def take_first(
    _bucket: int, tables: Mapping[str, Iterable[pa.RecordBatch]], buckets: int
) -> Iterator[tuple[int, tuple[str, ComparedVideo]]]:
    """Yield (bucket of the other video, (its key, the first video)) for each pair, once."""
    removed, others = keys_of(tables["removed"]), defaultdict(set)
    for pair in rows_of(tables["pairs"], CandidateRow):
        others[pair.row_key].add(pair.other_key)
    for video in rows_of(tables["videos"], ComparedVideo):
        if video.row_key not in removed:
            keys = sorted(others.get(video.row_key, ()))
            numbers = bucket_numbers(pa.array(keys, pa.string()), buckets)
            yield from zip(numbers.tolist(), ((key, video) for key in keys), strict=True)


def vote(_bucket: int, tables: Mapping[str, Iterable[Any]], bits: int) -> Iterator[SameRow]:
    """Yield the pairs whose videos show the same, neither of them removed."""
    removed = keys_of(tables["removed"])
    videos = {video.row_key: video for video in rows_of(tables["videos"], ComparedVideo)}
    for key, first in tables["halves"]:
        if key in videos and key not in removed:
            yield from compare(first, videos[key], bits)


def compare(first: ComparedVideo, other: ComparedVideo, bits: int) -> Iterator[SameRow]:
    """Yield the pair if its videos have the same bytes or show the same."""
    likeness = compare_videos(_fingerprint(first), _fingerprint(other), bits)
    tier = _tier(first, other)
    if tier is None and likeness is None:
        return
    found = likeness or Likeness(0, 0, 0.0, 0.0, "", "")
    yield SameRow(
        first.row_key,
        other.row_key,
        first.video_id,
        other.video_id,
        tuple(map(float, _facts(first))),
        tuple(map(float, _facts(other))),
        tier or "frames",
        found.matched_frames,
        found.min_distance,
        found.first_second,
        found.second_second,
        found.first_version,
        found.second_version,
    )


def _tier(first: ComparedVideo, other: ComparedVideo) -> str | None:
    """What says that both are copies of one file, as for targets."""
    if first.source_sha256 and first.source_sha256 == other.source_sha256:
        return "sha256"
    if first.packets_sha256 and first.packets_sha256 == other.packets_sha256:
        return "packets"
    return None


def _facts(video: ComparedVideo) -> Facts:
    return Facts(
        video.duration_s or 0.0,
        any(version in _BARE for version in video.versions),
        (video.width or 0) * (video.height or 0),
        video.source_bytes or 0,
    )


def _fingerprint(video: ComparedVideo) -> Fingerprint:
    return Fingerprint.from_rows(video.fingerprint, video.seconds, video.versions)


@functools.lru_cache(maxsize=2)
def _wanted(path: str, _modified_ns: int) -> Words:
    return np.asarray(np.load(path))
