"""Removed videos beside the target videos that they match, for people to judge."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.snapshots import Snapshot, take_snapshot
from formats.tables import DuplicateRow, MatchRow, read_rows
from formats.video import DecodeError, VideoOptions
from pipelines.benchmarks.target_files import TargetFile, find_target_files
from pipelines.reporting.markup import foreign, text
from pipelines.reporting.stills import StoredBytes, extracted, find_stored, in_threads
from pipelines.reporting.summary import dataset_options, read_columns, table_files
from pipelines.reporting.views import draw_frame, say_view, source_view, target_view
from pipelines.units import video_options

FRAMES = "frames"
EXACT = {
    "uri": "the same URI",
    "video_id": "the same video id",
    "sha256": "the same bytes",
    "packets": "the same coded packets",
}
"""Tiers that need no look at a frame."""
_NOT_THERE = "the target video's file is not there any more"
_NOT_KNOWN = "the target video is no file of its table's folder"
_NOT_STORED = "the video is not stored"


@dataclass(frozen=True)
class Side:
    """One frame of a pair."""

    uri: str
    picture: str | None
    """Inline SVG; None if there is no frame to show."""
    missing: str = ""
    """Why there is none."""


@dataclass(frozen=True)
class Pair:
    """A removed source video and a target video that it matched, at their closest frames."""

    row: DuplicateRow
    source: Side
    target: Side


@dataclass(frozen=True)
class _Files:
    """Where the frames of some pairs are to be found."""

    folder: str
    stored: dict[str, StoredBytes]
    uris: dict[str, str]
    targets: dict[tuple[str, str], TargetFile]
    source_options: VideoOptions
    target_options: VideoOptions


def read_evidence(folder: str) -> Iterator[DuplicateRow]:
    """Every row of `duplicates/`; the rows of one video follow each other."""
    for path in table_files(folder, "duplicates"):
        yield from read_rows(path, DuplicateRow)


def worst_pairs(rows: Iterable[DuplicateRow], most: int) -> list[DuplicateRow]:
    """The least certain first: the largest distance, then the fewest frames; exact copies last."""
    return heapq.nsmallest(most, rows, key=_doubt)


def draw_pairs(folder: str, rows: Sequence[DuplicateRow], *, height: int) -> list[Pair]:
    """The pairs with their frames, of so many pixels high, in their order.

    A frame that cannot be shown is no error: the pair says why it is missing.

    Raises:
        TableError: a table is missing or damaged.
    """
    options = dataset_options(folder)
    source_options = video_options(options.fetch)
    keys = {row.row_key for row in rows}
    wanted = {(row.target, row.target_video_id) for row in rows}
    files = _Files(
        folder,
        find_stored(folder, keys),
        _find_uris(folder, keys),
        find_target_files(Path(folder), wanted, options.fetch),
        source_options,
        replace(source_options, hash_fps=options.targets.hash_fps),
    )
    return in_threads(lambda row: _draw(row, files, height), rows)


def show_pair(pair: Pair) -> str:
    """Both frames beside each other, as HTML; whatever strangers wrote in it is text."""
    return f'<div class="sides">{_show(pair.source)}{_show(pair.target)}</div>'


def say_evidence(row: DuplicateRow) -> str:
    """What gave the video away, as HTML text."""
    if row.tier != FRAMES:
        return f"<b>{text(EXACT.get(row.tier, row.tier))}</b>"
    frames = f"{row.matched_frames:,} frame{'s' * (row.matched_frames != 1)} alike"
    frames += " in passing" * row.in_passing
    views = f"{text(say_view(row.version), 40)} / {text(say_view(row.variant), 40)}"
    return f"<b>{row.min_distance} bits</b> · {views} · {frames} · offset {row.offset_s:+.1f} s"


def say_source(pair: Pair) -> str:
    """Which frame of which source video it is, as HTML."""
    row = pair.row
    return f"{foreign(row.video_id, 60)} at {row.source_second:.1f} s<br>{_uri(pair.source)}"


def say_target(pair: Pair) -> str:
    """Which frame of which target video it is, as HTML."""
    row = pair.row
    name = f"{foreign(row.target, 40)}: {foreign(row.target_video_id, 60)}"
    return f"{name} at {row.target_second:.1f} s<br>{_uri(pair.target)}"


def _doubt(row: DuplicateRow) -> tuple[bool, int, int, str, str, str]:
    exact = row.tier != FRAMES
    names = row.row_key, row.target, row.target_video_id
    return exact, -row.min_distance, row.matched_frames, *names


def _draw(row: DuplicateRow, files: _Files, height: int) -> Pair:
    source = Side(files.uris.get(row.row_key, ""), None, _NOT_STORED)
    stored = files.stored.get(row.row_key)
    if stored is not None and (Path(files.folder) / "videos" / stored.part).exists():
        with extracted(files.folder, stored) as path:
            frame = _frame(path, row.source_second, height, files.source_options)
        if isinstance(frame, Snapshot):
            view = source_view(row.version, frame)
            source = replace(source, picture=draw_frame(frame, view, "source frame"), missing="")
        else:
            source = replace(source, missing=frame)
    return Pair(row, source, _draw_target(row, files, height))


def _draw_target(row: DuplicateRow, files: _Files, height: int) -> Side:
    file = files.targets.get((row.target, row.target_video_id), TargetFile("", None))
    if file.path is None:
        return Side(file.uri, None, _NOT_KNOWN)
    if not Path(file.path).is_file():
        return Side(file.uri, None, _NOT_THERE)
    frame = _frame(file.path, row.target_second, height, files.target_options)
    if not isinstance(frame, Snapshot):
        return Side(file.uri, None, frame)
    return Side(file.uri, draw_frame(frame, target_view(row.variant, frame), "target frame"))


def _frame(path: str, second: float, height: int, options: VideoOptions) -> Snapshot | str:
    """The frame, or why there is none."""
    try:
        return take_snapshot(path, second=second, height=height, options=options)
    except DecodeError as error:
        return f"no frame to be had here ({error.reason})"
    except OSError as error:  # Gone, or locked, between two looks.
        return f"cannot be read: {error.strerror}"


def _find_uris(folder: str, row_keys: set[str]) -> dict[str, str]:
    keys, found = pa.array(sorted(row_keys), pa.string()), {}
    for batch in read_columns(folder, "matches", MatchRow, ["row_key", "uri"]):
        for row in batch.filter(pc.is_in(batch.column("row_key"), keys)).to_pylist():
            found[row["row_key"]] = row["uri"]
    return found


def _show(side: Side) -> str:
    return side.picture or f'<span class="missing">{text(side.missing)}</span>'


def _uri(side: Side) -> str:
    return foreign(side.uri, 90) if side.uri else "no URI on record"
