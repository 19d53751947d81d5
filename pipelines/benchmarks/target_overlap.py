"""The overlap of a finished label space with the labels of the job's own target sets."""

from pathlib import Path

import pyarrow.compute as pc

from formats.tables import TargetVideoRow
from labelspace.hashtags import LabelError, label_words
from labelspace.overlap import DEFINITIONS
from pipelines.overlap import target_overlaps
from pipelines.reporting.summary import read_columns

# Target tables give no synonyms, and without them the wider definitions are `stems` and `head`.
USED = {name: DEFINITIONS[name] for name in ("exact", "stems", "head")}


def count_covered(folder: str) -> dict[str, tuple[int, dict[str, int]]]:
    """By target set with labels: its labels, and how many are covered by each definition of `USED`.

    Labels that hold no word are left out.

    Raises:
        JobError: the job has no label space yet.
        TableError: a target's table is damaged.
    """
    paths = sorted((Path(folder) / "target_videos").glob("*.parquet"))
    labels = {path.stem: filter(_has_word, _distinct_labels(folder, path.stem)) for path in paths}
    return {
        target: (len(found.targets), {name: len(found.covered(name)) for name in USED})
        for target, found in target_overlaps(folder, labels).items()
    }


def _distinct_labels(folder: str, target: str) -> set[str]:
    labels: set[str] = set()
    path, columns = f"target_videos/{target}.parquet", ["label", "tasks"]
    for batch in read_columns(folder, path, TargetVideoRow, columns):
        labels.update(filter(None, pc.unique(batch.column("label")).to_pylist()))
        tasks = pc.unique(pc.list_flatten(batch.column("tasks"))).to_pylist()
        # The labels of videos that carry several.
        labels.update(task[1:] for task in tasks if task.startswith("="))
    return labels


def _has_word(label: str) -> bool:
    try:
        return bool(label_words(label))
    except LabelError:
        return False
