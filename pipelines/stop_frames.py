"""Evidence without stop frames: what so many videos show in passing gives none of them away."""

from collections import Counter
from pathlib import Path

from dedup.stop_frames import TargetFrame, stop_frames
from formats.tables import DuplicateRow, part_files, read_rows, write_rows

FRAMES = "frames"


def drop_stop_frames(folder: str, sources: int) -> dict[TargetFrame, int]:
    """Take the rows that rest on a stop frame alone out of a table of duplicates, part by part.

    Exact copies stay. The same table without them is left as it is, so it may be done twice.

    Returns:
        The source videos that showed each stop frame in passing.

    Raises:
        TableError: a part is damaged.
    """
    parts = part_files(folder)
    counts = Counter(
        frame
        for part in parts
        for row in read_rows(part, DuplicateRow)
        if (frame := _rests_on(row))
    )
    stopped = stop_frames(counts, sources)
    for part in parts if stopped else ():
        rows = list(read_rows(part, DuplicateRow))
        kept = [row for row in rows if _rests_on(row) not in stopped]
        if not kept:
            Path(part).unlink()
        elif len(kept) < len(rows):
            write_rows(part, kept, DuplicateRow)
    return {frame: counts[frame] for frame in sorted(stopped)}


def _rests_on(row: DuplicateRow) -> TargetFrame | None:
    """The target frame that alone, and in passing, gave a video away."""
    if row.tier != FRAMES or not row.in_passing:
        return None
    return TargetFrame(row.target, row.target_video_id, row.target_second)
