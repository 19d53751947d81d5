"""Where the videos of the target sets lie, so that their frames can be shown later."""

import os
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.storage import write_bytes
from formats.tables import TargetVideoRow
from pipelines.benchmarks.target_tables import target_folder
from pipelines.fetch_options import FetchOptions
from pipelines.reporting.summary import read_columns
from pipelines.sources import local_file

_TABLE = "target_videos"


@dataclass(frozen=True)
class TargetFile:
    """A target video as its table names it."""

    uri: str
    path: str | None
    """None if the URI names no file of the table's folder."""


def record_folder(name: str, table: str, out: Path) -> None:
    """Leave where a target set's table lies, seen from the job's folder.

    So the two may move together, and whoever is given the dataset alone learns no home folder.
    """
    folder = os.path.relpath(Path(target_folder(table)).resolve(), out.resolve())
    write_bytes(str(_record(out, name)), os.fsencode(folder))


def find_target_files(
    out: Path, wanted: Collection[tuple[str, str]], options: FetchOptions
) -> dict[tuple[str, str], TargetFile]:
    """The files of some target videos by (target, video_id); unknown ones are left out.

    Whether a file is still there is not looked at.

    Raises:
        TableError: a target set's table is damaged.
    """
    found = {}
    for name in sorted({target for target, _ in wanted}):
        table = f"{_TABLE}/{name}.parquet"
        if not (out / table).exists():
            continue
        folder = _folder(out, name)
        ids = pa.array(sorted(video_id for target, video_id in wanted if target == name))
        for batch in read_columns(str(out), table, TargetVideoRow, ["video_id", "uri"]):
            for row in batch.filter(pc.is_in(batch.column("video_id"), ids)).to_pylist():
                path = None if folder is None else local_file(row["uri"], options, folder)
                found[name, row["video_id"]] = TargetFile(row["uri"], path)
    return found


def _folder(out: Path, name: str) -> str | None:
    record = _record(out, name)
    return str(out / os.fsdecode(record.read_bytes())) if record.exists() else None


def _record(out: Path, name: str) -> Path:
    return out / _TABLE / f"{name}.folder"
