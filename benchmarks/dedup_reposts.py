"""What it costs to look for re-posts inside a source: one table, on one core.

Run as `python -m benchmarks.dedup_reposts [VIDEOS]`; VIDEOS (default 100,000) are synthetic: of 20
frames in two scenes, three of four with bars, and one in twenty a noisy copy of another.
"""

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from formats.tables import RepostRow, VideoRow, part_files, read_rows, write_rows
from pipelines.options import DeduplicateOptions, Options, RunOptions
from pipelines.reposting.repost_pairs import find_candidates
from pipelines.reposts import TABLE, count_reposts, write_reposts
from pipelines.run import Job

FRAMES, COPY_EVERY, PART = 20, 20, 2000
NOISE = 10
"""Bits of 256 that a copy's hash, or the next frame's, differs in."""


def main(videos: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        options = Options(
            run=RunOptions(workers=1), deduplicate=DeduplicateOptions(reposts=True, decoys=False)
        )
        job = Job(Path(folder), "kinetics", options)
        hashes = write_videos(job, videos)
        print(f"{videos:,} videos, {hashes:,} hashes")
        print(f"{'what':24} {'CPU s':>8} {'videos/s':>10} {'hashes/s':>10} {'peak MB':>8}")
        bits = options.deduplicate.repost_bits
        report("pairs", lambda: find_candidates(job, f"{folder}/pairs", bits), videos, hashes)
        report("pairs, vote and choice", lambda: write_reposts(job, "duplicates"), videos, hashes)
        found = {
            row.row_key
            for file in part_files(job.path(TABLE))
            for row in read_rows(file, RepostRow)
        }
        copies = videos // COPY_EVERY
        print(f"{len(found):,} of {copies:,} copies found; {count_reposts(job)}")


def report(name: str, work: object, videos: int, hashes: int) -> None:
    """Run and print one row."""
    start = time.process_time()
    work()  # type: ignore[operator]
    spent = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{name:24} {spent:8.1f} {videos / spent:10,.0f} {hashes / spent:10,.0f} {peak:8,.0f}")


def write_videos(job: Job, videos: int) -> int:
    """Write parts of `videos/`; return how many hashes they hold."""
    hashes = 0
    for start in range(0, videos, PART):
        rows = list(make_videos(start, min(start + PART, videos)))
        hashes += sum(len(row.fingerprint) for row in rows)
        write_rows(job.path("videos", f"part-{start:08d}.parquet"), rows, VideoRow)
    return hashes


def make_videos(start: int, stop: int) -> Iterator[VideoRow]:
    """Yield the videos of these numbers, the same whatever else is made."""
    seconds = tuple(np.arange(FRAMES, dtype=np.float32).tolist())
    for number in range(start, stop):
        rng = np.random.default_rng(number)
        codes = scenes(number - 1 if number % COPY_EVERY == 0 and number else number)
        if number % COPY_EVERY == 0:
            codes = codes ^ noise(rng, len(codes))
        versions = ("raw",) * FRAMES + ("stripped",) * (len(codes) - FRAMES)
        yield VideoRow(
            f"{rng.bytes(16).hex()}",
            str(number),
            "stored",
            duration_s=FRAMES / 2,
            width=227,
            height=128,
            fingerprint=tuple(code.tobytes() for code in codes),
            seconds=(seconds * 2)[: len(codes)],
            versions=versions,
        )


def scenes(number: int) -> np.ndarray:
    """The hashes of a video: in each scene a frame differs from the one before by a few bits."""
    rng = np.random.default_rng([number, 1])
    versions = 1 + (number % 4 > 0)
    codes = rng.integers(0, 256, (versions, 2, 1, 32), dtype=np.uint8)
    steps = noise(rng, versions * FRAMES).reshape(versions, 2, FRAMES // 2, 32)
    return (codes ^ np.bitwise_xor.accumulate(steps, axis=2)).reshape(-1, 32)


def noise(rng: np.random.Generator, count: int) -> np.ndarray:
    """So many masks of a few wrong bits."""
    wrong = rng.random((count, 256)) < NOISE / 256
    return np.packbits(wrong, axis=1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
