"""The unit of work of fetching: some matches, downloaded, checked, stored, committed together.

How hosts are treated is remembered per process and run: units of one process share the limits and
what they learn, those of another worker on a cluster do not.
"""

import tarfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, groupby
from pathlib import Path

import apache_beam as beam
from apache_beam.transforms.window import GlobalWindows
from apache_beam.utils.windowed_value import WindowedValue

from dedup.fingerprint import fingerprint_video
from formats.shards import add_member, open_for_writing
from formats.storage import publish, scratch_folder, sha256_file
from formats.tables import MatchRow, VideoRow, write_rows
from formats.video import DecodeError, Normalised, VideoOptions, normalise
from pipelines.decoders import note_layers
from pipelines.engine import progress
from pipelines.fetch_options import FetchOptions
from pipelines.identity import split_piece
from pipelines.joins import REJECTED, RETRY_LATER, STORED, FetchedVideo
from pipelines.removal.strikes import names_of
from pipelines.sources import Fetched, FetchError, fetch_source
from pipelines.web.connections import HttpTrouble, place_of
from pipelines.web.scheduler import MAX_UNITS, Lane, Schedule, Seat
from pipelines.web.visits import visit_of, visiting


@dataclass(frozen=True)
class FetchUnit:
    """Matches that are fetched together and committed together."""

    part: str
    """`part-<hash of its row keys, and of what they were tried before>`."""
    matches: tuple[MatchRow, ...]
    before: tuple[FetchedVideo, ...] = ()
    """What became of each of them so far; empty if none was tried before."""


@dataclass(frozen=True)
class Workplace:
    """Where a unit reads and writes."""

    videos: str
    catalog: str | None
    """Folder that relative URIs start from."""
    options: FetchOptions
    run: str = field(default_factory=lambda: uuid.uuid4().hex, compare=False)
    """Whose memory of hosts is used: another run in this process has its own."""


@beam.typehints.with_input_types(FetchUnit)
@beam.typehints.with_output_types(str)
class FetchUnits(beam.DoFn):
    """FetchUnit -> name of the table that it left, if any, once the bundle is done.

    A unit that only waits for hosts lets the next one begin.
    """

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def start_bundle(self) -> None:
        self._lane = Lane(self._workplace.options)
        self._pool = ThreadPoolExecutor(MAX_UNITS)
        self._units: list[Future[list[str]]] = []

    def process(self, unit: FetchUnit) -> None:
        self._lane.enter()
        self._units.append(self._pool.submit(self._fetch, unit))
        if any(unit.done() and unit.exception() for unit in self._units):
            self._results()

    def finish_bundle(self) -> Iterator[WindowedValue]:
        for table in self._results():
            yield GlobalWindows.windowed_value(table)

    def _fetch(self, unit: FetchUnit) -> list[str]:
        with self._lane.unit():
            return list(fetch_unit(unit, self._workplace, self._lane))

    def _results(self) -> list[str]:
        """Wait for all that has begun; raise what one of them raised."""
        self._pool.shutdown()
        return [table for unit in self._units for table in unit.result()]


def fetch_unit(unit: FetchUnit, workplace: Workplace, lane: Lane | None = None) -> Iterator[str]:
    """Fetch one unit and commit it; yield the name of its table, if anything is new."""
    table = f"{workplace.videos}/{unit.part}.parquet"
    if Path(table).exists():
        # The name says what was to be done: an engine tries a bundle again, this unit was its own.
        yield table
        return
    note_layers(Path(workplace.videos).parent, workplace.options.sandbox)
    with scratch_folder("tagreel-") as scratch:
        videos = fetch_videos(unit.matches, workplace, scratch, lane)
        if unit.before:
            videos = news(unit.before, videos)
            if not videos:
                return
        commit_unit(table, videos)
        yield table


def news(
    before: Sequence[FetchedVideo], videos: Sequence[tuple[VideoRow, str]]
) -> list[tuple[VideoRow, str]]:
    """The outcomes that are not as before: what brought nothing new leaves nothing to redo later.

    Tries are added up, so that the later of two rejections is told from the earlier.
    """
    return [
        (replace(video, tries=known.tries + max(1, video.tries)), stored)
        for known, (video, stored) in zip(before, videos, strict=True)
        if video.status != RETRY_LATER
        and (video.status, video.reason) != (known.status, known.reason)
    ]


def fetch_videos(
    matches: Sequence[MatchRow], workplace: Workplace, scratch: str, lane: Lane | None = None
) -> list[tuple[VideoRow, str]]:
    """(row, path of the stored video) of each match, in their order, several under way at once.

    Pieces of one source that stand side by side, as they do in order of their keys, share one
    download.
    """
    visit = visit_of(workplace.run, workplace.options)
    sources = [(uri, list(rows)) for uri, rows in groupby(matches, lambda m: split_piece(m.uri)[0])]

    def one(number: int, seat: Seat) -> list[VideoRow]:
        with visiting(replace(visit, pause=seat.pause, moved=seat.moved)):
            return fetch_rows(*sources[number], Scratch(scratch, workplace), seat)

    def put_off(number: int, trouble: HttpTrouble) -> list[VideoRow]:
        failure = FetchError(trouble.reason, trouble.detail, retry_later=True)
        return [_failed(row, failure) for row in sources[number][1]]

    schedule = Schedule(visit.hosts, lane or Lane(workplace.options), one, put_off)
    found = chain(*schedule.run([_place(uri) for uri, _ in sources]))
    return [(video, _stored_at(scratch, video.row_key)) for video in found]


@dataclass(frozen=True)
class Scratch:
    """Where the sources of a unit and what becomes of them lie until it is committed."""

    folder: str
    workplace: Workplace


def fetch_rows(uri: str, rows: Sequence[MatchRow], scratch: Scratch, seat: Seat) -> list[VideoRow]:
    """Download one source; check and store what each row wants of it, or say why not."""
    options = scratch.workplace.options
    source = f"{scratch.folder}/{rows[0].row_key}.source"
    try:
        folder = scratch.workplace.catalog
        fetched = fetch_source(uri, source, options=options, folder=folder)
    except FetchError as error:
        return [_failed(row, error) for row in rows]
    finally:
        seat.leave_host()
    try:
        with seat.working():
            return [_store(row, fetched, source, scratch) for row in rows]
    finally:
        Path(source).unlink(missing_ok=True)


def _failed(row: MatchRow, error: FetchError) -> VideoRow:
    progress.advance()
    return replace(
        _blank(row),
        status=RETRY_LATER if error.retry_later else REJECTED,
        reason=error.reason,
        detail=error.detail,
        tries=error.tries,
    )


def _store(row: MatchRow, fetched: Fetched, source: str, scratch: Scratch) -> VideoRow:
    """Check and store a source, or a piece of it; what is wrong becomes the row's reason."""
    _, piece = split_piece(row.uri)
    known = replace(
        _blank(row),
        source_sha256=fetched.sha256 if piece is None else None,  # Other pieces have the same.
        source_bytes=fetched.size_bytes,
        tries=fetched.tries,
        final_uri=fetched.final_uri,
    )
    stored, options = _stored_at(scratch.folder, row.row_key), scratch.workplace.options
    try:
        video = normalise(source, stored, video_options(options), piece)
        return _with_facts(known, video, stored)
    except DecodeError as error:
        return replace(known, reason=error.reason, detail=error.detail)
    finally:
        progress.advance()


def _stored_at(folder: str, key: str) -> str:
    return f"{folder}/{key}.mp4"


def _blank(row: MatchRow) -> VideoRow:
    """A video of which nothing is known but who says that there is one."""
    _, *others = names_of(row)
    names = tuple(f"{kind}:{name}" for kind, name in others)
    return VideoRow(row.row_key, row.video_id, REJECTED, names=names)


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


def commit_unit(table: str, videos: Sequence[tuple[VideoRow, str]]) -> None:
    """Write the stored videos to one tar, and then the table that says where in it they lie.

    Both are written in full before the first is renamed: a full disk leaves neither.
    """
    tar_path = str(Path(table).with_suffix(".tar"))
    with publish(table) as listed, publish(tar_path) as packed:
        with open(packed, "wb") as file, open_for_writing(file) as tar:
            rows = [_pack(tar, Path(tar_path).name, row, stored) for row, stored in videos]
        write_rows(listed, rows, VideoRow)


def _place(uri: str) -> str | None:
    """The host that a URI is asked at; None for a file, or what is no URI of the web."""
    try:
        return place_of(uri)
    except HttpTrouble:
        return None


def _pack(tar: tarfile.TarFile, part: str, row: VideoRow, stored: str) -> VideoRow:
    if row.status != STORED:
        return row
    offset = add_member(tar, f"{row.row_key}.mp4", Path(stored).read_bytes())
    return replace(row, part=part, offset=offset)


def _with_facts(row: VideoRow, video: Normalised, stored: str) -> VideoRow:
    print_ = fingerprint_video(
        video.gray_THW, video.seconds_T, width=video.width, height=video.height
    )
    return replace(
        row,
        status=STORED,
        size_bytes=Path(stored).stat().st_size,
        sha256=sha256_file(stored),
        packets_sha256=video.packets_sha256 or None,
        duration_s=video.duration_s,
        width=video.width,
        height=video.height,
        fps=video.fps,
        frames=video.frames,
        fingerprint=tuple(code.tobytes() for code in print_.codes),
        seconds=tuple(print_.seconds.tolist()),
        versions=print_.versions,
    )
