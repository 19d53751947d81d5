"""Tars of clips in WebDataset's layout: written byte for byte the same, read only if whole.

A shard holds `<clip_id>.mp4` (in an image set `.jpg`) and `<clip_id>.json` per clip.
`MANIFEST.json` beside the shards names each with its size and SHA-256; a shard that it does not
name does not exist.
"""

import hashlib
import io
import json
import math
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from formats.storage import publish, sha256_file, write_text

MANIFEST = "MANIFEST.json"
CONTENTS = (".mp4", ".jpg")
FORMAT = 1
REPEAT_UNITS = 1 << 20
"""A clip's repeats count in steps of one by this: sums are then exact, in any order."""


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
    repeats: float | None = None
    """Sum of its clips' repeats: tells how many draws a shard has without reading it. None in a
    manifest of an older version."""


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


def dataset_id(
    config_digest: str, split: str, labels: Sequence[str], shards: Iterable[ShardEntry]
) -> str:
    """What a split's manifest calls its content: equal ids, equal bytes."""
    return digest_of(config_digest, split, list(labels), [entry.sha256 for entry in shards])


def member_header(name: str, size: int) -> bytes:
    """The 512 bytes before a file's content in a tar of ours."""
    return _member(name, size).tobuf(tarfile.USTAR_FORMAT)


def add_member(tar: tarfile.TarFile, name: str, content: bytes) -> int:
    """Append a file whose header depends on nothing but its name and size.

    Returns:
        The offset of the content's first byte in the tar.
    """
    tar.addfile(_member(name, len(content)), io.BytesIO(content))
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
    count, units = 0, 0
    with publish(path) as temporary:
        with open(temporary, "wb") as file, open_for_writing(file) as tar:
            for clip_id, content, facts in clips:
                add_member(tar, f"{clip_id}{suffix}", content)
                add_member(tar, f"{clip_id}.json", canonical_json(facts))
                count, units = count + 1, units + repeat_units(facts, path)
        size, digest = Path(temporary).stat().st_size, sha256_file(temporary)
    return ShardEntry(Path(path).name, count, size, digest, units / REPEAT_UNITS)


def repeat_units(facts: Mapping[str, object], path: str) -> int:
    """A clip's repeats in steps of 1 / REPEAT_UNITS; once where its facts do not say.

    Raises:
        ShardError: they are no number from 0 to 1,000,000; it names `path`.
    """
    repeats = facts.get("repeats", 1.0) if isinstance(facts, Mapping) else None
    # Bounds also keep NaN out, and a number of draws that would never end.
    if isinstance(repeats, bool) or not isinstance(repeats, int | float) or not 0 <= repeats <= 1e6:
        raise ShardError(f"{path}: a clip with repeats of {repeats!r}")
    return round(repeats * REPEAT_UNITS)


def write_manifest(folder: str, manifest: Manifest) -> None:
    """Commit a split: from now on its shards exist."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False, sort_keys=True)
    write_text(str(Path(folder) / MANIFEST), text + "\n")


def read_manifest(folder: str) -> Manifest:
    """The manifest of a split's folder.

    Whoever shares a dataset can write into it what they like, so nothing here is taken on trust.

    Raises:
        ShardError: there is none (the split is not finished), or it is not one of ours.
    """
    path = Path(folder) / MANIFEST
    try:
        if path.is_symlink():
            raise ValueError("a link to another file")
        content = json.loads(path.read_text(encoding="utf-8"))
        shards = tuple(ShardEntry(**entry) for entry in content.pop("shards"))
        manifest = Manifest(**{**content, "labels": tuple(content["labels"]), "shards": shards})
        _check_manifest(manifest)
    except FileNotFoundError as error:
        raise ShardError(f"{path}: not there, so this split was never finished") from error
    except OSError as error:
        raise ShardError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ShardError(f"{path}: not a shard manifest: {error}") from error
    return manifest


def refuse_altered(folder: str, manifest: Manifest) -> None:
    """Raise ShardError for a manifest whose count or id is not that of the shards it names."""
    path, told = Path(folder) / MANIFEST, sum(entry.clips for entry in manifest.shards)
    if told != manifest.clips:
        raise ShardError(f"{path}: says {manifest.clips} clips, its shards have {told}")
    own = dataset_id(manifest.config_digest, manifest.split, manifest.labels, manifest.shards)
    if manifest.dataset_id != own:
        raise ShardError(f"{path}: its dataset_id is not that of its shards")


def refuse_unlisted(folder: str, manifest: Manifest) -> None:
    """Raise ShardError for a tar beside the manifest that it does not name.

    One that a wider run left would be read by whoever lists the folder.
    """
    listed = {entry.path for entry in manifest.shards}
    strange = sorted(path.name for path in Path(folder).glob("*.tar") if path.name not in listed)
    if strange:
        raise ShardError(f"{Path(folder) / strange[0]}: not in the manifest; nothing may read it")


def check_size(folder: str, entry: ShardEntry) -> str:
    """The path of a shard that is there, a plain file, and as long as its manifest says.

    Raises:
        ShardError: it is not; its bytes were not read.
    """
    path = Path(folder) / entry.path
    if path.is_symlink():
        raise ShardError(f"{path}: a link to another file, which is not read")
    if not path.is_file():
        raise ShardError(f"{path}: named by the manifest but not there")
    if path.stat().st_size != entry.bytes:
        raise ShardError(f"{path}: {path.stat().st_size} bytes, the manifest says {entry.bytes}")
    return str(path)


def check_shard(folder: str, entry: ShardEntry) -> None:
    """Re-read a shard and compare it with its manifest entry.

    Raises:
        ShardError: it is missing, or its size, hash or number of clips differs.
    """
    path = check_size(folder, entry)
    if sha256_file(path) != entry.sha256:
        raise ShardError(f"{path}: its bytes changed since it was written (SHA-256 differs)")
    units = [repeat_units(facts, path) for _, _, facts in read_shard(path)]
    refuse_miscounted(path, entry, len(units), sum(units))


def refuse_miscounted(path: str, entry: ShardEntry, clips: int, units: int) -> None:
    """Raise ShardError if an entry has a shard's clips, or the sum of their repeats, wrong."""
    if clips != entry.clips:
        raise ShardError(f"{path}: {clips} clips, the manifest says {entry.clips}")
    if entry.repeats is not None and units / REPEAT_UNITS != entry.repeats:
        raise ShardError(f"{path}: its repeats do not sum to the {entry.repeats} of the manifest")


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
    except (tarfile.TarError, ValueError, EOFError, RecursionError) as error:
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


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    return info


def _check_manifest(manifest: Manifest) -> None:
    """Raise ValueError for a value that no manifest of ours can have."""
    for entry in manifest.shards:
        _check_entry(entry)
    texts = (manifest.dataset_id, manifest.split, manifest.config_digest, *manifest.labels)
    counts = (manifest.clips, manifest.videos)
    checks = {
        "ids and labels that are text": all(isinstance(text, str) for text in texts),
        "counts of 0 or more": all(map(_is_count, counts)),
        "minutes of 0 or more": type(manifest.minutes) in (int, float)
        and 0 <= manifest.minutes < math.inf,
        f"format {FORMAT}": manifest.format == FORMAT,
        "every shard once": len({e.path for e in manifest.shards}) == len(manifest.shards),
    }
    for wanted, holds in checks.items():
        if not holds:
            raise ValueError(f"it must have {wanted}")


def _check_entry(entry: ShardEntry) -> None:
    if not isinstance(entry.path, str) or not re.fullmatch(r"[^/\\\0]+", entry.path):
        raise ValueError(f"it names a shard outside its own folder: {entry.path!r}")
    if entry.path.startswith("."):
        raise ValueError(f"it names a shard outside its own folder, or hidden: {entry.path!r}")
    if not (_is_count(entry.clips) and _is_count(entry.bytes)):
        raise ValueError(f"shard {entry.path!r} must have clips and bytes of 0 or more")
    if not isinstance(entry.sha256, str):
        raise ValueError(f"shard {entry.path!r} has no SHA-256")
    if entry.repeats is not None and not (
        type(entry.repeats) in (int, float) and 0 <= entry.repeats < math.inf
    ):
        raise ValueError(f"shard {entry.path!r} must have repeats of 0 or more")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, *suffixes: str) -> tuple[str, bytes]:
    # A sparse member may claim terabytes that no file holds.
    file = tar.extractfile(member) if member.isreg() and not member.issparse() else None
    suffix = Path(member.name).suffix
    if file is None or suffix not in suffixes:
        wanted = " or ".join(suffixes)
        raise ShardError(f"unexpected member {member.name!r}, wanted a file ending in {wanted}")
    content = file.read()
    if len(content) != member.size:
        raise ShardError(f"{member.name}: cut after {len(content)} of {member.size} bytes")
    return member.name.removesuffix(suffix), content
