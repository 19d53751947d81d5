"""Labelled target videos as shards, so that transfer is measured with the loader that trains.

`target_shards/<name>/<subset>` for the label; `target_shards/<name>.<task>/<subset>` for each task
of a set with several questions (verb, noun, action). Where a video of a task carries several
labels, every sample of the task lists its own as `label_ids`.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
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
        found = [(video, labels_of(video).get(task, ())) for video in whole]
        found = [(video, own) for video, own in found if video.subset and own]
        labels = tuple(sorted({label for _, own in found for label in own}))
        several = any(len(own) > 1 for _, own in found)
        for subset in sorted({video.subset for video, _ in found if video.subset}):
            chosen = [(video, own) for video, own in found if video.subset == subset]
            ids = {label: i for i, label in enumerate(labels)}
            clips = sorted(
                (clip_of(name, video.video_id), _facts(video, own, ids, several=several))
                for video, own in chosen
            )
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


def labels_of(video: TargetVideoRow) -> dict[str, tuple[str, ...]]:
    """A video's labels by task; those of the task without a name are the set's only ones."""
    found: dict[str, tuple[str, ...]] = {"": (video.label,)} if video.label else {}
    named: dict[str, tuple[str, ...]] = {}
    for task, label in (text.split("=", 1) for text in video.tasks):
        named[task] = (*named.get(task, ()), label)
    return {**found, **named}


def _facts(
    video: TargetVideoRow, own: Sequence[str], ids: Mapping[str, int], *, several: bool
) -> dict[str, object]:
    facts: dict[str, object] = {
        "label_id": ids[own[0]],
        "label": own[0],
        "video_id": video.video_id,
        "start_s": 0.0,
        "end_s": video.duration_s,
        "repeats": 1.0,
        "uri": video.uri,
    }
    return {**facts, "label_ids": sorted(ids[label] for label in own)} if several else facts


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
