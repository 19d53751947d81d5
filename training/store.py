"""The shards of a split at hand: copied if they lie elsewhere, checked once, their clips indexed.

What was found out about a shard lies in a scratch folder that all workers share, so whoever needs
it first does the work, behind a lock, and the others load it. A split on s3:// or gs:// is read
from copies in that folder; only what its manifest names is looked at there.
"""

import fcntl
import hashlib
import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from formats.objects import ObjectError, Service, copy_object, read_endpoint
from formats.shards import (
    MANIFEST,
    REPEAT_UNITS,
    Manifest,
    ShardEntry,
    ShardError,
    check_size,
    digest_of,
)
from formats.storage import publish
from training.clip_options import ClipOptions
from training.samples import Index, index_shard, open_manifest, open_split
from training.scratch import scratch_of

INDEX = 2
"""Of what a scratch folder keeps of a shard; another version has other records."""
_CALL_S = 120.0
"""Of one call to an object store."""


class StoredClip:
    """The bytes of one clip's video, read where they lie."""

    def __init__(self, shard: "Shard", number: int):
        record = shard.index[number]
        self.clip_id: str = record["clip_id"].decode()
        self.label_id = int(record["label_id"])
        self.size = int(record["size"])
        self.image = bool(record["image"])
        """Whether it is a picture and no video."""
        self.path = shard.path
        self._offset = int(record["offset"])
        # Keeps the shard open.
        self._shard = shard

    def read(self, offset: int, length: int) -> bytes:
        """As many bytes from there on, fewer at the end.

        Raises:
            ShardError: the shard was cut while it was in use, or cannot be read.
        """
        length = max(0, min(length, self.size - offset))
        try:
            content = os.pread(self._shard.file, length, self._offset + offset)
        except OSError as error:
            raise ShardError(f"{self.path}: cannot be read: {error}") from error
        if len(content) < length:
            raise ShardError(f"{self.path}: was cut while it was in use")
        return content

    def expect(self) -> None:
        """Tell the system that these bytes will be read soon."""
        os.posix_fadvise(self._shard.file, self._offset, self.size, os.POSIX_FADV_WILLNEED)


class Shard:
    """An open shard: some 100 bytes per clip for its index, and its videos stay where they are."""

    def __init__(self, folder: str, name: str, file: int, index: Index):
        self.name = name
        self.path = f"{folder}/{name}"
        self.file = file
        self.index = index
        weakref.finalize(self, os.close, file)


class ShardStore:
    """The shards of one split, wherever it lies.

    Raises:
        ShardError: the split is not finished or empty, its manifest was changed, or (on a disk) a
            shard is missing, of another length, or not named by the manifest.
    """

    def __init__(self, folder: str, options: ClipOptions):
        self.folder = folder.rstrip("/")
        self.remote = "://" in folder
        """Whether shards are copied. Their client must not be taken along in a fork."""
        self._options = options
        self._scratch = Path(options.scratch or scratch_of(self))
        self._scratch.mkdir(parents=True, exist_ok=True)
        self.manifest = self._remote_manifest() if self.remote else open_split(folder, "size")

    def units(self, entry: ShardEntry) -> int:
        """The sum of a shard's repeats in units of 1 / REPEAT_UNITS.

        It stands in the manifest; where that is of an older version, the shard is opened.
        """
        if entry.repeats is not None:
            return round(entry.repeats * REPEAT_UNITS)
        return int(self.open(entry).index["units"].sum())

    def open(self, entry: ShardEntry) -> Shard:
        """A shard that is what the manifest says, as thoroughly as `verify` asks.

        A copy that is not is made anew once.

        Raises:
            ShardError: the shard is missing, damaged or changed; it is named.
        """
        if not self.remote:
            return self._checked(entry, check_size(self.folder, entry))
        copy = str(self._scratch / f"{digest_of(self.folder, entry.path, entry.sha256)}.tar")
        try:
            return self._checked(entry, copy)
        except ShardError:
            Path(copy).unlink(missing_ok=True)
            return self._checked(entry, copy)

    def _checked(self, entry: ShardEntry, path: str) -> Shard:
        shown = f"{self.folder}/{entry.path}"
        try:
            file = self._opened(entry, path)
            # Closes the file whatever comes.
            shard = Shard(self.folder, entry.path, file, np.empty(0, np.void))
            facts = os.fstat(file)
            found = (entry.sha256, facts.st_size, facts.st_mtime_ns, facts.st_ino, facts.st_dev)
            name = digest_of(INDEX, path, *found, self._options.verify, self.manifest.dataset_id)
            record = self._scratch / f"{name}.npy"
            with _locked(record):
                if not record.exists():
                    self._examine(entry, shard, record)
                shard.index = np.load(record, allow_pickle=False)
        except OSError as error:
            raise ShardError(f"{shown}: cannot be read: {error}") from error
        return shard

    def _examine(self, entry: ShardEntry, shard: Shard, record: Path) -> None:
        """Write a shard's index once it is known to be what its entry says."""
        if os.fstat(shard.file).st_size != entry.bytes:
            raise ShardError(f"{shard.path}: not of {entry.bytes} bytes as the manifest says")
        if self._options.verify == "full":
            with open(shard.file, "rb", closefd=False) as content:
                content.seek(0)
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            if digest != entry.sha256:
                raise ShardError(
                    f"{shard.path}: its bytes changed since it was written (SHA-256 differs)"
                )
        index = index_shard(shard.file, shard.path, entry, len(self.manifest.labels))
        with publish(str(record)) as temporary, open(temporary, "wb") as file:
            np.save(file, index, allow_pickle=False)

    def _opened(self, entry: ShardEntry, path: str) -> int:
        """An open file; of a remote shard a copy, made if it is not there."""
        if not self.remote:
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with _locked(Path(path)):
            if not Path(path).exists():
                self._make_room(entry.bytes)
                with publish(path) as temporary:
                    self._copy(entry.path, temporary)
            os.utime(path)
            return os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def _make_room(self, size: int) -> None:
        """Delete the copies that were opened longest ago; who has one open can go on reading."""
        largest = max(entry.bytes for entry in self.manifest.shards)
        needed = 2 * self._options.shards_per_window * largest
        room = max(self._options.scratch_mib << 20, needed) - size
        copies = [(path.stat(), path) for path in self._scratch.glob("*.tar")]
        for facts, path in sorted(copies, key=lambda copy: -copy[0].st_mtime_ns):
            room -= facts.st_size
            if room < 0:
                path.unlink(missing_ok=True)

    def _remote_manifest(self) -> Manifest:
        path = self._scratch / digest_of(self.folder) / MANIFEST
        with publish(str(path)) as temporary:
            self._copy(MANIFEST, temporary)
        return open_manifest(str(path.parent))

    def _copy(self, name: str, path: str) -> None:
        uri, options = f"{self.folder}/{name}", self._options
        kind = uri.partition("://")[0]
        if kind not in ("s3", "gs"):
            raise ShardError(f"{uri}: neither a path nor s3:// or gs://")
        endpoint = options.s3_endpoint if kind == "s3" else options.gs_endpoint
        region = options.s3_region if kind == "s3" else ""
        service = Service(kind, *read_endpoint(endpoint), region, options.anonymous_objects)
        try:
            copy_object(service, uri, path, seconds=_CALL_S)
        except FileNotFoundError as error:
            raise ShardError(f"{uri}: not there") from error
        except (ValueError, ObjectError, TimeoutError) as error:
            raise ShardError(f"{uri}: cannot be read: {error}") from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep every other process that names this path, on this machine, out of the block."""
    with open(path.with_suffix(".lock"), "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
