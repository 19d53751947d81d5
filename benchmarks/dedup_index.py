"""What it costs to fingerprint frames and to search a target index: two tables, one thread.

Run as `python -m benchmarks.dedup_index [ROWS]`; ROWS is about the size of the index (default
1,000,000). The second table compares ways of finding hashes within the widest distance of the
profile `aggressive`. Each source video shows 20 frames of one target video, altered by so many bits
each, that lie anywhere: real edits spoil some words and leave others, so they are found more
easily. All are compared on one index, whose bits hang together as those of real frames do.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import faiss
import numpy as np
import numpy.typing as npt

from dedup.fingerprint import fingerprint_target, fingerprint_video
from dedup.hashing import Codes
from dedup.index import TargetIndex, TargetVideo, open_index
from dedup.profiles import PROFILES

RADIUS = PROFILES["aggressive"].widest
SOURCES = 50
FRAMES = 20
FLIPPED = (31, 48, 64)
Search = Callable[[Codes], tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


class Planted(NamedTuple):
    """Codes of source videos and the target video that each of these shows."""

    codes: Codes
    owner: npt.NDArray[np.int64]


def main(rows: int) -> None:
    """Print the tables."""
    faiss.omp_set_num_threads(1)
    print_fingerprints(np.random.default_rng(0))
    with tempfile.TemporaryDirectory() as folder:
        print_searches(rows, folder)


def print_fingerprints(rng: np.random.Generator) -> None:
    """Microseconds a hash, with and without bars around the picture."""
    coarse = rng.integers(0, 256, (20, 32, 32), dtype=np.uint8)
    plain = coarse.repeat(4, axis=1).repeat(4, axis=2)
    barred = plain.copy()
    barred[:, :20] = barred[:, -20:] = 0
    seconds = np.arange(0, 10, 0.5, dtype=np.float32)
    print(f"{'what':44} {'microseconds':>12}")
    for name, frames in (("plain", plain), ("letterboxed", barred)):
        for kind in (fingerprint_video, fingerprint_target):
            count = len(kind(frames, seconds, width=340, height=256).versions)
            spent = cpu_s(lambda: kind(frames, seconds, width=340, height=256))  # noqa: B023
            print(f"{kind.__name__ + ', ' + name + ', per hash':44} {spent / count * 1e6:12.1f}")


def print_searches(rows: int, folder: str) -> None:
    """Codes a second, source videos found, and memory of each way to search."""
    videos = list(target_videos(rows))
    path = str(Path(folder) / "piece.index")
    spent = cpu_s(lambda: TargetIndex.build(videos, hashed=True).save(path), times=1)
    index = open_index(path)
    planted = {bits: plant(index, bits) for bits in FLIPPED}
    print(f"\n{len(index):,} hashes of {len(videos):,} videos; build and write {spent:.0f} s")
    found = "".join(f"{f'found at {bits}':>13}" for bits in FLIPPED)
    print(f"{'search':36} {'codes/s':>9}{found} {'bytes/hash':>11}")
    per_hash = Path(path).stat().st_size / len(index)
    flat = TargetIndex(index.rows)
    print_search("flat, mapped", of_index(flat), planted, index, 32)
    print_search("multi-index hashing, mapped", of_index(index), planted, index, per_hash)
    theirs = faiss.IndexBinaryFlat(256)
    theirs.add(index.rows.codes)
    print_search("faiss IndexBinaryFlat", of_faiss(theirs), planted, index, 32)
    before = resident_bytes()
    hashed = faiss.IndexBinaryMultiHash(256, 10, 24)
    hashed.nflip = 1
    hashed.add(index.rows.codes)
    grown = (resident_bytes() - before) / len(index)
    print_search("faiss MultiHash 10 x 24, 1 flip", of_faiss(hashed), planted, index, grown)


def print_search(
    name: str, search: Search, planted: dict[int, Planted], index: TargetIndex, per_hash: float
) -> None:
    """One line of the table; found is the share of source videos with a hit in their target."""
    shares, spent = [], 0.0
    search(next(iter(planted.values())).codes[:FRAMES])
    for codes, owner in planted.values():
        start = time.process_time()
        query, row = search(codes)
        spent += time.process_time() - start
        right = index.rows.owner[row] == owner[query // FRAMES]
        shares.append(len(np.unique(query[right] // FRAMES)) / SOURCES)
    found = "".join(f"{share:13.1%}" for share in shares)
    per_second = len(planted) * SOURCES * FRAMES / spent
    print(f"{name:36} {per_second:9,.0f}{found} {per_hash:11.0f}", flush=True)


def of_index(index: TargetIndex) -> Search:
    """Our search, as `find_all` calls it."""

    def search(codes: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        hits = index.search(codes, RADIUS, np.arange(len(codes)) // FRAMES)
        return hits.query, hits.row

    return search


def of_faiss(index: "faiss.IndexBinary") -> Search:
    """A search of FAISS's, as it comes."""

    def search(codes: Codes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        ends, _, rows = index.range_search(codes, RADIUS + 1)
        return np.repeat(np.arange(len(codes)), np.diff(ends).astype(np.int64)), rows

    return search


def plant(index: TargetIndex, bits: int) -> Planted:
    """Source videos, each of frames of one target video with so many bits flipped."""
    rng = np.random.default_rng(bits)
    owner = rng.integers(0, len(index.rows.videos), SOURCES)
    starts = index.rows.starts
    rows = np.concatenate([rng.integers(starts[o], starts[o + 1], FRAMES) for o in owner])
    flips = np.argsort(rng.random((len(rows), 256)), axis=1) < bits
    return Planted(index.rows.codes[rows] ^ np.packbits(flips, axis=1), owner)


def target_videos(rows: int) -> Iterator[TargetVideo]:
    """Videos of ten seconds, two drifting pictures blended, until there are so many hashes."""
    seconds = np.arange(0, 10, 0.5, dtype=np.float32)
    number = 0
    while rows > 0:
        rng = np.random.default_rng(number)
        below, above = picture(rng), picture(rng)
        shown = np.stack([below + np.roll(above, (t, 2 * t), (0, 1)) for t in range(len(seconds))])
        frames = np.clip(128 + 40 * shown, 0, 255).astype(np.uint8)
        fingerprint = fingerprint_target(frames, seconds, width=340, height=256)
        yield TargetVideo("made", f"{number:06d}", fingerprint)
        rows -= len(fingerprint.codes)
        number += 1


def picture(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """64 x 64 of noise whose amplitude falls as 1 / frequency, as that of photographs does."""
    frequency = np.hypot(np.fft.fftfreq(64)[:, None], np.fft.fftfreq(64)[None])
    frequency[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(64, 64))) / frequency).real
    return np.asarray(field / field.std())


def resident_bytes() -> int:
    """Memory of this process that is in RAM, mapped files left out."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def cpu_s(work: Callable[[], object], times: int = 5) -> float:
    """CPU seconds of the whole process for one call, best of several after one to warm up."""
    if times > 1:
        work()
    spent = []
    for _ in range(times):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        print("set OPENBLAS_NUM_THREADS=1: spinning BLAS threads count as CPU time")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
