"""The part of the report page that shows re-posts beside the videos that they are like."""

import heapq
from dataclasses import dataclass

from formats.tables import RepostRow, read_rows
from pipelines.reporting.markup import foreign, text
from pipelines.reporting.pairs import doubt, say_likeness
from pipelines.reporting.stills import in_threads
from pipelines.reporting.stored_frames import Side, StoredFrames, say_uri, show_sides
from pipelines.reporting.summary import Summary, dataset_options, table_files
from pipelines.units import video_options


@dataclass(frozen=True)
class _Pair:
    """A re-post and the video that the evidence is of."""

    row: RepostRow
    repost: Side
    alike: Side


def repost_fields(folder: str, summary: Summary, *, most: int, height: int) -> dict[str, str]:
    """The fields of the page on re-posts, with so many pairs at most, of so many pixels high.

    Raises:
        TableError: a table is missing or damaged.
    """
    rows = [] if summary.duplicates.reposts is None else _least_certain(folder, most)
    figures = "".join(map(_figure, _draw_pairs(folder, rows, height)))
    return {
        "reposts_note": _note(summary, len(rows)),
        "reposts": f'<div class="pairs">{figures}</div>' if rows else "",
    }


def _least_certain(folder: str, most: int) -> list[RepostRow]:
    rows = (row for path in table_files(folder, "reposts") for row in read_rows(path, RepostRow))
    return heapq.nsmallest(most, rows, key=lambda row: (*doubt(row), row.row_key))


def _draw_pairs(folder: str, rows: list[RepostRow], height: int) -> list[_Pair]:
    options = video_options(dataset_options(folder).fetch)
    keys = {key for row in rows for key in (row.row_key, row.alike_key)}
    stored = StoredFrames.find(folder, keys, options)

    def draw(row: RepostRow) -> _Pair:
        return _Pair(
            row,
            stored.draw(row.row_key, row.second, row.version, height),
            stored.draw(row.alike_key, row.alike_second, row.variant, height),
        )

    return in_threads(draw, rows)


def _note(summary: Summary, shown: int) -> str:
    said = text(summary.duplicates.inside_source(), limit=400)
    if not shown:
        return said
    return (
        f"{said} Here are the least certain pairs ({shown:,} shown), worst first, at their closest "
        "frames: the video that went on the left, the one that it is like on the right."
    )


def _figure(pair: _Pair) -> str:
    row = pair.row
    went = f"{foreign(row.video_id, 60)} at {row.second:.1f} s<br>{say_uri(pair.repost)}"
    alike = f"{_say_fate(pair)}, at {row.alike_second:.1f} s<br>{say_uri(pair.alike)}"
    return (
        f"<figure>{show_sides(pair.repost, pair.alike)}<figcaption>{say_likeness(row)}"
        f'<span class="sides"><span>{went}</span><span>{alike}</span></span></figcaption></figure>'
    )


def _say_fate(pair: _Pair) -> str:
    if pair.alike.missing:  # Taken down, perhaps: it is not to be said to be there.
        return "the other one"
    return "kept" if pair.row.alike_key == pair.row.kept_key else "like the one that is kept"
