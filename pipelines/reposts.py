"""Re-posts inside the source: `videos/` against itself -> `reposts/`, one video of each kept.

Nobody compares 65 million videos of 20 frames with each other: that is 2.3e9 hashes (a frame has
1.8 versions), 2.6e18 pairs. Instead

1. Every hash goes to a worker for each of its bands (10 of 24 bits), 52 bytes each: 1.2 TB in all,
   in one Beam job per band, so that an engine which shuffles in memory holds a tenth. A worker has
   a slice of one band, ~4 million hashes, and compares those whose bits there are the same: 270
   each by chance, 3e12 comparisons, of which a core does some 30 million a second: 45 core-hours,
   what is sent and sorted included (`benchmarks.dedup_reposts`). A value that many more share is
   not compared in full, and what was left out is counted (`dedup.bands`). Pixels are nowhere;
   videos meet by reference. (`pipelines.reposting.repost_pairs`)
2. Pairs of videos with close frames, few beside the videos, are joined with both fingerprints, and
   the vote is taken: two shuffles of the fingerprints (1.5 KB each) of videos in pairs, a bucket of
   them in memory at a time. (`pipelines.reposting.repost_votes`)
3. One process reads the pairs that hold and finds the components by union-find: some 1 KB for each
   video that has a re-post, whatever the number of videos or pairs. Below.

A target's duplicates are taken out of the pairs before that: one of them might else be kept for its
component, and then none of it would be left. Which video is kept is a function of the set of videos
alone, so a catalog that grew is judged as if it had been whole from the start.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import apache_beam as beam

from dedup.reposts import Facts, choose_kept, find_components
from formats.tables import RepostRow, count_rows, part_files, read_batches, read_rows, schema_of
from pipelines.batches import TableSink, bucket_rows, read_counts, write_json
from pipelines.engine import Engine
from pipelines.joins import RowKey
from pipelines.removal.repost_orphans import read_orphans
from pipelines.reposting.repost_pairs import find_candidates
from pipelines.reposting.repost_votes import SameRow, VoteOnPairs
from pipelines.run import Job

TABLE = "reposts"
_SCRATCH = ".reposts"
_COUNTS = "counts.json"


def write_reposts(job: Job, removed: str) -> None:
    """Write the stored videos that show what another one shows, which is kept.

    `removed` is the table of videos that are out already.
    """
    pairs, same = job.path(_SCRATCH, "pairs"), job.path(_SCRATCH, "same")
    shutil.rmtree(job.path(_SCRATCH), ignore_errors=True)
    skipped = find_candidates(job, pairs, job.options.deduplicate.repost_bits)

    def build(pipeline: beam.Pipeline) -> None:
        _ = pipeline | "Vote" >> VoteOnPairs(job, pairs, job.path(removed), same)

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    rows = find_reposts(part_files(same), _stored_orphans(job, job.path(removed)))
    sink = TableSink(job.path(TABLE), RepostRow, job.options.run.buckets, ("row_key",))
    for bucket, batch in bucket_rows(rows, RepostRow, sink.buckets):
        sink.write(bucket, [batch])
    held = sum(map(count_rows, part_files(same)))
    counts = {"repost_pairs": held, "repost_comparisons_skipped": skipped}
    write_json(counts, job.path(TABLE, _COUNTS))
    shutil.rmtree(job.path(_SCRATCH))


def count_reposts(job: Job) -> dict[str, int]:
    """Re-posts, pairs of videos that show the same, and comparisons left out; nothing if not asked.

    The first are those that are there; the others are as they were when the stage ran.
    """
    if not Path(job.path(TABLE, _COUNTS)).exists():
        return {}
    rows = sum(map(count_rows, part_files(job.path(TABLE))))
    return {"reposts": rows, **read_counts(job.path(TABLE, _COUNTS))}


def find_reposts(files: Iterable[str], orphans: Mapping[str, RepostRow]) -> list[RepostRow]:
    """The videos that go, out of parts of the pairs that show the same.

    `orphans` are re-posts of what was taken down. They go as before, with all that shows the same.
    """
    parts, facts = list(files), dict[str, Facts]()
    for row in _rows(parts):
        facts[row.row_key], facts[row.other_key] = _facts(row.facts), _facts(row.other_facts)
    components = find_components(_keys(parts))
    lost = {components[key]: row.kept_key for key, row in orphans.items() if key in components}
    chosen = choose_kept(components, facts)
    kept = {key: lost.get(components[key], chosen[key]) for key in components}
    found: dict[str, RepostRow] = {}
    for row in _rows(parts):
        for one in (_repost(row, kept), _repost(_turned(row), kept)):
            if one.row_key != one.kept_key:
                known = found.get(one.row_key, one)
                found[one.row_key] = min(known, one, key=_evidence_rank)
    return sorted({**found, **orphans}.values(), key=lambda row: row.row_key)


def _stored_orphans(job: Job, removed: str) -> dict[str, RepostRow]:
    """Those that no target's duplicate accounts for."""
    gone = {
        key
        for file in part_files(removed)
        for batch in read_batches(file, schema_of(RowKey))
        for key in batch.column("row_key").to_pylist()
    }
    return {key: row for key, row in read_orphans(job.out).items() if key not in gone}


def _rows(files: Iterable[str]) -> Iterator[SameRow]:
    for file in files:
        yield from read_rows(file, SameRow)


def _keys(files: Iterable[str]) -> Iterator[tuple[str, str]]:
    for file in files:
        for batch in read_batches(file, schema_of(SameRow, "row_key", "other_key")):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _facts(values: tuple[float, ...]) -> Facts:
    duration_s, has_bars, pixels, source_bytes = values
    return Facts(duration_s, bool(has_bars), int(pixels), int(source_bytes))


def _turned(row: SameRow) -> SameRow:
    """The pair with its videos swapped."""
    return replace(
        row,
        row_key=row.other_key,
        other_key=row.row_key,
        video_id=row.other_video_id,
        other_video_id=row.video_id,
        second=row.other_second,
        other_second=row.second,
        version=row.other_version,
        other_version=row.version,
    )


def _repost(row: SameRow, kept: Mapping[str, str]) -> RepostRow:
    """The first video of a pair as if it went."""
    return RepostRow(
        row.row_key,
        row.video_id,
        kept[row.row_key],
        row.other_key,
        row.matched_frames,
        row.second - row.other_second,
        row.min_distance,
        row.other_version,
        row.second,
        row.other_second,
        row.version,
        row.tier,
    )


def _evidence_rank(row: RepostRow) -> tuple[bool, int, str]:
    """The kept video comes first, then the closest."""
    return row.alike_key != row.kept_key, row.min_distance, row.alike_key
