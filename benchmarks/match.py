"""What matching costs: the whole stage and its peak memory, beside the same join in DuckDB.

Run: python -m benchmarks.match [POSTS ...]      (default 500000 5000000; needs the extra `bench`)

Posts are generated: five hashtags each, Zipf-distributed over 100,000 made-up ones, one in fifty a
relevant one. Both sides read the catalog's Parquet, fold the hashtags, look them up and write one
row per matching post with its labels. CPU is that of a process of its own, less the same
process on a catalog of one post; memory is the peak of that process.
"""

import importlib
import json
import resource
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from formats.tables import HashtagRow, write_rows
from labelspace.expansion import expand_seeds
from labelspace.matching import LabelMatcher
from labelspace.seeds import load_seeds

TAGS_PER_POST = 5
VOCABULARY = 100_000
ROWS_PER_GROUP = 131_072
SQL = """
SET threads = 1;
COPY (
  WITH tags AS (
    SELECT video_id, uri, unnest(hashtags) AS tag FROM read_parquet('{catalog}')
  )
  SELECT video_id, uri, list(DISTINCT label), list(DISTINCT hashtag)
  FROM tags JOIN read_parquet('{hashtags}')
    ON regexp_replace(lower(tag), '[_# ]+', '', 'g') = hashtag
  GROUP BY video_id, uri ORDER BY uri
) TO '{out}' (FORMAT parquet, COMPRESSION zstd);
"""


def main(sizes: list[int]) -> None:
    """Print one table for the stage and one for the split look-up of verb_noun."""
    print(f"{'posts':>10} {'side':8} {'CPU s':>7} {'posts/s/core':>13} {'peak MiB':>9}")
    with tempfile.TemporaryDirectory() as folder:
        hashtags = write_hashtags(folder)
        least = {side: cost(side, write_catalog(folder, 1), hashtags)[0] for side in SIDES}
        for posts in sizes:
            catalog = write_catalog(folder, posts)
            spent = {}
            for side in SIDES:
                cpu, peak = cost(side, catalog, hashtags)
                spent[side] = cpu - least[side]
                rate = posts / spent[side]
                print(f"{posts:10,} {side:8} {spent[side]:7.2f} {rate:13,.0f} {peak:9.0f}")
            ratio = spent["tagreel"] / spent["duckdb"]
            print(f"{posts:10,} tagreel/duckdb {ratio:.2f}")
    split_rate()


SIDES = ("tagreel", "duckdb")


def cost(side: str, catalog: str, hashtags: str) -> tuple[float, float]:
    """CPU seconds and peak MiB of one side in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.match", "--side", side, catalog, hashtags]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu, peak = json.loads(done.stdout.splitlines()[-1])
    return cpu, peak


def run_side(side: str, catalog: str, hashtags: str) -> None:
    """Do one side's work and print what this process spent."""
    with tempfile.TemporaryDirectory() as out:
        if side == "duckdb":
            duckdb = importlib.import_module("duckdb")
            duckdb.sql(SQL.format(catalog=catalog, hashtags=hashtags, out=f"{out}/m.parquet"))
        else:
            run_stage(catalog, hashtags, out)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps([used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))


def run_stage(catalog: str, hashtags: str, out: str) -> None:
    """The stage match on one worker."""
    # Imported only in the child that runs it: the other side must not pay for Beam.
    match, options, run = (
        importlib.import_module(f"pipelines.{n}") for n in ("match", "options", "run")
    )
    Path(out, "hashtags.parquet").symlink_to(hashtags)
    settings = options.Options(run=options.RunOptions(workers=1))
    match.prepare(run.Job(Path(out), "kinetics", settings, catalog))()


def write_hashtags(folder: str) -> str:
    """The hashtags of the Kinetics labels as a table."""
    path = f"{folder}/hashtags.parquet"
    rows = expand_seeds(load_seeds("kinetics")).rows
    write_rows(path, (HashtagRow(*row) for row in rows), HashtagRow)
    return path


def write_catalog(folder: str, posts: int) -> str:
    """A Parquet catalog of that many posts, a row group in memory at a time."""
    path = f"{folder}/catalog-{posts}.parquet"
    rng = np.random.default_rng(0)
    known = [row.hashtag for row in expand_seeds(load_seeds("kinetics")).rows]
    made_up = [f"Tag_{rank * 2654435761 % 4294967296:x}" for rank in range(VOCABULARY)]
    words = pa.array(made_up + known)
    schema = pa.schema(
        [
            ("video_id", pa.string()),
            ("uri", pa.string()),
            ("hashtags", pa.list_(pa.string())),
            ("uploader", pa.string()),
        ]
    )
    with pq.ParquetWriter(path, schema) as writer:
        for start in range(0, posts, ROWS_PER_GROUP):
            size = min(ROWS_PER_GROUP, posts - start)
            ranks = (VOCABULARY ** rng.random(size * TAGS_PER_POST)).astype(np.int64) - 1
            relevant = rng.random(len(ranks)) < 0.1 / TAGS_PER_POST
            ranks[relevant] = VOCABULARY + rng.integers(0, len(known), relevant.sum())
            if posts == 1:
                ranks[0] = VOCABULARY
            offsets = pa.array(np.arange(0, len(ranks) + 1, TAGS_PER_POST, dtype=np.int32))
            lists = pa.ListArray.from_arrays(offsets, words.take(pa.array(ranks)))
            ids = pa.array([f"v{number}" for number in range(start, start + size)])
            numbers = range(start, start + size)
            uris = pa.array([f"https://example.org/videos/{number}.mp4" for number in numbers])
            users = pa.array([f"@user{number % 9973}" for number in numbers])
            writer.write_batch(pa.record_batch([ids, uris, lists, users], schema=schema))
    return path


def split_rate() -> None:
    """Distinct verb+noun hashtags split per second, and what the tables take."""
    rows = expand_seeds(load_seeds("verb_noun")).rows
    tracemalloc.start()
    matcher = LabelMatcher(rows)
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    verbs = [row.hashtag for row in rows if row.role == "verb"]
    nouns = [row.hashtag for row in rows if row.role == "noun"]
    rng = np.random.default_rng(0)
    tags = {f"Tag_{number:x}" for number in rng.integers(0, 2**32, 900_000).tolist()}
    tags |= {verbs[i % len(verbs)] + nouns[i * 7 % len(nouns)] for i in range(100_000)}
    batch = pa.array([[tag] for tag in sorted(tags)], pa.list_(pa.string()))
    start = time.process_time()
    pieces = (batch.slice(first, 32_768) for first in range(0, len(batch), 32_768))
    found = sum(matcher.match_lists(piece).num_rows for piece in pieces)
    rate = len(tags) / (time.process_time() - start)
    print(
        f"\nverb_noun: {rate:,.0f} distinct hashtags/s/core, {found / len(tags):.0%} of them "
        f"relevant, peak {peak:,.0f} MiB of Python objects for its tables"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        run_side(*sys.argv[2:])
    else:
        main([int(word) for word in sys.argv[1:]] or [500_000, 5_000_000])
