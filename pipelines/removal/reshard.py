"""Taking clips out of finished shards: only the shards that hold them are written anew.

The new shards and the new manifest are made in a folder beside the old ones, from shards whose
bytes are known to be right; the new manifest there is the commit. From then on they are moved into
place, and a process that dies on the way is followed by one that goes on moving. Until the last
move the split's manifest and its shards disagree, and whoever reads them is refused.
"""

import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from formats.shards import (
    MANIFEST,
    Manifest,
    ShardEntry,
    check_shard,
    read_manifest,
    read_shard,
    write_manifest,
    write_shard,
)

_STAGING = ".takedown"


def drop_from_split(
    folder: Path,
    clips: Mapping[str, Collection[str]],
    describe: Callable[[Manifest, tuple[ShardEntry, ...]], Manifest],
) -> None:
    """Write the shards of a split without these clips, given by shard.

    `describe` makes the new manifest from the old one and the shards. A shard without a clip left
    is deleted. Doing it twice changes nothing.

    Raises:
        ShardError: a shard to be written anew is damaged.
        StorageError: the disk refused.
    """
    staging = folder / _STAGING
    shutil.rmtree(staging, ignore_errors=True)
    manifest = read_manifest(str(folder))
    entries = tuple(_write_entries(folder, manifest, clips))
    if entries != manifest.shards:
        write_manifest(str(staging), describe(manifest, entries))
        finish_moving(folder)


def finish_moving(folder: Path) -> None:
    """Move what is committed beside a split into its place; nothing if nothing is."""
    staging = folder / _STAGING
    if not (staging / MANIFEST).exists():
        return
    for path in sorted(staging.glob("*.tar")):
        path.replace(folder / path.name)
    # A shard that is no longer named held nothing but what was taken out.
    delete_unlisted(folder, read_manifest(str(staging)))
    (staging / MANIFEST).replace(folder / MANIFEST)
    staging.rmdir()


def delete_unlisted(folder: Path, manifest: Manifest | None) -> None:
    """Delete the tars that the manifest does not name: for the dataset they do not exist."""
    listed = {entry.path for entry in manifest.shards} if manifest else set()
    for path in sorted(folder.glob("*.tar")):
        if path.name not in listed:
            path.unlink()


def _write_entries(
    folder: Path, manifest: Manifest, clips: Mapping[str, Collection[str]]
) -> Iterator[ShardEntry]:
    for entry in manifest.shards:
        if entry.path not in clips:
            yield entry
            continue
        check_shard(str(folder), entry)
        path, away = str(folder / entry.path), clips[entry.path]
        kept = sum(clip_id not in away for clip_id, _, _ in read_shard(path))
        if kept == entry.clips:
            yield entry
        elif kept:
            left = (clip for clip in read_shard(path) if clip[0] not in away)
            suffix = ".jpg" if manifest.split == "frames" else ".mp4"
            yield write_shard(str(folder / _STAGING / entry.path), left, suffix=suffix)
