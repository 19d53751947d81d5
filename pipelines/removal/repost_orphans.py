"""Re-posts of videos that were taken down: they stay out, however often the stage runs anew.

What made them re-posts, the fingerprint of the kept video, is gone by then, so their evidence is
kept beside the table, in a file that no stage clears.
"""

from collections.abc import Collection
from pathlib import Path

from formats.tables import RepostRow, change_rows, part_files, read_rows, write_rows

_FILE = "reposts/.orphans.parquet"


def remember_orphans(out: Path, keys: Collection[str]) -> None:
    """Keep the evidence of the re-posts of videos with these keys, but for what itself goes."""
    path = out / _FILE
    if path.exists():
        change_rows(str(path), RepostRow, keys, lambda _: None)
    known = read_orphans(out)
    rows = (r for file in part_files(str(out / "reposts")) for r in read_rows(file, RepostRow))
    found = {r.row_key: r for r in rows if r.kept_key in keys and r.row_key not in keys}
    if not found.keys() <= known.keys():
        write_rows(str(path), [row for _, row in sorted({**found, **known}.items())], RepostRow)


def read_orphans(out: Path) -> dict[str, RepostRow]:
    """The evidence by the key of the re-post."""
    path = out / _FILE
    return {row.row_key: row for row in read_rows(str(path), RepostRow)} if path.exists() else {}
