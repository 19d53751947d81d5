"""The hashes of all target videos, searchable by Hamming distance."""

from collections.abc import Iterable
from dataclasses import dataclass
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

    The search is exhaustive, hence exact: about 1e9 comparisons a second and core. Beyond some
    millions of rows, candidates from `dedup.words` are cheaper; they fit behind `search`.
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
            twice = next(a for a, b in zip(names, names[1:], strict=False) if a == b)
            raise ValueError(f"target {twice[0]} holds the video {twice[1]} twice")
        used = {name for video in in_order for name in video.fingerprint.versions}
        variants = tuple(sorted(used, key=lambda name: (name != "full", name)))
        tables = [_unrepeated(video.fingerprint, variants) for video in in_order]
        return cls(
            TargetRows(
                codes=np.concatenate(
                    [np.empty((0, CODE_BYTES), np.uint8), *(t[0] for t in tables)]
                ),
                owner=np.repeat(
                    np.arange(len(tables), dtype=np.int32), [len(t[0]) for t in tables]
                ),
                second=np.concatenate([np.empty(0, np.float32), *(t[1] for t in tables)]),
                variant=np.concatenate([np.empty(0, np.int16), *(t[2] for t in tables)]),
                videos=names,
                variants=variants,
            )
        )

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
            query = np.repeat(np.arange(start, start + len(some)), np.diff(ends.astype(np.int64)))
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
