"""Exhaustive search by Hamming distance: every pair is compared, so nothing is missed."""

from collections.abc import Sequence
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from dedup.hashing import CODE_BYTES, Codes

_PAIRS_AT_ONCE = 2**24
"""Most hits that one call of FAISS may return: at 12 bytes each, 200 MB."""
_MAX_QUERIES_AT_ONCE = 256


class Hits(NamedTuple):
    """Pairs of close hashes, sorted by query, then by row of the index; three arrays [H]."""

    query: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]
    distance: npt.NDArray[np.int64]

    def moved(self, queries: slice, rows: slice) -> "Hits":
        """The hits as seen from the whole that these queries and rows were cut from."""
        return Hits(self.query + queries.start, self.row + rows.start, self.distance)


def search_flat(queries: Codes, codes: Codes, radius: int) -> Hits:
    """All pairs within the radius. FAISS compares the codes where they lie: nothing is copied."""
    # A setting of this thread: there is a worker for each core, and FAISS's own threads spin.
    faiss.omp_set_num_threads(1)
    batch = min(max(_PAIRS_AT_ONCE // max(len(codes), 1), 1), _MAX_QUERIES_AT_ONCE)
    found = []
    for start in range(0, len(queries) if len(codes) else 0, batch):
        some = queries[start : start + batch]
        result = faiss.RangeSearchResult(len(some))
        # FAISS returns distances *below* the radius it is given.
        faiss.hamming_range_search(  # type: ignore[attr-defined]
            faiss.swig_ptr(some),
            faiss.swig_ptr(codes),
            len(some),
            len(codes),
            radius + 1,
            CODE_BYTES,
            result,
        )
        ends = faiss.rev_swig_ptr(result.lims, len(some) + 1).astype(np.int64)
        count = int(ends[-1])
        rows = faiss.rev_swig_ptr(result.labels, count).astype(np.int64)
        distances = faiss.rev_swig_ptr(result.distances, count).astype(np.int64)
        query = np.repeat(np.arange(start, start + len(some)), np.diff(ends))
        order = np.lexsort((rows, query))
        found.append(Hits(query[order], rows[order], distances[order]))
    return join_hits(found)


def join_hits(found: Sequence[Hits]) -> Hits:
    """One after the other; none if there are none."""
    empty = Hits(*(np.empty(0, np.int64) for _ in Hits._fields))
    return Hits(*(np.concatenate(part) for part in zip(empty, *found, strict=True)))
