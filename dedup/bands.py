"""Close hashes inside one large set of videos: those that agree in a whole band of bits.

To compare n hashes with each other takes n^2 / 2 comparisons; of two that are compared here, one of
the `bands(width)` pieces that a hash is cut into is the same in both. That leaves 2^(8 * width - 1)
times fewer for each band, and of close hashes it loses those that differ in every band.

A mirrored picture costs no entry of its own. Mirroring turns the sign of the odd columns, so each
band has the hash turned to the side on which its second bit is 0: a picture and its mirror image
then share their bands, and their distance is that of the turned hashes.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.hashing import CODE_BYTES, Codes, mirrored_codes

NARROW, WIDE = 2, 3
MOST_NARROW = 4_000_000
"""Hashes up to which bands of 16 bits are affordable: ~120 of them share a band by chance then."""
WINDOW = 256
"""Of hashes with one band in common, each is compared with so many of those that follow it."""
ENOUGH = 8
"""Close hashes of other videos after which one is compared no further: they hold it already."""
_SECOND_BIT = 0x40

Words = npt.NDArray[np.uint64]


class Entries(NamedTuple):
    """Hashes that one worker compares where their bands are the same; arrays of E rows."""

    value: npt.NDArray[np.uint32]
    """The bits of the band."""
    codes: Codes
    """Turned to the band's side."""
    keys: Words
    """The video, uint64 [E, 2], so that tables of any size can be named."""


class ClosePairs(NamedTuple):
    """Different videos with close hashes, and what was left undone."""

    first: Words
    """[P, 2]; each pair once, the lower key first, sorted."""
    second: Words
    skipped: int
    """Comparisons that `WINDOW` and `ENOUGH` left out."""


def band_width(hashes: int) -> int:
    """How many bytes a band has in a set of so many hashes.

    >>> bands(band_width(1_000_000)), bands(band_width(2_300_000_000))
    (16, 10)
    """
    return NARROW if hashes <= MOST_NARROW else WIDE


def bands(width: int) -> int:
    """How many bands of so many bytes there are; what is left over at the end is in none."""
    return CODE_BYTES // width


def in_band(codes: Codes, band: int, width: int) -> tuple[npt.NDArray[np.uint32], Codes]:
    """The value of a band of each hash, uint32 [N], and the hashes turned to the band's side."""
    start = band * width
    turned = (codes[:, start] & _SECOND_BIT) != 0
    codes = np.where(turned[:, None], mirrored_codes(codes), codes)
    digits = codes[:, start : start + width].astype(np.uint32)
    return digits @ (256 ** np.arange(width - 1, -1, -1, dtype=np.uint32)), codes


def close_pairs(entries: Entries, radius: int) -> ClosePairs:
    """The videos with hashes that share a band and differ by at most `radius` bits.

    Where very many share one (black frames, one title before a million videos), it is not all with
    all: they are sorted by hash, and each is compared with the 256 that follow, until 8 were close.
    The same answer in whatever order the entries come. Memory is some 150 bytes an entry, and 32
    for each pair that is found, repeats included.
    """
    words = np.ascontiguousarray(entries.codes).view(">u8").astype(np.uint64)
    order = np.lexsort((*entries.keys.T[::-1], *words.T[::-1], entries.value))
    value, keys = entries.value[order], entries.keys[order]
    columns = [np.ascontiguousarray(column) for column in words[order].T]
    starts = np.flatnonzero(np.r_[True, value[1:] != value[:-1]]) if len(value) else order
    sizes = np.diff(np.r_[starts, len(value)])
    last = np.repeat(starts + sizes, sizes) - 1
    found, done, close = [np.empty((0, 4), np.uint64)], 0, np.zeros(len(value), np.int64)
    alive = np.flatnonzero(last > np.arange(len(value)))
    for step in range(1, WINDOW + 1):
        alive = alive[(alive + step <= last[alive]) & (close[alive] < ENOUGH)]
        if not len(alive):
            break
        done += len(alive)
        near = _near(columns, alive, step, radius)
        one, other = keys[near], keys[near + step]
        differ = (one != other).any(axis=1)
        close[near[differ]] += 1
        found.append(np.concatenate([one, other], axis=1)[differ])
    pairs = np.concatenate([_ordered(part) for part in found])
    pairs = np.unique(pairs, axis=0) if len(pairs) else pairs
    skipped = int((sizes * (sizes - 1) // 2).sum()) - done
    return ClosePairs(pairs[:, :2], pairs[:, 2:], skipped)


def _near(
    columns: list[Words], alive: npt.NDArray[np.int64], step: int, radius: int
) -> npt.NDArray[np.int64]:
    """Those of the rows that differ by few bits from the row `step` further on."""
    differing = np.zeros(len(alive), np.int64)
    # Most are out after two of the four words, so that the others need not be fetched.
    for words in columns:
        differing += np.bitwise_count(words[alive] ^ words[alive + step])
        within = differing <= radius
        alive, differing = alive[within], differing[within]
    return alive


def _ordered(pairs: Words) -> Words:
    """Each pair with its lower key first."""
    first, second = pairs[:, :2], pairs[:, 2:]
    higher = (first[:, 0] > second[:, 0]) | (
        (first[:, 0] == second[:, 0]) & (first[:, 1] > second[:, 1])
    )
    return np.where(higher[:, None], np.concatenate([second, first], axis=1), pairs)
