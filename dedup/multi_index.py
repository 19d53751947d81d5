"""Multi-index hashing: hashes that agree in a piece of their bits, found without comparing all.

A hash is cut into 10 words of 24 bits in their natural order (errors cluster, so a shuffle of the
bits would spoil more words; the last 16 bits are in none). Each word has a table of the rows that
carry it, and a query looks up its own word and those with one bit flipped: 250 look-ups (Norouzi,
Punjani and Fleet, CVPR 2012, with fewer flips than exactness asks for). Whoever is found is only a
candidate.

A table is four plain arrays, so that it can be mapped from a file: a bit for each of the 2^24 words
says whether any row carries it, which is all that most look-ups read.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.hashing import Codes

TABLES = 10
_WORD_BITS = 24
_WORD_BYTES = _WORD_BITS // 8
_BLOCKS = 2**_WORD_BITS // 64
_PAIRS_AT_ONCE = 2**18
"""Candidates compared at a time: at ~100 bytes each, 25 MB."""
_FLIPS = np.concatenate([[0], 1 << np.arange(_WORD_BITS)]).astype(np.uint32)


class Table(NamedTuple):
    """The rows that carry each word: `rows[starts[i]:starts[i + 1]]` for the i-th word in use."""

    used: npt.NDArray[np.uint64]
    """[2^18]: bit w % 64 of entry w // 64 says whether word w is in use."""
    before: npt.NDArray[np.uint32]
    """[2^18]: how many words in use come before each entry's."""
    starts: npt.NDArray[np.uint32]
    rows: npt.NDArray[np.uint32]


class Pairs(NamedTuple):
    """Positions of queries and of rows, [P] each."""

    query: npt.NDArray[np.int64]
    row: npt.NDArray[np.int64]


def build_table(codes: Codes, number: int) -> Table:
    """The table of the hashes' word `number`, 0..9; rows of one word are in ascending order."""
    keys = _words(codes, number).astype(np.uint64) << np.uint64(32)
    keys |= np.arange(len(codes), dtype=np.uint64)
    keys.sort()
    words = (keys >> np.uint64(32)).astype(np.uint32)
    firsts = np.flatnonzero(np.append(True, words[1:] != words[:-1])[: len(words)])
    bits = np.zeros(2**_WORD_BITS, np.bool_)
    bits[words[firsts]] = True
    used = np.packbits(bits, bitorder="little").view(np.uint64)
    starts = np.append(firsts, len(codes)).astype(np.uint32)
    return Table(used, _counts_before(used), starts, keys.astype(np.uint32))


def check_table(table: Table, rows: int) -> None:
    """Refuse a table that would look outside of itself or of an index of so many rows.

    Raises:
        ValueError: it would.
    """
    words = int(np.bitwise_count(table.used).sum())
    if not np.array_equal(table.before, _counts_before(table.used)):
        raise ValueError("a table's counts of words are wrong")
    if len(table.starts) != words + 1 or table.starts[0] != 0 or table.starts[-1] != rows:
        raise ValueError("a table's rows begin or end elsewhere than its words say")
    if (table.starts[1:] < table.starts[:-1]).any() or (rows and table.rows.max() >= rows):
        raise ValueError("a table points outside of the index")


def candidates(tables: Sequence[Table], codes: Codes) -> Iterator[Pairs]:
    """Yield pairs of hashes that share a word up to one bit, some at a time, some repeatedly."""
    for number, table in enumerate(tables):
        query, starts, counts = _look_up(table, _words(codes, number))
        ends = np.cumsum(counts)
        done = 0
        while done < len(counts):
            before = int(ends[done - 1]) if done else 0
            stop = max(int(np.searchsorted(ends, before + _PAIRS_AT_ONCE, "right")), done + 1)
            some = slice(done, stop)
            yield _pairs(table, query[some], starts[some], counts[some])
            done = stop


def _look_up(
    table: Table, words: npt.NDArray[np.uint32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where the rows of each query's words begin and how many there are, for words in use."""
    wanted = (words[:, None] ^ _FLIPS).ravel()
    block, bit = wanted >> np.uint32(6), (wanted & np.uint32(63)).astype(np.uint64)
    used = np.take(table.used, block)
    hit = np.flatnonzero((used >> bit) & np.uint64(1))
    below = (np.uint64(1) << bit[hit]) - np.uint64(1)
    word = np.take(table.before, block[hit]) + np.bitwise_count(used[hit] & below)
    starts = np.take(table.starts, word).astype(np.int64)
    return hit // len(_FLIPS), starts, np.take(table.starts, word + 1) - starts


def _pairs(
    table: Table,
    query: npt.NDArray[np.int64],
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
) -> Pairs:
    ends = np.cumsum(counts)
    places = np.arange(ends[-1]) + np.repeat(starts - (ends - counts), counts)
    return Pairs(np.repeat(query, counts), np.take(table.rows, places).astype(np.int64))


def _words(codes: Codes, number: int) -> npt.NDArray[np.uint32]:
    first, second, third = codes.T[number * _WORD_BYTES : (number + 1) * _WORD_BYTES].astype("<u4")
    return np.asarray(first << 16 | second << 8 | third)


def _counts_before(used: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint32]:
    counts = np.bitwise_count(used)
    return (np.cumsum(counts, dtype=np.uint32) - counts).astype(np.uint32)
