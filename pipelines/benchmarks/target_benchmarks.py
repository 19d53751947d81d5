"""Benchmarks as their authors hand them out: `TARGETS=NAME:FOLDER` in the place of a table.

The folder holds the authors' annotation files and the videos, at any depth: files are found by
their names, as they were downloaded or sorted into folders. What lacks is named by where it would
be looked for, so that it is listed and not forgotten.

kinetics                  `*.csv` with youtube_id, time_start, time_end; `ID_000001_000011.mp4`
ucf101, ucf101-2, -3      `trainlist01.txt`, `testlist01.txt`; `v_Archery_g01_c01.avi`
hmdb51, hmdb51-2, -3      `*_test_split1.txt`; `*.avi`
something-something-v1    `something-something-v1-train.csv` ...; folders of jpgs, or files
epic-kitchens-55          `EPIC_train_action_labels.csv` ...; `P01_01.MP4`
epic-kitchens-100         `EPIC_100_train.csv`, `EPIC_100_validation.csv` ...; `P01_01.MP4`

A list named test becomes the subset `val` where the authors publish its labels and no other one.
"""

import csv
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pipelines.run import JobError

VIDEO_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov")
FRAME_SUFFIXES = (".jpg", ".jpeg")
_LISTS = (".csv", ".txt")
_SUBSETS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}
_FIRST_EPIC_VAL = 26
"""EPIC-Kitchens-55 publishes no validation set; participants from P26 on are kitchens unseen."""


@dataclass(frozen=True)
class TargetEntry:
    """One video of a target set, or one piece of a video."""

    video_id: str
    uri: str
    """A folder of frames (`.jpg`, by name) is a video, too."""
    label: str = ""
    subset: str = ""
    """Becomes the name of a folder."""
    start_s: float | None = None
    """The piece's first second; None = the whole video."""
    end_s: float | None = None
    tasks: tuple[tuple[str, str], ...] = ()
    """(task, label) for a set with several questions, such as verb and noun; sorted.

    A task stands there once for each of a video's labels, with no name for that of `label`."""


class BenchmarkError(JobError):
    """A folder does not hold the benchmark that it is named for."""


class Folder:
    """The files below a benchmark's folder; memory grows with their names."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.lists: list[str] = []
        self._videos: dict[str, list[str]] = {}
        for folder, folders, files in os.walk(root):
            folders.sort()
            here = os.path.relpath(folder, root)
            if any(name.lower().endswith(FRAME_SUFFIXES) for name in files):
                self._videos.setdefault(os.path.basename(folder), []).append(here)
            for name in sorted(files):
                stem, suffix = os.path.splitext(name)
                path = os.path.normpath(os.path.join(here, name))
                if suffix.lower() in VIDEO_SUFFIXES:
                    self._videos.setdefault(stem, []).append(path)
                elif suffix.lower() in _LISTS:
                    self.lists.append(path)

    def video(self, name: str, hint: str = "") -> str:
        """Where a video lies; of several below the folder named `hint`; if nowhere, where it would.

        The name alone decides, so an answer does not say that the file can be read; how it is
        coded may differ from what the name says.
        """
        stem, suffix = os.path.splitext(name)
        if suffix.lower() not in VIDEO_SUFFIXES:
            stem, suffix = name, ".mp4"
        found = self._videos.get(stem, [])
        inside = [path for path in found if hint in path.split("/")]
        return next(iter(inside or found), os.path.join(hint, stem + suffix))

    def find(self, pattern: str) -> list[str]:
        """The annotation files whose name matches; case is as the authors have it."""
        return [path for path in self.lists if re.fullmatch(pattern, os.path.basename(path))]

    def read(
        self, path: str, delimiter: str = ",", columns: tuple[str, ...] = ()
    ) -> Iterator[dict]:
        """Yield an annotation file's rows; `columns` names them where no first line does."""
        with open(os.path.join(self.root, path), newline="", encoding="utf-8-sig") as file:
            names = columns or None
            for row in csv.DictReader(file, names, delimiter=delimiter, restval="", restkey=""):
                yield {key: value or "" for key, value in row.items()}


def read_benchmark(name: str, root: str) -> list[TargetEntry]:
    """The videos of a benchmark, each id once; URIs start from `root`.

    Raises:
        BenchmarkError: there is no such folder, it lacks the annotation files, or one of them is
            not what its name says.
    """
    if not Path(root).is_dir():
        raise BenchmarkError(f"{root}: no such folder; TARGETS={name}:FOLDER names one")
    try:
        entries = list(BENCHMARKS[name](Folder(root)))
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, ValueError) as error:
        raise BenchmarkError(f"{root}: cannot be read as {name}: {error!r}") from error
    if not entries:
        raise BenchmarkError(
            f"{root}: holds no annotation file of {name}; see the table in "
            "pipelines/benchmarks/target_benchmarks.py"
        )
    # The authors' lists of all, beside those of each subset, repeat what is said already.
    return list({entry.video_id: entry for entry in reversed(entries)}.values())[::-1]


def _kinetics(folder: Folder) -> Iterator[TargetEntry]:
    for path in folder.find(r".*\.csv"):
        for row in folder.read(path):
            if not {"youtube_id", "time_start", "time_end"} <= row.keys():
                break
            subset = _SUBSETS.get(row.get("split") or Path(path).stem, "")
            start, end = (int(float(row[name])) for name in ("time_start", "time_end"))
            video_id = f"{row['youtube_id']}_{start:06d}_{end:06d}"
            uri = folder.video(video_id, Path(path).stem)
            yield TargetEntry(video_id, uri, row.get("label", ""), subset)


def _ucf101(split: int, folder: Folder) -> Iterator[TargetEntry]:
    for kind, subset in (("train", "train"), ("test", "val")):
        for path in folder.find(rf"{kind}list0{split}\.txt"):
            for line in Path(folder.root, path).read_text().splitlines():
                label, _, name = line.split()[0].partition("/") if line.strip() else ("", "", "")
                if name:
                    uri = folder.video(Path(name).name, label)
                    yield TargetEntry(Path(name).stem, uri, label, subset)


def _hmdb51(split: int, folder: Folder) -> Iterator[TargetEntry]:
    for path in folder.find(rf".*_test_split{split}\.txt"):
        label = Path(path).name.removesuffix(f"_test_split{split}.txt")
        for line in Path(folder.root, path).read_text().splitlines():
            name, _, flag = line.strip().rpartition(" ")
            if name:
                video = Path(name.strip())
                subset = {"1": "train", "2": "val"}.get(flag, "")
                uri = folder.video(video.name, label)
                yield TargetEntry(video.stem, uri, label if subset else "", subset)


def _something(folder: Folder) -> Iterator[TargetEntry]:
    for path in folder.find(r"something-something-v1-(train|validation|test)\.csv"):
        subset = _SUBSETS[Path(path).stem.rpartition("-")[2]]
        for row in folder.read(path, ";", ("id", "label")):
            yield TargetEntry(row["id"], folder.video(row["id"]), row["label"], subset)


def _epic55(folder: Folder) -> Iterator[TargetEntry]:
    names = _class_names(folder, "EPIC_{}_classes.csv", ("{}_id", "class_key"))
    for path in folder.find(r"EPIC_train_action_labels\.csv"):
        for row in folder.read(path):
            unseen = int(row["participant_id"][1:]) >= _FIRST_EPIC_VAL
            entry = _segment(folder, row["uid"], row)
            yield replace(entry, subset="val" if unseen else "train", tasks=_tasks(row, names))
    for path in folder.find(r"EPIC_test_(s1|s2)_timestamps\.csv"):
        for row in folder.read(path):
            yield replace(_segment(folder, row["uid"], row), subset=path.split("_")[-2])


def _epic100(folder: Folder) -> Iterator[TargetEntry]:
    names = _class_names(folder, "EPIC_100_{}_classes.csv", ("id", "key"))
    for path in folder.find(r"EPIC_100_(train|validation|test_timestamps)\.csv"):
        subset = _SUBSETS[Path(path).stem.split("_")[2]]
        for row in folder.read(path):
            tasks = _tasks(row, names) if "verb_class" in row else ()
            yield replace(_segment(folder, row["narration_id"], row), subset=subset, tasks=tasks)


def _segment(folder: Folder, video_id: str, row: Mapping[str, str]) -> TargetEntry:
    uri = folder.video(row["video_id"], row["participant_id"])
    start, end = _seconds(row["start_timestamp"]), _seconds(row["stop_timestamp"])
    return TargetEntry(video_id, uri, start_s=start, end_s=end)


def _tasks(
    row: Mapping[str, str], names: Mapping[str, Mapping[str, str]]
) -> tuple[tuple[str, str], ...]:
    """Action, noun and verb of a segment, by their authors' names or else numbers."""
    verb, noun = (names[k].get(row[f"{k}_class"], row[f"{k}_class"]) for k in ("verb", "noun"))
    return ("action", f"{verb} {noun}"), ("noun", noun), ("verb", verb)


def _class_names(folder: Folder, file: str, columns: tuple[str, str]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for kind in ("verb", "noun"):
        number, name = (column.format(kind) for column in columns)
        paths = folder.find(re.escape(file.format(kind)))
        found[kind] = {row[number]: row[name] for path in paths for row in folder.read(path)}
    return found


def _seconds(timestamp: str) -> float:
    """Seconds of h:mm:ss.

    >>> _seconds("00:01:02.500")
    62.5
    """
    hours, minutes, seconds = timestamp.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


BENCHMARKS: Mapping[str, Callable[[Folder], Iterator[TargetEntry]]] = {
    "kinetics": _kinetics,
    **{f"ucf101{'' if n == 1 else f'-{n}'}": partial(_ucf101, n) for n in (1, 2, 3)},
    **{f"hmdb51{'' if n == 1 else f'-{n}'}": partial(_hmdb51, n) for n in (1, 2, 3)},
    "something-something-v1": _something,
    "epic-kitchens-55": _epic55,
    "epic-kitchens-100": _epic100,
}
