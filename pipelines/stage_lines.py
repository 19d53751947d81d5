"""What the terminal is told after a stage, beside its counts."""

import importlib
from collections.abc import Iterator

from pipelines.run import Job, StageRecord, read_record


def lines_after(job: Job, record: StageRecord) -> Iterator[str]:
    """What a stage that has just run came to, where its counts do not say it."""
    if record.stage == "fetch":
        yields = importlib.import_module("pipelines.yields")
        yield yields.describe(yields.read_yields(job.path(yields.YIELD)))
    if record.stage == "split":
        empty = importlib.import_module("pipelines.reporting.empty_splits")
        reason = empty.why_empty(str(job.out), record.counts, job.options.split)
        yield from [reason] if reason else []


def too_few_matches(job: Job) -> str | None:
    """Why the stage label must fail whatever is fetched, once match is done; None if it need not.

    Only asked for until there are labels: on a large catalog the answer takes a while.
    """
    if read_record("label", job.out) is not None:
        return None
    summary = importlib.import_module("pipelines.reporting.summary")
    least = job.options.label.min_videos
    ((label, count),) = summary.matched_labels(str(job.out)).most_common(1) or [("none", 0)]
    if count >= least:
        return None
    return (
        f"no label can have label.min_videos = {least:,} videos: the largest, {label!r}, has "
        f'{count:,} in the catalog; lower it (SET="label.min_videos={min(5, max(1, count))}") or '
        "bring a larger catalog"
    )
