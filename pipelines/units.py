"""The unit of work of fetching: some matches, downloaded, checked, stored, committed together."""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dedup.fingerprint import fingerprint_video
from formats.shards import add_member, open_for_writing
from formats.storage import publish, sha256_file
from formats.tables import MatchRow, VideoRow, write_rows
from formats.video import DecodeError, VideoOptions, normalise
from pipelines.engine import progress
from pipelines.fetch_options import FetchOptions
from pipelines.joins import REJECTED, RETRY_LATER, STORED
from pipelines.sources import FetchError, fetch_source


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
