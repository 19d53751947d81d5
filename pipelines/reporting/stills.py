"""What the report shows of the videos: clips of each label."""

import base64
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from formats.storage import scratch_folder
from formats.tables import ClipRow, LabelRow, MatchRow, VideoRow, read_rows
from formats.video import DecodeError, thumbnail_jpeg
from pipelines.reporting.summary import read_columns, table_files

HEIGHT = 96
_TAIL_S = 0.5

Item = TypeVar("Item")
Picture = TypeVar("Picture")


@dataclass(frozen=True)
class Still:
    """One frame of a video."""

    second: float
    image: str | None
    """A data URI; None if the video is not at hand or has no such frame."""


@dataclass(frozen=True)
class ClipStrip:
    """A clip's first, middle and last frame, and the hashtags that gave it its label."""

    clip: ClipRow
    hashtags: tuple[str, ...]
    stills: tuple[Still, ...]


@dataclass(frozen=True)
class LabelStrips:
    """A few clips of one label."""

    label: LabelRow
    strips: tuple[ClipStrip, ...]


@dataclass(frozen=True)
class StoredBytes:
    """Where a stored video lies in the tars of `videos/`."""

    row_key: str
    part: str
    offset: int
    size_bytes: int


def label_strips(folder: str, split: str, *, max_labels: int, per_label: int) -> list[LabelStrips]:
    """Clips of labels from head to tail, chosen by clip_id (a hash), so always the same ones."""
    labels = choose_labels(read_rows(str(Path(folder) / "labels.parquet"), LabelRow), max_labels)
    clips = _choose_clips(folder, split, {row.label_id for row in labels}, per_label)
    chosen = [clip for row in labels for clip in clips.get(row.label_id, ())]
    keys = {clip.row_key for clip in chosen}
    videos, hashtags = find_stored(folder, keys), _find_hashtags(folder, keys)

    def strip(clip: ClipRow) -> ClipStrip:
        stills = _stored_stills(folder, videos.get(clip.row_key), _three_seconds(clip))
        return ClipStrip(clip, hashtags.get(clip.row_key, ()), stills)

    strips = iter(in_threads(strip, chosen))
    return [
        LabelStrips(row, tuple(next(strips) for _ in clips[row.label_id]))
        for row in labels
        if row.label_id in clips
    ]


def choose_labels(labels: Iterable[LabelRow], most: int) -> list[LabelRow]:
    """At most so many labels, evenly over the ranking by videos, head and tail included."""
    ranked = sorted(labels, key=lambda row: (-row.videos, row.label_id))
    if len(ranked) <= most:
        return ranked
    return [ranked[i * (len(ranked) - 1) // (most - 1)] for i in range(most)]


def find_stored(folder: str, row_keys: Collection[str]) -> dict[str, StoredBytes]:
    """Where these videos are stored; those that are not stored are missing from the answer."""
    columns = ["row_key", "part", "offset", "size_bytes", "status"]
    return {
        row["row_key"]: StoredBytes(row["row_key"], row["part"], row["offset"], row["size_bytes"])
        for row in _rows_of_keys(folder, ("videos", VideoRow, columns), row_keys)
        if row["status"] == "stored"
    }


def _find_hashtags(folder: str, row_keys: Collection[str]) -> dict[str, tuple[str, ...]]:
    rows = _rows_of_keys(folder, ("matches", MatchRow, ["row_key", "hashtags"]), row_keys)
    return {row["row_key"]: tuple(row["hashtags"]) for row in rows}


def _rows_of_keys(
    folder: str, table: tuple[str, type, Sequence[str]], row_keys: Collection[str]
) -> Iterator[dict]:
    keys = pa.array(sorted(row_keys), pa.string())
    for batch in read_columns(folder, *table):
        yield from batch.filter(pc.is_in(batch.column("row_key"), keys)).to_pylist()


def _choose_clips(
    folder: str, split: str, label_ids: Collection[int], per_label: int
) -> dict[int, list[ClipRow]]:
    chosen: dict[int, list[ClipRow]] = {}
    for path in table_files(folder, f"clips/{split}"):
        for clip in read_rows(path, ClipRow):
            if clip.label_id in label_ids:
                held = chosen.setdefault(clip.label_id, [])
                held.append(clip)
                held.sort(key=lambda row: row.clip_id)
                del held[per_label:]
    return chosen


def _three_seconds(clip: ClipRow) -> list[float]:
    # The last frame itself may be missing by rounding; half a second earlier none is.
    length = clip.end_s - clip.start_s
    return [clip.start_s, clip.start_s + length / 2, clip.end_s - min(_TAIL_S, length / 10)]


def _stored_stills(
    folder: str, video: StoredBytes | None, seconds: Sequence[float]
) -> tuple[Still, ...]:
    if video is None:
        return tuple(Still(second, None) for second in seconds)
    with extracted(folder, video) as path:
        return tuple(_still(path, second) for second in seconds)


def _still(path: str | None, second: float) -> Still:
    if path is None:
        return Still(second, None)
    try:
        picture = thumbnail_jpeg(path, second=second, height=HEIGHT)
    except DecodeError:
        # The page says so in the picture's place; a report must not fail over a thumbnail.
        return Still(second, None)
    return Still(second, "data:image/jpeg;base64," + base64.b64encode(picture).decode())


@contextmanager
def extracted(folder: str, video: StoredBytes) -> Iterator[str]:
    """The path of a stored video by itself; the file goes when the block ends."""
    with scratch_folder("tagreel-") as scratch:
        path = Path(scratch) / "stored.mp4"
        with open(Path(folder) / "videos" / video.part, "rb") as tar:
            tar.seek(video.offset)
            path.write_bytes(tar.read(video.size_bytes))
        yield str(path)


def in_threads(draw: Callable[[Item], Picture], items: Sequence[Item]) -> list[Picture]:
    """What `draw` makes of each item, in their order."""
    # The work is done by decoders in processes of their own.
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        return list(pool.map(draw, items))
