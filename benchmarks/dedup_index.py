"""What it costs to fingerprint frames and to search a target index: one table, one thread.

Run as `python -m benchmarks.dedup_index [ROWS]`; ROWS is the size of the index (default 1,000,000).
"""

import os
import sys
import time
from collections.abc import Callable

import faiss
import numpy as np

from dedup.fingerprint import fingerprint_target, fingerprint_video
from dedup.index import TargetIndex, TargetRows

QUERIES = 256


def main(rows: int) -> None:
    """Print the table."""
    faiss.omp_set_num_threads(1)
    rng = np.random.default_rng(0)
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
    index = random_index(rows, rng)
    queries = rng.integers(0, 256, (QUERIES, 32), dtype=np.uint8)
    spent = cpu_s(lambda: index.search(queries, 72))
    print(f"{f'search of {rows:,} rows within 72, per query':44} {spent / QUERIES * 1e6:12.1f}")


def random_index(rows: int, rng: np.random.Generator) -> TargetIndex:
    """An index of random codes, all of one video."""
    return TargetIndex(
        TargetRows(
            codes=rng.integers(0, 256, (rows, 32), dtype=np.uint8),
            owner=np.zeros(rows, np.int32),
            second=np.zeros(rows, np.float32),
            variant=np.zeros(rows, np.int16),
            videos=(("random", "0"),),
            variants=("full",),
        )
    )


def cpu_s(work: Callable[[], object]) -> float:
    """CPU seconds of the whole process for one call, best of five after one to warm up."""
    work()
    spent = []
    for _ in range(5):
        start = time.process_time()
        work()
        spent.append(time.process_time() - start)
    return min(spent)


if __name__ == "__main__":
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        print("set OPENBLAS_NUM_THREADS=1: spinning BLAS threads count as CPU time")
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
