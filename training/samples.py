"""What a split's shards hold: the facts of every clip, and where its video lies.

The headers of a tar are read, not its videos, and no member but a clip's `.mp4` (or `.jpg`) and
`.json` is looked at: WebDataset's own reader would run code that a tar holds, start the programs
that a URL names, and take damage for the end of a shard.
"""

import json
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from formats.shards import (
    CONTENTS,
    Manifest,
    ShardEntry,
    ShardError,
    check_shard,
    check_size,
    read_manifest,
    refuse_altered,
    refuse_miscounted,
    refuse_unlisted,
    repeat_units,
)
from training.draws import ClipFacts, key_of

_IMAGE = ".jpg"
_BLOCK = tarfile.BLOCKSIZE
_MAX_FACTS_BYTES = 1 << 20

Index = npt.NDArray[np.void]
"""One record per clip of a shard: clip_id, key, offset, size, whether it is an image, label_id,
units (of its repeats)."""


class Member(NamedTuple):
    """A plain file in a tar."""

    name: str
    offset: int
    """Of its first byte."""
    size: int


def open_split(folder: str, verify: str = "full") -> Manifest:
    """The manifest of a finished split, once its shards are known to be those it names.

    `verify` is `full` (every shard's bytes are read and hashed) or `size`.

    Raises:
        ShardError: the split is not finished or empty, its manifest was changed, a shard is
            missing, damaged or changed, or one lies there that the manifest does not name.
    """
    manifest = open_manifest(folder)
    refuse_unlisted(folder, manifest)
    check = check_shard if verify == "full" else check_size
    for entry in manifest.shards:
        check(folder, entry)
    return manifest


def open_manifest(folder: str) -> Manifest:
    """The manifest of a finished split, whose shards may lie elsewhere.

    Raises:
        ShardError: it is not finished, empty, or its manifest was changed.
    """
    manifest = read_manifest(folder)
    if not manifest.clips:
        raise ShardError(f"{folder}: a split without clips")
    refuse_altered(folder, manifest)
    return manifest


def read_facts(folder: str, entry: ShardEntry, num_labels: int) -> list[ClipFacts]:
    """The facts of every clip of a shard.

    Raises:
        ShardError: a clip without facts, or with facts that cannot be true.
    """
    path = str(Path(folder) / entry.path)
    try:
        with open(path, "rb") as file:
            facts = [clip for clip, _ in scan_shard(file.fileno(), path, num_labels)]
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error}") from error
    if len(facts) != entry.clips:
        raise ShardError(f"{path}: {len(facts)} clips, the manifest says {entry.clips}")
    return facts


def index_shard(file: int, path: str, entry: ShardEntry, num_labels: int) -> Index:
    """The index of an open shard, in the order of its clips; some 100 bytes each.

    Raises:
        ShardError: a clip without facts or video, facts that cannot be true, or other sums than
            the manifest has.
    """
    rows = [
        (
            clip.clip_id.encode(),
            key_of(clip.clip_id),
            video.offset,
            video.size,
            video.name.endswith(_IMAGE),
            clip.label_id,
            repeat_units({"repeats": clip.repeats}, path),
        )
        for clip, video in scan_shard(file, path, num_labels)
    ]
    refuse_miscounted(path, entry, len(rows), sum(row[-1] for row in rows))
    longest = max((len(row[0]) for row in rows), default=1)
    names = ("key", "offset", "size", "image", "label_id", "units")
    kinds = ("<u8", "<i8", "<i8", "?", "<i8", "<i8")
    return np.array(rows, [("clip_id", f"S{longest}"), *zip(names, kinds, strict=True)])


def scan_shard(file: int, path: str, num_labels: int) -> Iterator[tuple[ClipFacts, Member]]:
    """(facts, place of its video) of every clip of an open shard; one clip's facts in memory.

    Raises:
        ShardError: the tar is cut or damaged, or a clip has no video or no usable facts.
    """
    waiting: dict[str, Member] = {}
    for member in members(file, path):
        clip_id, _, suffix = member.name.partition(".")
        if f".{suffix}" in CONTENTS:
            waiting[clip_id] = member
        elif suffix == "json":
            if clip_id not in waiting:
                raise ShardError(f"{path}: clip {clip_id} has no video before its facts")
            yield (
                _facts(path, clip_id, _content(file, path, member), num_labels),
                waiting.pop(clip_id),
            )
    if waiting:
        raise ShardError(f"{path}: clip {min(waiting)} has no facts")


def members(file: int, path: str) -> Iterator[Member]:
    """The plain files of an open tar.

    Raises:
        ShardError: it is cut, or a header is damaged.
    """
    position = 0
    while True:
        block = os.pread(file, _BLOCK, position)
        if len(block) < _BLOCK:
            raise ShardError(f"{path}: cannot be read: it ends after {position} bytes")
        if not any(block):
            return
        try:
            info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
        except (tarfile.TarError, UnicodeDecodeError) as error:
            raise ShardError(f"{path}: cannot be read: {error}") from error
        if info.size < 0:
            raise ShardError(f"{path}: cannot be read: {info.name} has {info.size} bytes")
        if info.isreg() and not info.issparse():
            yield Member(info.name, position + _BLOCK, info.size)
        position += _BLOCK - -info.size // _BLOCK * _BLOCK


def _content(file: int, path: str, member: Member) -> bytes:
    if member.size > _MAX_FACTS_BYTES:
        raise ShardError(f"{path}: {member.name} has {member.size} bytes")
    content = os.pread(file, member.size, member.offset)
    if len(content) < member.size:
        raise ShardError(f"{path}: cannot be read: {member.name} is cut")
    return content


def _facts(path: str, clip_id: str, text: bytes, num_labels: int) -> ClipFacts:
    try:
        content = json.loads(text)
        label_id, repeats = content["label_id"], float(content.get("repeats", 1.0))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ShardError(f"{path}: clip {clip_id} has no usable facts: {error}") from error
    # Bounds also keep NaN out, and a draw count that would never end.
    if type(label_id) is not int or not (0 <= label_id < num_labels and 0 <= repeats <= 1e6):
        raise ShardError(
            f"{path}: clip {clip_id} has label_id {label_id!r} of {num_labels} labels "
            f"and {repeats} repeats"
        )
    return ClipFacts(clip_id, label_id, repeats, _label_ids(path, clip_id, content, num_labels))


def _label_ids(
    path: str, clip_id: str, content: dict[str, Any], num_labels: int
) -> tuple[int, ...]:
    """The labels of a clip that may carry several; none where its facts do not list them."""
    if "label_ids" not in content:
        return ()
    listed = content["label_ids"]
    numbers = isinstance(listed, list) and all(type(i) is int for i in listed)
    if (
        not numbers
        or len(set(listed)) < len(listed)
        or content["label_id"] not in listed
        or not all(0 <= i < num_labels for i in listed)
    ):
        raise ShardError(
            f"{path}: clip {clip_id} has label_ids {str(listed)[:80]}, not distinct ones of "
            f"{num_labels} labels with its label_id among them"
        )
    return tuple(sorted(listed))
