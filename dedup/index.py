"""The hashes of target videos, searchable by Hamming distance: one piece of a target set.

A target set is cut into pieces of whole videos, each a file that is mapped, not read into memory.
Sets of up to `FLAT_MOST_CODES` hashes are compared exhaustively, hence exactly. Larger ones carry
tables for multi-index hashing, which finds the target videos that are worth comparing exactly. So
how a set is searched depends on the set alone, and what is found not on how it is cut into pieces.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint, Seconds
from dedup.flat_search import Hits, join_hits, search_flat
from dedup.hashing import CODE_BYTES, Codes
from dedup.index_file import Arrays, IndexFileError, map_index_file, write_index_file
from dedup.multi_index import TABLES, Table, build_table, candidates, check_table

FLAT_MOST_CODES = 2**21
"""Most hashes of a target set that is compared exhaustively, some 1,300 videos of ten seconds.

It takes 2 ms a query on one core, and 70 ms for the 35 of a source video of ten seconds, which is
what decoding it takes.
"""
PIECE_MOST_CODES = 2**23
"""Most hashes of one piece: a file of at most 1 GB, made in 2 GB of memory."""
_COLUMNS = {
    "codes": (np.uint8, (CODE_BYTES,)),
    "owner": (np.int32, ()),
    "second": (np.float32, ()),
    "variant": (np.int16, ()),
}


_OPENED: dict[str, tuple[object, "TargetIndex"]] = {}
_OPENING = Lock()


class TargetVideo(NamedTuple):
    """One video of a target set, with the fingerprint that `fingerprint_target` made of it."""

    target: str
    video_id: str
    fingerprint: Fingerprint


@dataclass(frozen=True, eq=False)
class TargetRows:
    """What is known of each hash: row i is `codes[i]`, of video `owner[i]`; sorted by owner.

    `variant[i]` and `owner[i]` are positions in `variants` and `videos`, the latter holding
    (target, video_id). A variant's position is its rank: `full` is the first.
    """

    codes: Codes
    owner: npt.NDArray[np.int32]
    second: Seconds
    variant: npt.NDArray[np.int16]
    videos: tuple[tuple[str, str], ...]
    variants: tuple[str, ...]

    @cached_property
    def starts(self) -> npt.NDArray[np.int64]:
        """The first row of each video, and the number of rows: [V + 1]."""
        return np.searchsorted(self.owner, np.arange(len(self.videos) + 1))


class TargetIndex:
    """Some target videos' hashes. Never changes, so threads may search one index at once."""

    def __init__(self, rows: TargetRows, tables: Sequence[Table] = ()) -> None:
        self.rows = rows
        self.tables = tuple(tables)

    @classmethod
    def build(cls, videos: Iterable[TargetVideo], *, hashed: bool = False) -> "TargetIndex":
        """The index of these videos, the same in whatever order they come.

        Of the equal hashes of one video only one is kept: a still picture repeats itself. With
        `hashed`, it is searched by multi-index hashing.

        Raises:
            ValueError: two videos have the same target and video_id.
        """
        kept = sorted((_unrepeated(video) for video in videos), key=lambda one: one.name)
        names = tuple(one.name for one in kept)
        for before, name in pairwise(names):
            if before == name:
                raise ValueError(f"target {name[0]} holds the video {name[1]} twice")
        variants = tuple(sorted({name for one in kept for name in one.variants}, key=_rank))
        place = {name: np.int16(i) for i, name in enumerate(variants)}
        rows = TargetRows(
            codes=_joined((one.codes for one in kept), np.empty((0, CODE_BYTES), np.uint8)),
            owner=np.repeat(np.arange(len(kept), dtype=np.int32), [len(o.codes) for o in kept]),
            second=_joined((one.second for one in kept), np.empty(0, np.float32)),
            variant=_joined(
                (np.array([place[n] for n in o.variants], np.int16)[o.variant] for o in kept),
                np.empty(0, np.int16),
            ),
            videos=names,
            variants=variants,
        )
        return cls(rows, [build_table(rows.codes, n) for n in range(TABLES)] if hashed else ())

    @classmethod
    def load(cls, path: str) -> "TargetIndex":
        """Map an index that `save` wrote; its hashes stay in the file.

        Raises:
            IndexFileError: the file is missing, cut short, altered or no target index.
        """
        facts, arrays = map_index_file(path)
        try:
            rows = _read_rows(facts, arrays)
            return cls(rows, _read_tables(arrays, len(rows.codes)))
        except (ValueError, KeyError, TypeError) as error:
            raise IndexFileError(f"{path}: cannot be read as a target index: {error}") from error

    def save(self, path: str) -> None:
        """Write one file, the same bytes for equal indexes; see `write_index_file`."""
        facts = {"videos": self.rows.videos, "variants": self.rows.variants}
        write_index_file(path, facts, self._arrays())

    def __len__(self) -> int:
        """How many hashes there are."""
        return len(self.rows.codes)

    def search(
        self, codes: Codes, radius: int, sources: npt.NDArray[np.int64] | None = None
    ) -> Hits:
        """Every hash within `radius` bits (inclusive) of each of the codes, uint8 [Q, 32].

        With tables, those of the target videos alone of which some hash is within the radius *and*
        shares a word with a code of the same source video. Code i is of `sources[i]`, which must
        ascend; all are of one if that is not given.
        """
        codes = np.ascontiguousarray(codes)
        if not self.tables:
            return search_flat(codes, self.rows.codes, radius)
        if sources is None:
            sources = np.zeros(len(codes), np.int64)
        found = [
            search_flat(codes[queries], self.rows.codes[rows], radius).moved(queries, rows)
            for queries, rows in self._worth_comparing(codes, radius, sources)
        ]
        hits = join_hits(found)
        order = np.lexsort((hits.row, hits.query))
        return Hits(*(part[order] for part in hits))

    def _worth_comparing(
        self, codes: Codes, radius: int, sources: npt.NDArray[np.int64]
    ) -> Iterator[tuple[slice, slice]]:
        """The codes of a source video and the rows of a target video that may overlap it."""
        videos, starts = len(self.rows.videos), self.rows.starts
        mine, theirs = codes.view(np.uint64), self.rows.codes.view(np.uint64)
        worth = [np.empty(0, np.int64)]
        for query, row in candidates(self.tables, codes):
            differing = np.take(mine, query, axis=0) ^ np.take(theirs, row, axis=0)
            close = np.bitwise_count(differing).sum(axis=1, dtype=np.uint16) <= radius
            owner = np.take(self.rows.owner, row[close])
            worth.append(np.unique(sources[query[close]] * videos + owner))
        for source, owner in zip(*np.divmod(np.unique(np.concatenate(worth)), videos), strict=True):
            first, last = np.searchsorted(sources, (source, source + 1))
            yield slice(int(first), int(last)), slice(int(starts[owner]), int(starts[owner + 1]))

    def _arrays(self) -> Iterator[tuple[str, npt.NDArray[Any]]]:
        for name in _COLUMNS:
            yield name, getattr(self.rows, name)
        for number, table in enumerate(self.tables):
            for name in Table._fields:
                yield f"{name}{number}", getattr(table, name)


def open_index(path: str) -> TargetIndex:
    """`TargetIndex.load`, once per process as long as the file does not change.

    Raises:
        IndexFileError: as `load`.
    """
    status = Path(path).stat() if Path(path).exists() else None
    version = status and (status.st_ino, status.st_size, status.st_mtime_ns)
    with _OPENING:
        if path not in _OPENED or _OPENED[path][0] != version:
            _OPENED[path] = version, TargetIndex.load(path)
        return _OPENED[path][1]


class _Kept(NamedTuple):
    """The different hashes of one video, `variant` a position in its own `variants`."""

    name: tuple[str, str]
    codes: Codes
    second: Seconds
    variant: npt.NDArray[np.int16]
    variants: tuple[str, ...]


def _unrepeated(video: TargetVideo) -> _Kept:
    """Different codes, their first second and variant, by variant and second."""
    fingerprint = video.fingerprint
    variants = tuple(sorted(set(fingerprint.versions), key=_rank))
    position = {name: i for i, name in enumerate(variants)}
    variant = np.array([position[name] for name in fingerprint.versions], np.int16)
    # The code's own bytes come last, so that no tie is left to the order of the rows.
    keys = (*fingerprint.codes.T[::-1], fingerprint.seconds, variant)
    order = np.lexsort(keys)
    _, first = np.unique(fingerprint.codes[order], axis=0, return_index=True)
    kept = order[np.sort(first)]
    return _Kept(
        (video.target, video.video_id),
        fingerprint.codes[kept],
        fingerprint.seconds[kept],
        variant[kept],
        variants,
    )


def _rank(variant: str) -> tuple[bool, str]:
    return variant != "full", variant


def _joined(parts: Iterable[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.concatenate([empty, *parts])


def _read_rows(facts: Mapping[str, Any], arrays: Arrays) -> TargetRows:
    """The table in a file; a matching checksum alone does not make it a sound one."""
    count = len(arrays["codes"])
    for name, (dtype, rest) in _COLUMNS.items():
        if arrays[name].dtype != dtype or arrays[name].shape != (count, *rest):
            raise ValueError(f"{name} is {arrays[name].dtype} {arrays[name].shape}")
    videos = tuple((str(target), str(video_id)) for target, video_id in facts["videos"])
    variants = tuple(str(name) for name in facts["variants"])
    for name, limit in (("owner", len(videos)), ("variant", len(variants))):
        if count and not 0 <= arrays[name].min() <= arrays[name].max() < limit:
            raise ValueError(f"{name} points outside of its list")
    if (arrays["owner"][1:] < arrays["owner"][:-1]).any():
        raise ValueError("its hashes are not sorted by video")
    return TargetRows(**{name: arrays[name] for name in _COLUMNS}, videos=videos, variants=variants)


def _read_tables(arrays: Arrays, rows: int) -> list[Table]:
    if len(arrays) == len(_COLUMNS):
        return []
    tables = [Table(*(arrays[f"{n}{number}"] for n in Table._fields)) for number in range(TABLES)]
    for table in tables:
        check_table(table, rows)
    return tables
