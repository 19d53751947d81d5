"""Clips out of a split's shards: checked against the manifest, read through WebDataset.

WebDataset's own `decode()` would run code that a tar holds, its URLs can start programs, and it
takes damage for the end of a shard. So shards are opened and checked here, and only the bytes of
`.mp4` and `.json` members are taken.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from webdataset.tariterators import group_by_keys, tar_file_expander

from formats.shards import (
    Manifest,
    ShardEntry,
    ShardError,
    check_shard,
    check_size,
    read_manifest,
    refuse_unlisted,
)
from training.draws import ClipFacts


def open_split(folder: str, verify: str = "full") -> Manifest:
    """The manifest of a finished split, once its shards are known to be those it names.

    `verify` is `full` (every shard's bytes are read and hashed) or `size`.

    Raises:
        ShardError: the split is not finished or empty, a shard is missing, damaged or changed, or
            one lies there that the manifest does not name.
    """
    manifest = read_manifest(folder)
    if not manifest.clips:
        raise ShardError(f"{folder}: a split without clips")
    refuse_unlisted(folder, manifest)
    check = check_shard if verify == "full" else check_size
    for entry in manifest.shards:
        check(folder, entry)
    return manifest


def read_facts(folder: str, entry: ShardEntry, num_labels: int) -> list[ClipFacts]:
    """The facts of every clip of a shard.

    Raises:
        ShardError: a clip without facts, or with facts that cannot be true.
    """
    path = str(Path(folder) / entry.path)
    facts = [_facts(path, sample, num_labels) for sample in _samples(path, (".json",), None)]
    if len(facts) != entry.clips:
        raise ShardError(f"{path}: {len(facts)} clips, the manifest says {entry.clips}")
    return facts


def read_videos(
    folder: str, entry: ShardEntry, clip_ids: Collection[str]
) -> Iterator[tuple[str, bytes]]:
    """(clip_id, mp4 bytes) of the wanted clips of a shard, one in memory at a time."""
    for sample in _samples(str(Path(folder) / entry.path), (".mp4",), clip_ids):
        yield sample["__key__"], sample["mp4"]


def _samples(
    path: str, suffixes: tuple[str, ...], clip_ids: Collection[str] | None
) -> Iterator[dict[str, Any]]:
    def wanted(name: str) -> bool:
        clip_id = name.partition(".")[0]
        return name[len(clip_id) :] in suffixes and (clip_ids is None or clip_id in clip_ids)

    try:
        with open(path, "rb") as stream:
            files = tar_file_expander([{"url": path, "stream": stream}], select_files=wanted)
            yield from group_by_keys(files)
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error}") from error


def _facts(path: str, sample: dict[str, Any], num_labels: int) -> ClipFacts:
    clip_id = sample["__key__"]
    try:
        content = json.loads(sample["json"])
        label_id, repeats = content["label_id"], float(content.get("repeats", 1.0))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ShardError(f"{path}: clip {clip_id} has no usable facts: {error}") from error
    # Bounds also keep NaN out, and a draw count that would never end.
    if type(label_id) is not int or not (0 <= label_id < num_labels and 0 <= repeats <= 1e6):
        raise ShardError(
            f"{path}: clip {clip_id} has label_id {label_id!r} of {num_labels} labels "
            f"and {repeats} repeats"
        )
    return ClipFacts(clip_id, label_id, repeats)
