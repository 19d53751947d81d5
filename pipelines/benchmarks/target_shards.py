"""Labelled target videos as shards, so that transfer is measured with the loader that trains.

`target_shards/<name>/<subset>` for the label; `target_shards/<name>.<task>/<subset>` for each task
of a set with several questions (verb, noun, action).
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from formats.shards import Manifest, ShardEntry, dataset_id, write_manifest, write_shard
from formats.tables import TargetVideoRow
from pipelines.benchmarks.target_sets import SetFolder
from pipelines.benchmarks.target_units import clip_of
from pipelines.run import Job

SHARDS = "target_shards"


def write_target_shards(
    name: str, videos: Sequence[TargetVideoRow], stored: SetFolder, job: Job
) -> None:
    """Write the shards of every task and subset; one clip is in memory at a time."""
    whole = [video for video in videos if video.failure is None]
    for task in sorted({task for video in whole for task in labels_of(video)}):
        found = [(video, labels_of(video).get(task, "")) for video in whole]
        labels = tuple(sorted({label for _, label in found if label}))
        for subset in sorted({v.subset for v, label in found if v.subset and label}):
            chosen = [(v, label) for v, label in found if v.subset == subset and label]
            clips = _clips(name, chosen, {label: i for i, label in enumerate(labels)})
            folder = job.path(SHARDS, f"{name}.{task}" if task else name, subset)
            entries = tuple(_write(folder, clips, stored, job.options.shard.clips_per_shard))
            seconds = sum(video.duration_s for video, _ in chosen)
            manifest = Manifest(
                dataset_id=dataset_id(job.config_digest, subset, labels, entries),
                split=subset,
                config_digest=job.config_digest,
                clips=len(clips),
                videos=len(clips),
                minutes=round(seconds / 60, 3),
                labels=labels,
                shards=entries,
            )
            write_manifest(folder, manifest)


def delete_shards(name: str, job: Job) -> None:
    """Delete the shards of a set, those of its tasks, too."""
    for folder in Path(job.path(SHARDS)).glob("*"):
        if name in (folder.name, folder.name.rpartition(".")[0]):
            shutil.rmtree(folder)


def labels_of(video: TargetVideoRow) -> dict[str, str]:
    """A video's label by task; that of the task without a name is the set's only one."""
    named = dict(task.split("=", 1) for task in video.tasks)
    return {**named, **({"": video.label} if video.label else {})}


def _clips(
    name: str, videos: Iterable[tuple[TargetVideoRow, str]], ids: Mapping[str, int]
) -> list[tuple[str, dict[str, object]]]:
    return sorted(
        (
            clip_of(name, video.video_id),
            {
                "label_id": ids[label],
                "label": label,
                "video_id": video.video_id,
                "start_s": 0.0,
                "end_s": video.duration_s,
                "repeats": 1.0,
                "uri": video.uri,
            },
        )
        for video, label in videos
    )


def _write(
    folder: str, clips: Sequence[tuple[str, dict[str, object]]], stored: SetFolder, size: int
) -> Iterator[ShardEntry]:
    for number, start in enumerate(range(0, len(clips), size)):
        yield write_shard(
            f"{folder}/shard-{number:05d}.tar",
            (
                (clip, Path(stored.stored(clip)).read_bytes(), facts)
                for clip, facts in clips[start : start + size]
            ),
        )
