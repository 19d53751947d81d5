"""A target set at rest: hashes in parts, an index in pieces, and the manifest that commits them.

In `targets/<name>/`:

part-00000.parquet   the hashes of some videos, in the order of their ids
piece-00000.index    what `deduplicate` searches: a range of ids
MANIFEST.json        written last; without it the set does not exist
.key                 what the set was made from: it is made anew if that changes
.work/               what is needed until then
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import pyarrow as pa

from dedup.fingerprint import Fingerprint
from dedup.index import FLAT_MOST_CODES, PIECE_MOST_CODES, TargetIndex, TargetVideo
from formats.storage import publish, sha256_file, write_text
from formats.tables import TargetHashRow, TargetVideoRow, read_batches, schema_of
from pipelines.run import JobError

FORMAT = 1
_MANIFEST = "MANIFEST.json"


@dataclass(frozen=True)
class Piece:
    """One file of a set's index."""

    path: str
    """File name beside the manifest."""
    videos: int
    hashes: int
    """Before equal ones of one video are merged."""
    bytes: int
    sha256: str


@dataclass(frozen=True)
class TargetSet:
    """What a finished target set consists of."""

    target: str
    hash_fps: float
    search: str
    """`flat` or `multi_index`: chosen by the number of the set's hashes, see `dedup.index`."""
    videos: int
    failed: int
    hashes: int
    pieces: tuple[Piece, ...]
    format: int = FORMAT


@dataclass(frozen=True)
class PiecePlan:
    """A range of a set's videos, ends included, and the parts that hold their hashes."""

    target: str
    number: int
    first_video: str
    last_video: str
    parts: tuple[int, ...]
    videos: int
    hashes: int
    hashed: bool
    """Whether the set is searched by multi-index hashing."""


@dataclass(frozen=True)
class SetFolder:
    """Where a target set's files are."""

    path: str

    def part(self, number: int) -> str:
        """The hashes of a unit's videos."""
        return f"{self.path}/part-{number:05d}.parquet"

    def piece(self, number: int) -> str:
        """A piece of the index."""
        return f"{self.path}/piece-{number:05d}.index"

    def videos(self, number: int) -> str:
        """What is known of a unit's videos: the commit of the unit."""
        return f"{self.path}/.work/videos-{number:05d}.parquet"

    def stored(self, clip: str) -> str:
        """A video's bytes, until they are in a shard."""
        return f"{self.path}/.work/{clip}.mp4"

    def begin(self, key: str) -> None:
        """Make room for a set: what was made from something else goes."""
        folder = Path(self.path)
        if self._key() != key:
            shutil.rmtree(folder, ignore_errors=True)
        (folder / ".work").mkdir(parents=True, exist_ok=True)
        (folder / _MANIFEST).unlink(missing_ok=True)
        write_text(str(folder / ".key"), key)

    def finished(self, key: str) -> TargetSet | None:
        """The set, if it was made from the same; else None."""
        if self._key() != key or not Path(self.path, _MANIFEST).exists():
            return None
        return read_set(self.path)

    def is_whole(self, piece: Piece) -> bool:
        """Whether the file of a piece is there and as long as it was."""
        file = Path(self.path, piece.path)
        return file.is_file() and file.stat().st_size == piece.bytes

    def commit(self, target_set: TargetSet) -> None:
        """From now on the set exists."""
        text = json.dumps(asdict(target_set), indent=1, ensure_ascii=False, sort_keys=True)
        write_text(str(Path(self.path, _MANIFEST)), text + "\n")

    def clean(self) -> None:
        """Delete what was needed until the commit."""
        shutil.rmtree(Path(self.path, ".work"), ignore_errors=True)

    def _key(self) -> str | None:
        key = Path(self.path, ".key")
        return key.read_text() if key.exists() else None


def read_set(folder: str) -> TargetSet:
    """The manifest of a target set's folder.

    Raises:
        JobError: there is none, so the set was never finished, or it is not one of ours.
    """
    path = Path(folder) / _MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        pieces = tuple(Piece(**piece) for piece in content.pop("pieces"))
        found = TargetSet(**content, pieces=pieces)
        if found.format != FORMAT or any(Path(p.path).name != p.path for p in pieces):
            raise ValueError("another format, or a piece outside of its folder")
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise JobError(f"{path}: not the manifest of a target set: {error}") from error
    return found


def plan_pieces(
    target: str, units: Iterable[Iterable[TargetVideoRow]], most: int = PIECE_MOST_CODES
) -> list[PiecePlan]:
    """Cut a set, given by its units in order, into ranges of at most `most` hashes.

    A video is never cut: one with more hashes is a piece by itself.
    """
    ranges: list[list[tuple[int, TargetVideoRow]]] = []
    filled = total = 0
    for number, unit in enumerate(units):
        for video in unit:
            if not video.hashes:
                continue
            if not ranges or filled + video.hashes > most:
                ranges.append([])
                filled = 0
            ranges[-1].append((number, video))
            filled += video.hashes
            total += video.hashes
    return [
        PiecePlan(
            target,
            number,
            videos[0][1].video_id,
            videos[-1][1].video_id,
            tuple(sorted({unit for unit, _ in videos})),
            videos=len(videos),
            hashes=sum(video.hashes for _, video in videos),
            hashed=total > FLAT_MOST_CODES,
        )
        for number, videos in enumerate(ranges)
    ]


def write_piece(plan: PiecePlan, folder: SetFolder) -> None:
    """Write one piece of a set's index; memory is that of the piece, some 2 GB at the most."""
    fingerprints = read_fingerprints(folder.part(number) for number in plan.parts)
    index = TargetIndex.build(
        (
            TargetVideo(plan.target, video_id, fingerprint)
            for video_id, fingerprint in fingerprints
            if plan.first_video <= video_id <= plan.last_video
        ),
        hashed=plan.hashed,
    )
    with publish(folder.piece(plan.number)) as temporary:
        index.save(temporary)


def describe_piece(plan: PiecePlan, folder: SetFolder) -> Piece:
    """A piece that was written, as the manifest names it."""
    path = Path(folder.piece(plan.number))
    size, digest = path.stat().st_size, sha256_file(str(path))
    return Piece(path.name, plan.videos, plan.hashes, size, digest)


def read_fingerprints(parts: Iterable[str]) -> Iterator[tuple[str, Fingerprint]]:
    """Yield the videos that parts hold hashes of, in their order; one is in memory at a time.

    Raises:
        TableError: a part is damaged.
    """
    schema = schema_of(TargetHashRow, "video_id", "second", "variant", "phash")
    batches = (batch for part in parts for batch in read_batches(part, schema))
    runs = (run for batch in batches for run in _runs(batch))
    for video_id, same in groupby(runs, key=itemgetter(0)):
        table = pa.Table.from_batches([batch for _, batch in same])
        columns = (table.column(name).to_pylist() for name in ("phash", "second", "variant"))
        yield video_id, Fingerprint.from_rows(*columns)


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The batch, cut where another video begins."""
    start = 0
    for video_id, rows in groupby(batch.column("video_id").to_pylist()):
        count = sum(1 for _ in rows)
        yield video_id, batch.slice(start, count)
        start += count
