"""The sample world on disk: its files, its ground truth, and the marker that commits it."""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from formats.storage import write_text
from pipelines.world.posts import Kind

FORMAT_VERSION = 2
"""Raised whenever the same seed would give other files."""


class WorldError(Exception):
    """A folder does not hold a complete sample world; the message says which and what to do."""


@dataclass(frozen=True)
class World:
    """Where the parts of a sample world lie."""

    folder: str

    @property
    def catalog(self) -> str:
        """CSV: video_id, uri, caption, uploader, licence."""
        return str(Path(self.folder, "catalog.csv"))

    @property
    def targets(self) -> str:
        """CSV: video_id, uri relative to the folder, label, subset."""
        return str(Path(self.folder, "targets.csv"))

    @property
    def truth(self) -> str:
        """CSV of `TruthRow`, one per catalog row in its order."""
        return str(Path(self.folder, "truth.csv"))

    @property
    def marker(self) -> str:
        """JSON, written last: the world is complete if it is there and its files are."""
        return str(Path(self.folder, "WORLD.json"))


@dataclass(frozen=True)
class TruthRow:
    """What is really behind one catalog row."""

    video_id: str
    uri: str
    path: str
    """File below the world's folder; nothing lies there if the post is `dead` or `denied`."""
    kind: Kind
    labels: tuple[str, ...]
    """Actions that the video shows, in order."""
    tagged: tuple[str, ...]
    """Labels whose relevant hashtags the caption carries."""
    target_video_id: str
    edit: str
    length_s: float | None
    """Seconds that were encoded, before any truncation; None if no video was."""
    action_start_s: float | None
    action_end_s: float | None
    """None without an action, and in a re-upload."""


@dataclass(frozen=True)
class FileFacts:
    """One file of the world as the marker records it."""

    path: str
    size_bytes: int
    sha256: str


def write_csv(path: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a UTF-8 CSV file atomically; cells are quoted only where they must be."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_truth(world: World, rows: Iterable[TruthRow]) -> None:
    """Write the ground truth; labels of one cell are joined by '|'."""
    cells = ([_to_cell(value) for value in astuple(row)] for row in rows)
    write_csv(world.truth, [field.name for field in fields(TruthRow)], cells)


def read_truth(folder: str) -> list[TruthRow]:
    """The ground truth of a complete world.

    Raises:
        WorldError: the folder holds no complete world.
    """
    world = World(folder)
    if not Path(world.marker).is_file():
        raise WorldError(f"{folder}: no sample world (WORLD.json is missing); build it first")
    try:
        with open(world.truth, encoding="utf-8", newline="") as file:
            return [_from_cells(cells) for cells in csv.DictReader(file)]
    except (OSError, KeyError, ValueError) as error:
        raise WorldError(
            f"{world.truth}: cannot be read ({error}); build the world again"
        ) from error


def commit(world: World, rng_seed: int, files: Iterable[FileFacts]) -> None:
    """Write the marker that makes the world exist."""
    listed = {f.path: [f.size_bytes, f.sha256] for f in sorted(files, key=lambda f: f.path)}
    marker = {
        "format_version": FORMAT_VERSION,
        "rng_seed": rng_seed,
        "sha256": _digest(listed),
        "files": listed,
    }
    write_text(world.marker, json.dumps(marker, indent=1) + "\n")


def is_complete(world: World, rng_seed: int) -> bool:
    """Whether the world of that seed and this version is there, every file at its length."""
    try:
        marker = json.loads(Path(world.marker).read_text(encoding="utf-8"))
        if (marker["format_version"], marker["rng_seed"]) != (FORMAT_VERSION, rng_seed):
            return False
        files = dict(marker["files"])
        sizes = {path: Path(world.folder, path).stat().st_size for path in files}
        return marker["sha256"] == _digest(files) and all(
            sizes[path] == size for path, (size, _) in files.items()
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(files: Mapping[str, Sequence[object]]) -> str:
    lines = "".join(f"{path} {sha256}\n" for path, (_, sha256) in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _to_cell(value: object) -> str:
    if isinstance(value, tuple):
        return "|".join(value)
    return "" if value is None else str(value)


def _from_cells(cells: Mapping[str, str]) -> TruthRow:
    return TruthRow(
        video_id=cells["video_id"],
        uri=cells["uri"],
        path=cells["path"],
        kind=Kind(cells["kind"]),
        labels=_labels(cells["labels"]),
        tagged=_labels(cells["tagged"]),
        target_video_id=cells["target_video_id"],
        edit=cells["edit"],
        length_s=_seconds(cells["length_s"]),
        action_start_s=_seconds(cells["action_start_s"]),
        action_end_s=_seconds(cells["action_end_s"]),
    )


def _labels(cell: str) -> tuple[str, ...]:
    return tuple(cell.split("|")) if cell else ()


def _seconds(cell: str) -> float | None:
    return float(cell) if cell else None
