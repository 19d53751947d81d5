"""Why temporal splits hold nothing: most catalogs have no long videos of the same labels."""

from collections.abc import Mapping
from pathlib import Path

from formats.tables import SplitQuotaRow, read_rows
from pipelines.options import SplitOptions
from pipelines.quotas import QUOTAS, TEMPORAL


def why_empty(folder: str, clips: Mapping[str, int], options: SplitOptions) -> str | None:
    """Why some of the temporal splits hold no clip, in one sentence; None if all hold some.

    Raises:
        TableError: the table of quotas is missing or damaged.
    """
    empty = [name for name in TEMPORAL if clips.get(name) == 0]
    if not empty:
        return None
    rows = list(read_rows(str(Path(folder) / QUOTAS), SplitQuotaRow))
    short, long = (f"{begin:g}-{end:g} s" for begin, end in (options.short_s, options.long_s))
    lacks = [
        lengths
        for lengths, there in (
            (short, any(row.short_videos for row in rows)),
            (long, any(row.long_videos for row in rows)),
        )
        if not there
    ]
    says = f"{', '.join(empty)} {'is' if len(empty) == 1 else 'are'} empty: "
    rule = f"split.budget={options.budget} takes only labels that have both {short} and {long}"
    if lacks:
        return f"{says}no label has a video of {' or of '.join(lacks)}; {rule}"
    if not any(row.short_videos and row.long_videos for row in rows):
        return f"{says}no label has videos of both lengths; {rule}"
    return f"{says}split.budget={options.budget} leaves no room for a video"
