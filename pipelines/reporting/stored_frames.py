"""Frames of stored videos, to be looked at beside others."""

from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.snapshots import Snapshot, take_snapshot
from formats.tables import MatchRow
from formats.video import DecodeError, VideoOptions
from pipelines.reporting.markup import foreign, text
from pipelines.reporting.stills import StoredBytes, extracted, find_stored
from pipelines.reporting.summary import read_columns
from pipelines.reporting.views import draw_frame, source_view

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
class StoredFrames:
    """Where the frames of some stored videos are to be found, and what these were called."""

    folder: str
    videos: dict[str, StoredBytes]
    uris: dict[str, str]
    options: VideoOptions

    @classmethod
    def find(cls, folder: str, row_keys: set[str], options: VideoOptions) -> "StoredFrames":
        """Those of the videos with these keys.

        Raises:
            TableError: a table is missing or damaged.
        """
        return cls(folder, find_stored(folder, row_keys), _find_uris(folder, row_keys), options)

    def draw(self, row_key: str, second: float, version: str, height: int) -> Side:
        """The frame at a second, and which version of it was compared."""
        side = Side(self.uris.get(row_key, ""), None, _NOT_STORED)
        stored = self.videos.get(row_key)
        if stored is None or not (Path(self.folder) / "videos" / stored.part).exists():
            return side
        with extracted(self.folder, stored) as path:
            frame = frame_at(path, second, height, self.options)
        if not isinstance(frame, Snapshot):
            return replace(side, missing=frame)
        picture = draw_frame(frame, source_view(version, frame), "source frame")
        return replace(side, picture=picture, missing="")


def frame_at(path: str, second: float, height: int, options: VideoOptions) -> Snapshot | str:
    """The frame, or why there is none."""
    try:
        return take_snapshot(path, second=second, height=height, options=options)
    except DecodeError as error:
        return f"no frame to be had here ({error.reason})"
    except OSError as error:  # Gone, or locked, between two looks.
        return f"cannot be read: {error.strerror}"


def show_sides(one: Side, other: Side) -> str:
    """Both frames beside each other, as HTML; whatever strangers wrote in it is text."""
    shown = (
        side.picture or f'<span class="missing">{text(side.missing)}</span>'
        for side in (one, other)
    )
    return f'<div class="sides">{"".join(shown)}</div>'


def say_uri(side: Side) -> str:
    """Where the frame's video is from, as HTML."""
    return foreign(side.uri, 90) if side.uri else "no URI on record"


def _find_uris(folder: str, row_keys: set[str]) -> dict[str, str]:
    keys, found = pa.array(sorted(row_keys), pa.string()), {}
    for batch in read_columns(folder, "matches", MatchRow, ["row_key", "uri"]):
        for row in batch.filter(pc.is_in(batch.column("row_key"), keys)).to_pylist():
            found[row["row_key"]] = row["uri"]
    return found
