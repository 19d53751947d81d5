"""Tars of clips in WebDataset's layout: written byte for byte the same, read only if whole.

A shard holds `<clip_id>.mp4` (in an image set `.jpg`) and `<clip_id>.json` per clip.
`MANIFEST.json` beside the shards names each with its size and SHA-256; a shard that it does not
name does not exist.
"""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from formats.storage import publish, sha256_file, write_text

MANIFEST = "MANIFEST.json"
CONTENTS = (".mp4", ".jpg")
FORMAT = 1


class ShardError(Exception):
    """A shard or its manifest is missing, damaged or not what it claims to be."""


@dataclass(frozen=True)
class ShardEntry:
    """One shard as the manifest names it."""

    path: str
    """File name beside the manifest."""
    clips: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a finished split consists of."""

    dataset_id: str
    """Hex hash of the config digest, the labels and every shard's SHA-256."""
    split: str
    config_digest: str
    clips: int
    videos: int
    minutes: float
    labels: tuple[str, ...]
    """Position = `label_id`."""
    shards: tuple[ShardEntry, ...]
    format: int = FORMAT


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a file whose header depends on nothing but its name and size.

    Returns:
        The offset of the content's first byte in the tar.
    """
    info = tarfile.TarInfo(name)
    info.size = len(content)
    info.mode = 0o644
    tar.addfile(info, io.BytesIO(content))
    # The content is padded to whole 512-byte blocks, the last thing written.
    return tar.offset - -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def open_for_writing(file: BinaryIO) -> tarfile.TarFile:
    """An uncompressed tar on an open file, in the one dialect we write."""
    return tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT)


def write_shard(
    path: str, clips: Iterable[tuple[str, bytes, Mapping[str, object]]], *, suffix: str = ".mp4"
) -> ShardEntry:
    """Write (clip_id, bytes, facts) in their order to one tar, atomically.

    Holds one clip in memory. The same clips give the same bytes.
    """
    count = 0
    with publish(path) as temporary:
        with open(temporary, "wb") as file, open_for_writing(file) as tar:
            for clip_id, content, facts in clips:
                add_member(tar, f"{clip_id}{suffix}", content)
                add_member(tar, f"{clip_id}.json", canonical_json(facts))
                count += 1
        size, digest = Path(temporary).stat().st_size, sha256_file(temporary)
    return ShardEntry(Path(path).name, count, size, digest)


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Commit a split: from now on its shards exist."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, sort_keys=True)
    write_text(str(Path(folder) / MANIFEST), text + "\n")


def read_manifest(folder: str) -> Manifest:
    """The manifest of a split's folder.

    Raises:
        ShardError: there is none (the split is not finished), or it is not one of ours.
    """
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text())
        shards = tuple(ShardEntry(**entry) for entry in content.pop("shards"))
        manifest = Manifest(**{**content, "labels": tuple(content["labels"]), "shards": shards})
    except FileNotFoundError as error:
        raise ShardError(f"{path}: not there, so this split was never finished") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ShardError(f"{path}: not a shard manifest: {error}") from error
    for entry in manifest.shards:
        if Path(entry.path).name != entry.path:
            raise ShardError(f"{path}: names a shard outside its own folder: {entry.path!r}")
    return manifest


def check_shard(folder: str, entry: ShardEntry) -> None:
    """Re-read a shard and compare it with its manifest entry.

    Raises:
        ShardError: it is missing, or its size, hash or number of clips differs.
    """
    path = Path(folder) / entry.path
    if not path.is_file():
        raise ShardError(f"{path}: named by the manifest but not there")
    if path.stat().st_size != entry.bytes:
        raise ShardError(f"{path}: {path.stat().st_size} bytes, the manifest says {entry.bytes}")
    if sha256_file(str(path)) != entry.sha256:
        raise ShardError(f"{path}: its bytes changed since it was written (SHA-256 differs)")
    clips = sum(1 for _ in read_shard(str(path)))
    if clips != entry.clips:
        raise ShardError(f"{path}: {clips} clips, the manifest says {entry.clips}")


def read_shard(path: str) -> Iterator[tuple[str, bytes, dict[str, object]]]:
    """Yield (clip_id, bytes of its video or image, facts), one clip in memory at a time.

    Raises:
        ShardError: the tar is cut, or holds something that is not a clip.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            members = iter(tar)
            for member in members:
                clip_id, content = _content(tar, member, *CONTENTS)
                other = next(members, None)
                if other is None or other.name != f"{clip_id}.json":
                    raise ShardError(f"{path}: clip {clip_id} has no json")
                yield clip_id, content, json.loads(_content(tar, other, ".json")[1])
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise ShardError(f"{path}: cannot be read: {error}") from error


def canonical_json(facts: Mapping[str, object]) -> bytes:
    """JSON with sorted keys and no spaces: equal facts, equal bytes."""
    return json.dumps(facts, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest_of(*values: object) -> str:
    """Hex SHA-256 of values as canonical JSON: the hash behind every id of ours.

    >>> digest_of("a", 1)[:8]
    '135f17a4'
    """
    text = json.dumps(values, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, *suffixes: str) -> tuple[str, bytes]:
    file = tar.extractfile(member) if member.isreg() else None
    suffix = Path(member.name).suffix
    if file is None or suffix not in suffixes:
        wanted = " or ".join(suffixes)
        raise ShardError(f"unexpected member {member.name!r}, wanted a file ending in {wanted}")
    content = file.read()
    if len(content) != member.size:
        raise ShardError(f"{member.name}: cut after {len(content)} of {member.size} bytes")
    return member.name.removesuffix(suffix), content
