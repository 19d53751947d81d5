"""Target sets as the user names them: a table of videos (CSV), or `NAME:FOLDER` of a benchmark.

A table has the columns video_id and uri, and may have label, subset (train, val ...), start_s and
end_s (a piece of the video), and `label_TASK` for sets with several questions (label_verb ...).
Where videos carry several labels at once, the column is `labels` (or `labels_TASK`) and they stand
in it between semicolons, as actions do in Charades' own tables: `running;laughing`.
"""

import csv
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import itemgetter
from pathlib import Path

from pipelines.benchmarks.target_benchmarks import TargetEntry as TargetEntry
from pipelines.benchmarks.target_benchmarks import read_benchmark
from pipelines.benchmarks.target_specs import NAMES, files_of, read_spec
from pipelines.run import JobError

_FOLDER_NAME = re.compile(r"[A-Za-z0-9_-]{0,64}")
_LABEL = re.compile(r"label(?P<several>s?)(?:_(?P<task>.*))?")
_BETWEEN = ";"
_SUBSETS = ("", "train", "val")


def target_name(table: str) -> str:
    """A target set's name: the benchmark's, or that of the table's file without suffix."""
    spec = read_spec(table)
    return spec.name if spec else Path(table).stem


def target_folder(table: str) -> str:
    """Where the set's relative URIs start from."""
    spec = read_spec(table)
    return spec.folder if spec else str(Path(table).parent)


def check_target_sets(tables: Iterable[str]) -> None:
    """Refuse target sets that are not there before hours of work that would end at them.

    The table of each is read; a benchmark's folder is only looked for.

    Raises:
        JobError: no such table, benchmark or folder, or as `read_targets`.
    """
    for table in tables:
        spec = read_spec(table)
        if spec is None:
            _check_table(table)
        elif not spec.folder:
            raise JobError(f"{spec.name}: in which folder? ROOT=FOLDER says it (or {table}FOLDER)")
        elif not Path(spec.folder).is_dir():
            raise JobError(f"{spec.folder}: no such folder; it should hold {spec.name}")


def _check_table(table: str) -> None:
    if Path(table).exists():
        sorted_targets(table)
        return
    name, colon, _ = table.partition(":")
    if not (colon and _FOLDER_NAME.fullmatch(name)):
        raise JobError(
            f"{table}: no such target table; TARGETS names CSV files, or NAME:FOLDER of a benchmark"
        )
    close = difflib.get_close_matches(name, NAMES, 1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(NAMES)}"
    raise JobError(f"unknown benchmark {name or repr(name)} ({hint})")


def read_targets(table: str) -> list[TargetEntry]:
    """The rows of a target table, or the videos of a benchmark.

    Raises:
        JobError: no such file, a column is missing, a video_id stands there twice, a piece is none,
            a subset is neither train nor val, or a task cannot be the name of a folder.
        BenchmarkError: the folder does not hold the benchmark.
    """
    spec = read_spec(table)
    rows = read_benchmark(spec.name, spec.folder) if spec else _read_table(table)
    twice = len(rows) - len({row.video_id for row in rows})
    if twice:
        raise JobError(f"{table}: {twice} video_id(s) stand there more than once")
    names = {task for row in rows for task, _ in row.tasks}
    odd = next((name for name in sorted(names) if not _FOLDER_NAME.fullmatch(name)), None)
    if odd is not None:
        raise JobError(
            f"{table}: the task {odd[:64]!r} cannot be the name of a folder; use letters, digits, "
            "'-' and '_', such as label_verb"
        )
    return rows


def sorted_targets(table: str) -> tuple[TargetEntry, ...]:
    """The rows of a target set by video_id; read once per process as long as it does not change.

    Raises:
        JobError, BenchmarkError: as `read_targets`.
    """
    return _sorted(table, tuple(Path(file).stat().st_mtime_ns for file in files_of(table)))


@lru_cache(maxsize=2)
def _sorted(table: str, _modified_ns: tuple[int, ...]) -> tuple[TargetEntry, ...]:
    return tuple(sorted(read_targets(table), key=lambda video: video.video_id))


def _read_table(table: str) -> list[TargetEntry]:
    try:
        with open(table, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restkey="")
            found = reader.fieldnames or []
            if not {"video_id", "uri"} <= set(found):
                raise JobError(
                    f"{table}: needs the columns video_id and uri (label and subset may follow); "
                    f"found: {', '.join(found) or 'none'}"
                )
            # The row first: only then does the reader know which line it ended on.
            return [_entry(f"{table}, line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{table}: cannot be read as a target table: {error}") from error


def _entry(place: str, row: Mapping[str, str | None]) -> TargetEntry:
    given = {name: value for name, value in row.items() if value}
    start, end = (_second(place, given, name) for name in ("start_s", "end_s"))
    if (start is None) != (end is None) or (start is not None and not start < (end or 0.0)):
        raise JobError(
            f"{place}: {given.get('video_id')!r}: start_s and end_s must both be given, the first "
            "before the second"
        )
    label, tasks = _labels(place, given)
    video_id, uri, subset = (given.get(name, "") for name in ("video_id", "uri", "subset"))
    if subset not in _SUBSETS:
        raise JobError(f"{place}: the subset {subset[:64]!r} is neither train nor val, nor empty")
    return TargetEntry(video_id, uri, label, subset, start, end, tasks)


def _labels(place: str, given: Mapping[str, str]) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The label of a video, and (task, label) of each of its others; those of no task have ""."""
    found: dict[str, str] = {}
    tasks = list[tuple[str, str]]()
    for name, value in given.items():
        match = _LABEL.fullmatch(name)
        if match is None:
            continue
        task = match["task"] or ""
        if task in found:
            raise JobError(f"{place}: the columns {found[task]} and {name} say the same, drop one")
        found[task] = name
        parts = (part.strip() for part in value.split(_BETWEEN)) if match["several"] else [value]
        tasks += [(task, label) for label in dict.fromkeys(parts) if label]
    unnamed = [label for task, label in tasks if not task]
    if found.get("") == "label":
        tasks = [pair for pair in tasks if pair[0]]
    return next(iter(unnamed), ""), tuple(sorted(tasks, key=itemgetter(0)))


def _second(place: str, row: Mapping[str, str], name: str) -> float | None:
    if name not in row:
        return None
    try:
        second = float(row[name])
    except ValueError:
        second = math.nan
    if not (math.isfinite(second) and second >= 0):
        raise JobError(f"{place}: {row.get('video_id')!r}: {name} {row[name]!r} is no second")
    return second
