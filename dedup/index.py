"""The hashes of all target videos, searchable by Hamming distance."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BufferedRandom, BufferedReader
from itertools import pairwise
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from dedup.fingerprint import Fingerprint, Seconds
from dedup.hashing import CODE_BYTES, Codes

CODE_BITS = 8 * CODE_BYTES
_HITS_AT_ONCE = 2**24
"""Most hits that one call of FAISS may return: at 12 bytes each, 200 MB."""
_MAX_QUERIES_AT_ONCE = 256
_MAGIC = b"tagreel target index 1 "
_HEADER_BYTES = len(_MAGIC) + 64 + 1
_COLUMNS = {
    "codes": (np.uint8, (CODE_BYTES,)),
    "owner": (np.int32, ()),
    "second": (np.float32, ()),
    "variant": (np.int16, ()),
}


class IndexFileError(Exception):
    """A file is not a whole target index."""


class TargetVideo(NamedTuple):
    """One video of a target set, with the fingerprint that `fingerprint_target` made of it."""

    target: str
    video_id: str
    fingerprint: Fingerprint


class Hits(NamedTuple):
    """Pairs of close hashes, sorted by query, then by row of the index; three arrays [H]."""

    query: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]


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


class TargetIndex:
    """Every target video's hashes. Never changes, so threads may search one index at once.

    The search is exhaustive, hence exact: about 3 ms for one query in a million rows on one core,
    and a frame of a target video is some 34 rows. Beyond ~10 million rows a look-up of candidates
    pays (multi-index hashing: 10 tables of 24 bits, one bit flipped, kept 98 % of the duplicates);
    it would replace `search` and nothing else, since its hits are all that the matching sees.
    """

    def __init__(self, rows: TargetRows) -> None:
        self._flat = faiss.IndexBinaryFlat(CODE_BITS)
        self._flat.add(rows.codes)
        self.rows = rows

    @classmethod
    def build(cls, videos: Iterable[TargetVideo]) -> "TargetIndex":
        """The index of these videos, the same in whatever order they come.

        Of the equal hashes of one video only one is kept: a still picture repeats itself.

        Raises:
            ValueError: two videos have the same target and video_id.
        """
        in_order = sorted(videos, key=lambda video: video[:2])
        names = tuple((video.target, video.video_id) for video in in_order)
        if len(set(names)) < len(names):
            twice = next(a for a, b in pairwise(names) if a == b)
            raise ValueError(f"target {twice[0]} holds the video {twice[1]} twice")
        used = {name for video in in_order for name in video.fingerprint.versions}
        variants = tuple(sorted(used, key=lambda name: (name != "full", name)))
        tables = [_unrepeated(video.fingerprint, variants) for video in in_order]
        sizes = [len(codes) for codes, _, _ in tables]
        return cls(
            TargetRows(
                codes=np.concatenate(
                    [np.empty((0, CODE_BYTES), np.uint8), *(t[0] for t in tables)]
                ),
                owner=np.repeat(np.arange(len(tables), dtype=np.int32), sizes),
                second=np.concatenate([np.empty(0, np.float32), *(t[1] for t in tables)]),
                variant=np.concatenate([np.empty(0, np.int16), *(t[2] for t in tables)]),
                videos=names,
                variants=variants,
            )
        )

    @classmethod
    def load(cls, path: str) -> "TargetIndex":
        """Read an index that `save` wrote.

        Raises:
            IndexFileError: the file is missing, cut short, altered or no target index.
        """
        try:
            with open(path, "rb") as file:
                header = file.read(_HEADER_BYTES)
                if not header.startswith(_MAGIC):
                    raise IndexFileError(f"{path}: not a target index")
                if header != _MAGIC + _digest(file) + b"\n":
                    raise IndexFileError(f"{path}: cut short or altered since it was written")
                file.seek(_HEADER_BYTES)
                with np.load(file, allow_pickle=False) as arrays:
                    return cls(_read_rows(arrays))
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise IndexFileError(f"{path}: cannot be read as a target index: {error}") from error

    def save(self, path: str) -> None:
        """Write one file: a line with a checksum, then an npz archive without pickles.

        Equal indexes give equal bytes. The file is not put in place atomically: that is for the
        caller, who knows where it is to be published.
        """
        names = json.dumps({"videos": self.rows.videos, "variants": self.rows.variants})
        columns = {name: getattr(self.rows, name) for name in _COLUMNS}
        with open(path, "w+b") as file:
            file.write(b" " * _HEADER_BYTES)
            np.savez(file, names=np.frombuffer(names.encode(), np.uint8), **columns)
            digest = _digest(file)
            file.seek(0)
            file.write(_MAGIC + digest + b"\n")

    def __len__(self) -> int:
        """How many hashes there are."""
        return len(self.rows.codes)

    def search(self, codes: Codes, radius: int) -> Hits:
        """Every hash within `radius` bits (inclusive) of each of the codes, uint8 [Q, 32]."""
        batch = min(max(_HITS_AT_ONCE // max(len(self), 1), 1), _MAX_QUERIES_AT_ONCE)
        found = [Hits(*(np.empty(0, np.int64) for _ in Hits._fields))]
        for start in range(0, len(codes), batch):
            some = np.ascontiguousarray(codes[start : start + batch])
            # FAISS returns distances *below* the radius it is given.
            ends, distances, rows = self._flat.range_search(some, radius + 1)
            query = np.repeat(np.arange(start, start + len(some)), np.diff(ends).astype(np.int64))
            order = np.lexsort((rows, query))
            found.append(Hits(query[order], rows[order], distances[order].astype(np.int64)))
        return Hits(*(np.concatenate(part) for part in zip(*found, strict=True)))


def _unrepeated(
    fingerprint: Fingerprint, variants: tuple[str, ...]
) -> tuple[Codes, Seconds, npt.NDArray[np.int16]]:
    """Different codes, their first second and variant, by variant and second."""
    position = {name: i for i, name in enumerate(variants)}
    variant = np.array([position[name] for name in fingerprint.versions], np.int16)
    # The code's own bytes come last, so that no tie is left to the order of the rows.
    keys = (*fingerprint.codes.T[::-1], fingerprint.seconds, variant)
    order = np.lexsort(keys)
    codes = fingerprint.codes[order]
    _, first = np.unique(codes, axis=0, return_index=True)
    first.sort()
    kept = order[first]
    return fingerprint.codes[kept], fingerprint.seconds[kept], variant[kept]


def _digest(file: BufferedReader | BufferedRandom) -> bytes:
    """SHA-256 of what follows the header, in hex."""
    file.seek(_HEADER_BYTES)
    return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _read_rows(arrays: Mapping[str, npt.NDArray[np.uint8]]) -> TargetRows:
    """The table in an archive; a matching checksum alone does not make it a sound one."""
    columns = {name: arrays[name] for name in _COLUMNS}
    count = len(columns["codes"])
    for name, (dtype, rest) in _COLUMNS.items():
        if columns[name].dtype != dtype or columns[name].shape != (count, *rest):
            raise ValueError(f"{name} is {columns[name].dtype} {columns[name].shape}")
    names = json.loads(arrays["names"].tobytes())
    videos = tuple((str(target), str(video_id)) for target, video_id in names["videos"])
    variants = tuple(str(name) for name in names["variants"])
    for name, limit in (("owner", len(videos)), ("variant", len(variants))):
        if count and not 0 <= columns[name].min() <= columns[name].max() < limit:
            raise ValueError(f"{name} points outside of its list")
    return TargetRows(
        codes=columns["codes"],
        owner=columns["owner"].astype(np.int32),
        second=columns["second"].astype(np.float32),
        variant=columns["variant"].astype(np.int16),
        videos=videos,
        variants=variants,
    )
