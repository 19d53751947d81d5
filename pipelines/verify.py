"""Re-reading what a dataset holds: every shard, every stored video, every table, or one n-th of it.

Who runs `1/t` to `t/t`, on one machine or many, has read each of them once. A path's share follows
from its hash, so that it stays where it is when others come and go. What names the files, and
whether one is there that nothing names, is looked at every time: it costs no reading of theirs.
"""

import hashlib
import re
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from formats.shards import (
    MANIFEST,
    Manifest,
    ShardError,
    check_shard,
    digest_of,
    member_header,
    read_manifest,
    refuse_altered,
    refuse_unlisted,
)
from formats.storage import sha256_file
from formats.tables import VideoRow, part_files, read_rows
from pipelines.benchmarks.target_sets import Piece, read_set
from pipelines.engine import progress
from pipelines.joins import STORED
from pipelines.options import Options
from pipelines.removal.takedown_list import read_list
from pipelines.run import STAGES, Job, JobError, StageRecord, left_by, read_record

_BLOCK = 1 << 20


@dataclass(frozen=True)
class Check:
    """One thing that can be re-read by itself."""

    path: str
    """Under OUT."""
    counts: dict[str, int]
    """What is known to be right once it has run."""
    run: Callable[[], None]


@dataclass(frozen=True)
class Subset:
    """Which part of the checks to make: number n of t, from 1."""

    number: int = 1
    total: int = 1

    def __contains__(self, path: str) -> bool:
        return int(digest_of(path)[:15], 16) % self.total == self.number - 1


EVERYTHING = Subset()


def parse_subset(text: str) -> Subset:
    """The n-th of t parts, written `n/t`.

    >>> parse_subset("2/10")
    Subset(number=2, total=10)

    Raises:
        JobError: it is not written so, or there is no n-th part.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found and 1 <= int(found[1]) <= int(found[2]):
        return Subset(int(found[1]), int(found[2]))
    raise JobError(f"SUBSET is n/t, with n from 1 to t (2/10: the second of ten), not {text!r}")


def verify(out: Path, subset: Subset = EVERYTHING) -> dict[str, int]:
    """Check a dataset against its manifests, tables and records; return what was checked.

    Raises:
        JobError: there is no finished split, or a takedown was cut.
        ShardError: a shard, part or table is missing, damaged, or named by nothing.
        TableError: a table of stored videos cannot be read.
    """
    if read_list(out).unfinished is not None:
        raise JobError(f"{out}: a takedown was cut; run it, or `make dataset`, to finish it first")
    splits = list(_splits(out))
    if not splits:
        raise JobError(f"{out}: holds no finished split; run `make dataset` first")
    checks = [*_shards(out, splits), *_parts(out), *_pieces(out), *_tables(out)]
    chosen = [check for check in checks if check.path in subset]
    counts = Counter(splits=len(splits), shards=0, clips=0, parts=0, videos=0, bytes=0)
    with progress.bar("verify", len(chosen), "files"):
        for check in chosen:
            check.run()
            progress.advance()
            counts.update(check.counts)
    return dict(counts)


def _splits(out: Path) -> Iterator[tuple[Path, Manifest]]:
    for folder in sorted([*out.glob("shards/*/"), *out.glob("target_shards/*/*/")]):
        if not (folder / MANIFEST).exists() and not any(folder.glob("*.tar")):
            continue
        manifest = read_manifest(str(folder))
        refuse_altered(str(folder), manifest)
        refuse_unlisted(str(folder), manifest)
        yield folder, manifest


def _shards(out: Path, splits: list[tuple[Path, Manifest]]) -> Iterator[Check]:
    for folder, manifest in splits:
        for entry in manifest.shards:
            counts = {"shards": 1, "clips": entry.clips, "bytes": entry.bytes}
            path = str((folder / entry.path).relative_to(out))
            yield Check(path, counts, partial(check_shard, str(folder), entry))


def _parts(out: Path) -> Iterator[Check]:
    for table in map(Path, part_files(str(out / "videos"))):
        stored = [row for row in read_rows(str(table), VideoRow) if row.status == STORED]
        size = sum(row.size_bytes or 0 for row in stored)
        counts = {"parts": 1, "videos": len(stored), "bytes": size}
        tar = table.with_suffix(".tar")
        yield Check(str(tar.relative_to(out)), counts, partial(check_part, str(table)))


def _pieces(out: Path) -> Iterator[Check]:
    for folder in sorted(path.parent for path in out.glob(f"targets/*/{MANIFEST}")):
        for piece in read_set(str(folder)).pieces:
            path = str((folder / piece.path).relative_to(out))
            yield Check(path, {}, partial(check_piece, str(out / path), piece))


def check_piece(path: str, piece: Piece) -> None:
    """Re-read a piece of a target set's index and compare it with its manifest's entry.

    Raises:
        ShardError: it is missing, or its bytes changed.
    """
    if Path(path).is_symlink() or not Path(path).is_file():
        raise ShardError(f"{path}: named by the manifest beside it but not there as a file")
    if sha256_file(path) != piece.sha256:
        raise ShardError(f"{path}: its bytes changed since it was written (SHA-256 differs)")


def check_part(table: str) -> None:
    """Re-read a part of `videos/` and compare each byte of its tar with what its table asks for.

    Raises:
        ShardError: the tar is missing, cut or changed.
        TableError: the table cannot be read.
    """
    tar = Path(table).with_suffix(".tar")
    rows = [row for row in read_rows(table, VideoRow) if row.status == STORED]
    if tar.is_symlink() or not tar.is_file():
        raise ShardError(f"{tar}: named by the table beside it but not there as a file")
    with open(tar, "rb") as file:
        for row in sorted(rows, key=lambda row: row.offset or 0):
            if row.part != tar.name or not _is_as_written(file, row):
                raise ShardError(
                    f"{tar}: video {row.row_key} in it changed since it was stored; delete this "
                    f"tar and {Path(table).name}, then run fetch again"
                )
        if not _ends_here(file):
            raise ShardError(f"{tar}: holds bytes that are no stored video, or is cut")


def _is_as_written(file: BinaryIO, row: VideoRow) -> bool:
    """Whether the next member is this video, byte for byte; moves to behind it."""
    size = row.size_bytes or 0
    if file.read(tarfile.BLOCKSIZE) != member_header(f"{row.row_key}.mp4", size):
        return False
    digest, left = hashlib.sha256(), size
    if file.tell() != row.offset:
        return False
    while left and (block := file.read(min(left, _BLOCK))):
        digest.update(block)
        left -= len(block)
    padding = -size % tarfile.BLOCKSIZE
    whole = left == 0 and file.read(padding) == bytes(padding)
    return whole and row.sha256 in (None, digest.hexdigest())


def _ends_here(file: BinaryIO) -> bool:
    """Whether nothing but the end of a tar follows: two blocks of zeros, and on to a record."""
    end = file.tell()
    size = -(-(end + 2 * tarfile.BLOCKSIZE) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE
    return file.read(size - end + 1) == bytes(size - end)


def _tables(out: Path) -> Iterator[Check]:
    for stage in STAGES:
        record = read_record(stage, out)
        if record is not None and record.files:
            _refuse_missing(out, record)
            yield Check(f"stages/{stage}.json", {}, partial(_check_tables, out, record))


def _refuse_missing(out: Path, record: StageRecord) -> None:
    for name, size in record.files.items():
        path = out / name
        if not path.is_file():
            raise ShardError(f"{path}: left by the stage {record.stage}, but not there")
        if path.stat().st_size != size:
            raise ShardError(
                f"{path}: {path.stat().st_size} bytes, the stage {record.stage} left {size}"
            )


def _check_tables(out: Path, record: StageRecord) -> None:
    _, digest = left_by(record.stage, Job(out, "", Options()))
    if digest != record.result_digest:
        raise ShardError(
            f"{out}: a table or manifest of the stage {record.stage} changed since it was written; "
            f"delete stages/{record.stage}.json to have it made again"
        )
