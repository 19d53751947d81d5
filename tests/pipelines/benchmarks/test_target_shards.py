from pathlib import Path
from typing import Any

import pytest

from formats.shards import read_manifest, read_shard
from formats.tables import TargetVideoRow
from pipelines.benchmarks.target_sets import SetFolder
from pipelines.benchmarks.target_shards import labels_of, write_target_shards
from pipelines.benchmarks.target_units import clip_of
from pipelines.options import Options
from pipelines.run import Job
from tests.pipelines.finished_dataset import encode_video


def video(video_id: str, subset: str, *tasks: str, label: str | None = None) -> TargetVideoRow:
    return TargetVideoRow(video_id, f"{video_id}.mp4", label, subset, tasks, duration_s=1.0)


@pytest.mark.parametrize(
    ("row", "labels"),
    [
        (video("a", "val", label="x"), {"": ("x",)}),
        (video("a", "val", "=x", "=y", label="x"), {"": ("x", "y")}),
        (video("a", "val", "noun=a=b", "verb=c"), {"noun": ("a=b",), "verb": ("c",)}),
        (video("a", "val"), {}),
    ],
)
def test_labels_are_read_by_task(row: TargetVideoRow, labels: dict[str, tuple[str, ...]]) -> None:
    assert labels_of(row) == labels


def written(tmp_path: Path, videos: list[TargetVideoRow]) -> dict[str, list[dict[str, Any]]]:
    """Folder -> the facts of its samples by video_id, of a set with these videos."""
    folder, job = SetFolder(str(tmp_path / "targets")), Job(tmp_path, "kinetics", Options())
    folder.begin("key")
    for row in videos:
        path = Path(folder.stored(clip_of("bench", row.video_id)))
        encode_video(path, row.video_id, size=(48, 64))
    write_target_shards("bench", videos, folder, job)
    return {
        str(tar.parent.relative_to(tmp_path / "target_shards")): sorted(
            (facts for _, _, facts in read_shard(str(tar))), key=lambda facts: facts["video_id"]
        )
        for tar in (tmp_path / "target_shards").rglob("*.tar")
    }


def test_every_sample_of_a_set_lists_its_labels_if_one_video_has_several(tmp_path: Path) -> None:
    videos = [
        video("a", "train", "=run", "=laugh", label="run"),
        video("b", "val", "=run", label="run"),
        video("c", "val", label="cry"),
        video("d", "val"),
        video("e", "train", "noun=cup"),
    ]
    found = written(tmp_path, videos)
    assert sorted(found) == ["bench.noun/train", "bench/train", "bench/val"]
    manifest = read_manifest(str(tmp_path / "target_shards" / "bench" / "val"))
    assert (manifest.labels, manifest.clips) == (("cry", "laugh", "run"), 2)
    names = ("video_id", "label", "label_id", "label_ids")
    parts = [part for _, part in sorted(found.items())]
    assert [tuple(facts.get(n) for n in names) for part in parts for facts in part] == [
        ("e", "cup", 0, None),
        ("a", "run", 2, [1, 2]),
        ("b", "run", 2, [2]),
        ("c", "cry", 0, [0]),
    ]
