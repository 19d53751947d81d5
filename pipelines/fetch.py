"""Stage fetch: matches -> `videos/`, each downloaded, checked, stored and fingerprinted once.

The unit of work is a part: a tar of stored videos and a Parquet table of what became of each match
in it. The table is written last and is the commit; a tar without one is a killed worker's and is
removed. A run takes the matches without a final fate, so parts are only ever added: a kill costs
the units that were under way, and a catalog may grow between runs.
"""

import json
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam
import pyarrow as pa

from dedup.fingerprint import fingerprint_video
from formats.settings import significant
from formats.shards import add_member, digest_of, open_for_writing
from formats.storage import publish, remove_leftovers, sha256_file, write_text
from formats.tables import MatchRow, VideoRow, count_rows, read_rows, write_rows
from formats.video import DecodeError, VideoOptions, normalise
from pipelines import match
from pipelines.batches import WriteCounts, names, part_files, read_counts
from pipelines.catalogs import catalog_folder
from pipelines.engine import Engine, progress
from pipelines.joins import (
    REJECTED,
    RETRY_LATER,
    STORED,
    FetchedVideo,
    JoinTables,
    RowKey,
    keys_of,
    latest_videos,
)
from pipelines.options import FetchOptions
from pipelines.run import Job, JobError, Outcome
from pipelines.sources import FetchError, fetch_source

TABLE = "videos"
_COUNTS = "counts.json"
_OPTIONS = "options.json"
# Options that decide how hard we try, not how a video is judged or stored.
_MAY_CHANGE = {
    "deadline_s",
    "idle_s",
    "max_tries",
    "max_redirects",
    "decode_deadline_s",
    "decode_memory_bytes",
    "max_failed_fraction",
}


@dataclass(frozen=True)
class FetchUnit:
    """Matches that are fetched together and committed together."""

    part: str
    """`part-<hash of its row keys>`."""
    matches: tuple[MatchRow, ...]
    first: bool
    """None of them was tried before."""


@dataclass(frozen=True)
class Workplace:
    """Where a unit reads and writes."""

    videos: str
    catalog: str | None
    """Folder that relative URIs start from."""
    options: FetchOptions


def run(job: Job) -> Outcome:
    """Fetch every match without a final fate.

    Raises:
        JobError: more than `max_failed_fraction` of all matches could not be stored.
    """
    folder = job.path(TABLE)
    Path(folder).mkdir(parents=True, exist_ok=True)
    _check_options(folder, job.options.fetch)
    _remove_uncommitted(folder)
    workplace = Workplace(
        folder, catalog_folder(job.catalog) if job.catalog else None, job.options.fetch
    )

    def build(pipeline: beam.Pipeline) -> None:
        files = names(pipeline, part_files(job.path(match.TABLE)), "Matches")
        _ = files | "Fetch" >> FetchMatches(workplace)

    engine = Engine(job.runner, job.beam_args, job.options.run.workers)
    total = sum(count_rows(file) for file in part_files(job.path(match.TABLE)))
    with progress.bar("fetch", total, "videos"):
        engine.execute(build)
    counts = _count(job, engine)
    _check(counts, job)
    return Outcome(dict(sorted(counts.items())), unfinished=counts[RETRY_LATER] > 0)


@dataclass
class FetchMatches(beam.PTransform):
    """Names of parts of matches -> names of the parts of videos that were added."""

    workplace: Workplace

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[str]:
        return (
            files
            | "PlanUnits" >> beam.FlatMap(plan_units, self.workplace)
            | "Spread" >> beam.Reshuffle()
            | "FetchUnit" >> beam.FlatMap(fetch_unit, self.workplace)
        )


def plan_units(matches: str, workplace: Workplace) -> Iterator[FetchUnit]:
    """Cut the matches of one part that have no final fate into units, in order of their keys.

    Holds one bucket of keys in memory.
    """
    known = {}
    for part in part_files(workplace.videos):
        known.update(_statuses(part))
    final = {key for key, status in known.items() if status != RETRY_LATER}
    open_matches = [row for row in read_rows(matches, MatchRow) if row.row_key not in final]
    progress.advance(count_rows(matches) - len(open_matches))
    # Videos that were tried before come in units of their own: if nothing changes for any of them,
    # nothing is written, and the stages that follow have nothing to do.
    for first in (True, False):
        group = [row for row in open_matches if (row.row_key not in known) is first]
        size = workplace.options.videos_per_part
        for start in range(0, len(group), size):
            rows = tuple(group[start : start + size])
            part = f"part-{digest_of([row.row_key for row in rows])[:16]}"
            yield FetchUnit(part, rows, first)


def fetch_unit(unit: FetchUnit, workplace: Workplace) -> Iterator[str]:
    """Fetch one unit and commit it; yield the name of its table, if anything is new."""
    with tempfile.TemporaryDirectory(prefix="tagreel-") as scratch:
        videos = fetch_videos(unit.matches, workplace, scratch)
        if not unit.first and all(video.status == RETRY_LATER for video, _ in videos):
            return
        tar = f"{workplace.videos}/{unit.part}.tar"
        rows = pack_videos(tar, videos)
        table = f"{workplace.videos}/{unit.part}.parquet"
        write_rows(table, rows, VideoRow)
        yield table


def fetch_videos(
    matches: Sequence[MatchRow], workplace: Workplace, scratch: str
) -> list[tuple[VideoRow, str]]:
    """(row, path of the stored video) of each match, in their order, several under way at once."""

    def one(row: MatchRow) -> tuple[VideoRow, str]:
        stored = f"{scratch}/{row.row_key}.mp4"
        video = fetch_video(row, stored, workplace)
        progress.advance()
        return video, stored

    with ThreadPoolExecutor(workplace.options.downloads_per_unit) as pool:
        return list(pool.map(one, matches))


def fetch_video(row: MatchRow, stored: str, workplace: Workplace) -> VideoRow:
    """Download, check and store one video; what went wrong becomes the row's reason."""
    options = workplace.options
    source = f"{stored}.source"
    blank = VideoRow(row.row_key, row.video_id, REJECTED)
    try:
        fetched = fetch_source(row.uri, source, options=options, folder=workplace.catalog)
    except FetchError as error:
        status = RETRY_LATER if error.retry_later else REJECTED
        return replace(
            blank, status=status, reason=error.reason, detail=error.detail, tries=error.tries
        )
    blank = replace(
        blank,
        source_sha256=fetched.sha256,
        source_bytes=fetched.size_bytes,
        tries=fetched.tries,
        final_uri=fetched.final_uri,
    )
    try:
        return _store(blank, source, stored, options)
    except DecodeError as error:
        return replace(blank, reason=error.reason, detail=error.detail)
    finally:
        Path(source).unlink(missing_ok=True)


def video_options(options: FetchOptions) -> VideoOptions:
    """The part of the options that decoding and storing need."""
    return VideoOptions(
        stored_short_edge=options.stored_short_edge,
        max_fps=options.max_fps,
        crf=options.crf,
        gop=options.gop,
        preset=options.preset,
        hash_fps=options.hash_fps,
        min_duration_s=options.min_duration_s,
        max_duration_s=options.max_duration_s,
        min_frames=options.min_frames,
        max_pixels=options.max_pixels,
        deadline_s=options.decode_deadline_s,
        memory_bytes=options.decode_memory_bytes,
    )


def pack_videos(tar_path: str, videos: Sequence[tuple[VideoRow, str]]) -> list[VideoRow]:
    """Write the stored videos to one tar, atomically; return the rows with their places in it."""
    with publish(tar_path) as temporary, open(temporary, "wb") as file:
        tar = open_for_writing(file)
        rows = [_pack(tar, Path(tar_path).name, row, stored) for row, stored in videos]
        tar.close()
    return rows


def _pack(tar: tarfile.TarFile, part: str, row: VideoRow, stored: str) -> VideoRow:
    if row.status != STORED:
        return row
    offset = add_member(tar, f"{row.row_key}.mp4", Path(stored).read_bytes())
    return replace(row, part=part, offset=offset)


def _store(row: VideoRow, source: str, stored: str, options: FetchOptions) -> VideoRow:
    video = normalise(source, stored, video_options(options))
    print_ = fingerprint_video(
        video.gray_THW, video.seconds_T, width=video.width, height=video.height
    )
    return replace(
        row,
        status=STORED,
        size_bytes=Path(stored).stat().st_size,
        sha256=sha256_file(stored),
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
        fps=video.fps,
        frames=video.frames,
        fingerprint=tuple(code.tobytes() for code in print_.codes),
        seconds=tuple(print_.seconds.tolist()),
        versions=print_.versions,
    )


def _statuses(part: str) -> dict[str, str]:
    return {row.row_key: row.status for row in read_rows(part, FetchedVideo)}


def _remove_uncommitted(folder: str) -> None:
    remove_leftovers(folder)
    for tar in Path(folder).glob("part-*.tar"):
        if not tar.with_suffix(".parquet").exists():
            tar.unlink()


def count_outcomes(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]]
) -> Iterator[tuple[str, int]]:
    """Yield (status or status:reason, videos) of a bucket's matches."""
    videos = latest_videos(tables[TABLE])
    for key in keys_of(tables[match.TABLE]):
        video = videos[key]
        yield video.status, 1
        if video.reason is not None:
            yield f"{video.status}:{video.reason}", 1


def _count(job: Job, engine: Engine) -> Counter[str]:
    """Outcomes of this job's matches; `videos/` may hold those of matches that are gone."""

    def build(pipeline: beam.Pipeline) -> None:
        tables = {match.TABLE: RowKey, TABLE: FetchedVideo}
        joined = pipeline | "Matches" >> JoinTables(job, tables)
        _ = (
            joined
            | "CountOutcomes" >> beam.FlatMapTuple(count_outcomes)
            | "WriteCounts" >> WriteCounts(job.path(TABLE, _COUNTS))
        )

    engine.execute(build)
    return read_counts(job.path(TABLE, _COUNTS))


def _check_options(folder: str, options: FetchOptions) -> None:
    """Refuse to add videos to those that were stored in another way."""
    path = Path(folder) / _OPTIONS
    now = {k: v for k, v in significant(options).items() if k not in _MAY_CHANGE}
    text = json.dumps(now, sort_keys=True) + "\n"
    if not path.exists():
        write_text(str(path), text)
    elif path.read_text() != text:
        before = json.loads(path.read_text())
        changed = [
            f"{k} was {before.get(k)!r}, is {v!r}"
            for k, v in json.loads(text).items()
            if before.get(k) != v
        ]
        raise JobError(
            f"{folder}: its videos were fetched with other options ({'; '.join(changed)}); take "
            f"another OUT, or delete {folder} to fetch them again"
        )


def _check(counts: Counter[str], job: Job) -> None:
    failed, total = counts[REJECTED] + counts[RETRY_LATER], _total(counts)
    limit = job.options.fetch.max_failed_fraction
    if failed <= limit * total:
        return
    reasons = Counter({k.partition(":")[2]: n for k, n in counts.items() if ":" in k})
    worst = ", ".join(f"{reason} {count:,}" for reason, count in reasons.most_common(3))
    raise JobError(
        f"{failed:,} of {total:,} videos could not be stored, more than "
        f"fetch.max_failed_fraction = {limit:g} allows; most often: {worst}. What was fetched is "
        "kept; look at videos/*.parquet, then run again or raise the limit"
    )


def _total(counts: Counter[str]) -> int:
    return counts[STORED] + counts[REJECTED] + counts[RETRY_LATER]
