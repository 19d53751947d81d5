"""Stage expand: seed labels -> `hashtags.parquet`, every hashtag that people may write for them."""

import json
import sys
from collections.abc import Mapping
from functools import partial

import apache_beam as beam

from formats.storage import write_text
from formats.tables import HashtagRow, write_rows
from labelspace.expansion import Expansion, expand_seeds
from labelspace.hashtags import expand_label, word_tools
from labelspace.seeds import load_seeds
from pipelines.batches import read_counts, write_json
from pipelines.engine import Engine
from pipelines.options import ExpandOptions
from pipelines.run import Job, JobError, Outcome

TABLE = "hashtags.parquet"
COUNTS = "hashtags.json"
FINDINGS = "expansion.json"


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
    _say_what_was_cut(counts, job)
    return Outcome(dict(counts))


def _say_what_was_cut(counts: Mapping[str, int], job: Job) -> None:
    most = job.options.expand.max_hashtags_per_label
    said = {
        "labels_truncated": f"have more than expand.max_hashtags_per_label = {most:,} spellings",
        "labels_without": "have no hashtag that is long enough and not blocked",
    }
    for name, what in said.items():
        if counts[name]:
            text = f"{counts[name]:,} labels {what}: {job.path(FINDINGS)} names them"
            sys.stderr.write(text + "\n")


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
        load_seeds(seed, options.verbnet),
        expand_phrase=partial(
            expand_label,
            forms=options.forms,
            max_hashtags=options.max_hashtags_per_label,
            keep_parentheses=options.parentheses == "keep",
        ),
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
    write_text(f"{out}/{FINDINGS}", describe_expansion(expansion))
    return path


def describe_expansion(expansion: Expansion) -> str:
    """What a person should look at, as JSON: shared hashtags, labels cut short, labels without."""
    findings = {
        "tools": word_tools(),
        "collisions": dict(expansion.collisions),
        "truncated": {
            cut.label: {"hashtags": len(cut.hashtags), "choices": cut.choices}
            for cut in expansion.truncated
        },
        "without_hashtags": expansion.without_hashtags,
    }
    return json.dumps(findings, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
