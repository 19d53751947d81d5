"""Removed videos beside the target videos that they match, for people to judge."""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from formats.snapshots import Snapshot
from formats.tables import DuplicateRow, read_rows
from formats.video import VideoOptions
from pipelines.benchmarks.target_files import TargetFile, find_target_files
from pipelines.reporting.markup import foreign, text
from pipelines.reporting.stills import in_threads
from pipelines.reporting.stored_frames import Side, StoredFrames, frame_at, say_uri, show_sides
from pipelines.reporting.summary import dataset_options, table_files
from pipelines.reporting.views import draw_frame, say_view, target_view
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


class Evidence(Protocol):
    """What rows of duplicates and of re-posts have in common."""

    @property
    def tier(self) -> str: ...
    @property
    def matched_frames(self) -> int: ...
    @property
    def min_distance(self) -> int: ...
    @property
    def offset_s(self) -> float: ...
    @property
    def version(self) -> str: ...
    @property
    def variant(self) -> str: ...


@dataclass(frozen=True)
class Pair:
    """A removed source video and a target video that it matched, at their closest frames."""

    row: DuplicateRow
    source: Side
    target: Side


@dataclass(frozen=True)
class _Files:
    """Where the frames of some pairs are to be found."""

    stored: StoredFrames
    targets: dict[tuple[str, str], TargetFile]
    target_options: VideoOptions


def read_evidence(folder: str) -> Iterator[DuplicateRow]:
    """Every row of `duplicates/`; the rows of one video follow each other."""
    for path in table_files(folder, "duplicates"):
        yield from read_rows(path, DuplicateRow)


def worst_pairs(rows: Iterable[DuplicateRow], most: int) -> list[DuplicateRow]:
    """The least certain first: the largest distance, then the fewest frames; exact copies last."""
    return heapq.nsmallest(
        most, rows, key=lambda row: (*doubt(row), row.row_key, row.target, row.target_video_id)
    )


def draw_pairs(folder: str, rows: Sequence[DuplicateRow], *, height: int) -> list[Pair]:
    """The pairs with their frames, of so many pixels high, in their order.

    A frame that cannot be shown is no error: the pair says why it is missing.

    Raises:
        TableError: a table is missing or damaged.
    """
    options = dataset_options(folder)
    source_options = video_options(options.fetch)
    wanted = {(row.target, row.target_video_id) for row in rows}
    files = _Files(
        StoredFrames.find(folder, {row.row_key for row in rows}, source_options),
        find_target_files(Path(folder), wanted, options.fetch),
        replace(source_options, hash_fps=options.targets.hash_fps),
    )
    return in_threads(lambda row: _draw(row, files, height), rows)


def show_pair(pair: Pair) -> str:
    """Both frames beside each other, as HTML."""
    return show_sides(pair.source, pair.target)


def say_evidence(row: DuplicateRow) -> str:
    """What gave the video away, as HTML text."""
    return say_likeness(row, in_passing=row.in_passing)


def say_likeness(row: Evidence, *, in_passing: bool = False) -> str:
    """How like the two videos are, as HTML text."""
    if row.tier != FRAMES:
        return f"<b>{text(EXACT.get(row.tier, row.tier))}</b>"
    frames = f"{row.matched_frames:,} frame{'s' * (row.matched_frames != 1)} alike"
    frames += " in passing" * in_passing
    views = f"{text(say_view(row.version), 40)} / {text(say_view(row.variant), 40)}"
    return f"<b>{row.min_distance} bits</b> · {views} · {frames} · offset {row.offset_s:+.1f} s"


def say_source(pair: Pair) -> str:
    """Which frame of which source video it is, as HTML."""
    row = pair.row
    return f"{foreign(row.video_id, 60)} at {row.source_second:.1f} s<br>{say_uri(pair.source)}"


def say_target(pair: Pair) -> str:
    """Which frame of which target video it is, as HTML."""
    row = pair.row
    name = f"{foreign(row.target, 40)}: {foreign(row.target_video_id, 60)}"
    return f"{name} at {row.target_second:.1f} s<br>{say_uri(pair.target)}"


def doubt(row: Evidence) -> tuple[bool, int, int]:
    """What sorts the least certain first: few frames that are far off; exact copies come last."""
    return row.tier != FRAMES, -row.min_distance, row.matched_frames


def _draw(row: DuplicateRow, files: _Files, height: int) -> Pair:
    source = files.stored.draw(row.row_key, row.source_second, row.version, height)
    return Pair(row, source, _draw_target(row, files, height))


def _draw_target(row: DuplicateRow, files: _Files, height: int) -> Side:
    file = files.targets.get((row.target, row.target_video_id), TargetFile("", None))
    if file.path is None:
        return Side(file.uri, None, _NOT_KNOWN)
    if not Path(file.path).is_file():
        return Side(file.uri, None, _NOT_THERE)
    frame = frame_at(file.path, row.target_second, height, files.target_options)
    if not isinstance(frame, Snapshot):
        return Side(file.uri, None, frame)
    return Side(file.uri, draw_frame(frame, target_view(row.variant, frame), "target frame"))
