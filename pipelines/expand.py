"""Stage expand: seed labels -> `hashtags.parquet`, every hashtag that people may write for them."""

import apache_beam as beam

from formats.tables import HashtagRow, write_rows
from labelspace.expansion import expand_seeds
from labelspace.seeds import load_seeds
from pipelines.batches import read_counts, write_json
from pipelines.engine import Engine
from pipelines.options import ExpandOptions
from pipelines.run import Job, JobError, Outcome

TABLE = "hashtags.parquet"
COUNTS = "hashtags.json"


def run(job: Job) -> Outcome:
    """Write the hashtags of the job's seed set.

    Raises:
        JobError: no hashtag is left after `min_hashtag_length` and `blocklist`.
    """

    def build(pipeline: beam.Pipeline) -> None:
        seeds = pipeline | "NameSeeds" >> beam.Create([job.seed], reshuffle=False)
        _ = seeds | "Expand" >> ExpandSeeds(job.path(), job.options.expand)

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    counts = read_counts(job.path(COUNTS))
    if not counts["hashtags"]:
        raise JobError(f"seed set {job.seed!r} leaves no hashtag; loosen [expand]")
    return Outcome(dict(counts))


class ExpandSeeds(beam.PTransform):
    """Name of a seed set -> name of its table of hashtags."""

    def __init__(self, out: str, options: ExpandOptions) -> None:
        self.out = out
        self.options = options

    def expand(self, seeds: beam.PCollection[str]) -> beam.PCollection[str]:
        return seeds | "WriteHashtags" >> beam.Map(write_hashtags, self.out, self.options)


def write_hashtags(seed: str, out: str, options: ExpandOptions) -> str:
    """Write the seed set's hashtags, sorted, and the counts; return the table's path."""
    expansion = expand_seeds(
        load_seeds(seed),
        forms=options.forms,
        max_hashtags=options.max_hashtags_per_label,
        min_length=options.min_hashtag_length,
        blocklist=options.blocklist,
    )
    path = f"{out}/{TABLE}"
    write_rows(path, (HashtagRow(*row) for row in expansion.rows), HashtagRow)
    counts = {
        "labels": len({row.label for row in expansion.rows}),
        "hashtags": len({row.hashtag for row in expansion.rows}),
        "shared": len(expansion.collisions),
        "labels_truncated": len(expansion.truncated),
        "labels_without": len(expansion.without_hashtags),
    }
    write_json(counts, f"{out}/{COUNTS}")
    return path
