"""How fast posts are matched: exact look-up (kinetics) and split look-up (verb_noun).

Run: python benchmarks/match.py [posts]
"""

import sys
import time

import numpy as np
import pyarrow as pa

from labelspace.expansion import expand_seeds
from labelspace.matching import LabelMatcher
from labelspace.seeds import load_seeds

POSTS_PER_BATCH = 65_536
TAGS_PER_POST = 5


def main() -> None:
    """Print one table: posts per CPU second, matching share, distinct hashtags per batch."""
    posts = int(sys.argv[1]) if len(sys.argv) > 1 else 500_000
    sys.stdout.write("seeds      distinct/batch  matching  posts/s/core\n")
    for name in ("kinetics", "verb", "noun", "verb_noun"):
        rows = expand_seeds(load_seeds(name)).rows
        matcher = LabelMatcher(rows)
        known = [row.hashtag for row in rows if row.role in ("label", "verb")]
        nouns = [row.hashtag for row in rows if row.role == "noun"]
        if nouns:
            known = [verb + nouns[i * 7 % len(nouns)] for i, verb in enumerate(known)]
        for vocabulary in (30_000, 10_000_000):
            batches = list(_batches(posts, known, vocabulary))
            matching = sum(matcher.match_lists(batch).num_rows for batch in batches[:1])
            start = time.process_time()
            for batch in batches:
                matcher.match_lists(batch)
            rate = posts / (time.process_time() - start)
            distinct = len(batches[0].flatten().unique())
            share = matching / len(batches[0])
            sys.stdout.write(f"{name:10} {distinct:14} {share:9.3f} {rate:13,.0f}\n")


def _batches(posts: int, known: list[str], vocabulary: int) -> list[pa.ListArray]:
    """Posts of five hashtags: one in ten of `known`, the rest Zipf-distributed made-up words."""
    generator = np.random.default_rng(0)
    batches = []
    for start in range(0, posts, POSTS_PER_BATCH):
        size = min(POSTS_PER_BATCH, posts - start)
        ranks = (vocabulary ** generator.random(size * TAGS_PER_POST)).astype(np.int64)
        tags = [f"Tag_{rank * 2654435761 % 4294967296:x}" for rank in ranks]
        for i in np.flatnonzero(generator.random(len(tags)) < 0.1):
            tags[i] = known[ranks[i] % len(known)]
        offsets = pa.array(range(0, len(tags) + 1, TAGS_PER_POST), type=pa.int32())
        batches.append(pa.ListArray.from_arrays(offsets, pa.array(tags)))
    return batches


if __name__ == "__main__":
    main()
