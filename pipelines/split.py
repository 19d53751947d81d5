"""Stage split: labelled videos -> `clips/<split>/`, which seconds of which video (paper 4.3.1).

`all` holds every labelled video, or `max_videos` of them. Videos are chosen label by label in hash
order; one worker holds the (key, length) pairs of one label at a time.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import apache_beam as beam
import numpy as np
import pyarrow as pa

from formats.shards import digest_of
from formats.tables import ClipRow, LabelledRow, LabelRow, count_rows, from_batch, read_rows
from labelspace.sampling import random_subset, subset_order, tail_preserving_quotas
from labelspace.splits import LabelLengths, SplitRule, clip_span, length_class, plan_splits
from pipelines import label
from pipelines.batches import ReadTable, WriteRows, names, on_pairs, part_files
from pipelines.engine import Engine
from pipelines.options import Options, SplitOptions
from pipelines.run import Job, Outcome

TABLE = "clips"


def run(job: Job) -> Outcome:
    """Write the clips of every split."""
    quotas = label_quotas(job)

    def build(pipeline: beam.Pipeline) -> None:
        files = names(pipeline, part_files(job.path(label.TABLE)), "Labelled")
        clips = (
            files
            | "ReadLabelled" >> ReadTable(LabelledRow)
            | "KeyByLabel" >> beam.FlatMap(_by_label)
            | "GroupLabels" >> beam.GroupByKey()
            | "ChooseClips" >> beam.FlatMap(on_pairs(choose_clips, job.options, quotas))
        )
        for name in job.options.split.splits:
            _ = (
                clips
                | f"Take {name}" >> beam.FlatMap(partial(_of_split, name))
                | f"Write {name}"
                >> WriteRows(job.path(TABLE, name), ClipRow, job.options.run.buckets, ("clip_id",))
            )

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    counts = {
        name: sum(map(count_rows, part_files(job.path(TABLE, name))))
        for name in job.options.split.splits
    }
    return Outcome(counts)


def label_quotas(job: Job) -> dict[int, int] | None:
    """Videos of each label in `all`; None where every one is taken."""
    options = job.options.split
    counts = {
        f"{row.label_id:09d}": row.assigned for row in read_rows(job.path(label.SPACE), LabelRow)
    }
    if not 0 < options.max_videos < sum(counts.values()):
        return None
    if options.sampling == "random":
        return random_quotas(job)
    quotas = tail_preserving_quotas(counts, options.max_videos)
    return {int(number): quota for number, quota in quotas.items()}


def random_quotas(job: Job) -> dict[int, int]:
    """Videos of each label among the `max_videos` first of all in hash order.

    Holds 16 bytes per labelled video. Within a label the clips are taken in the same order, so the
    quotas are all that the workers need to know.
    """
    seed, ids, orders = job.options.run.rng_seed, [], []
    for file in part_files(job.path(label.TABLE)):
        for row in read_rows(file, LabelledRow):
            ids.append(row.label_id)
            orders.append(subset_order(row.row_key, rng_seed=seed))
    first = np.argsort(np.array(orders, np.uint64), kind="stable")[: job.options.split.max_videos]
    labels, counts = np.unique(np.array(ids)[first], return_counts=True)
    return dict.fromkeys(ids, 0) | dict(zip(labels.tolist(), counts.tolist(), strict=True))


def choose_clips(
    _label_id: int,
    batches: Iterable[pa.RecordBatch],
    options: Options,
    quotas: Mapping[int, int] | None,
) -> Iterator[tuple[str, ClipRow]]:
    """Yield (split, clip) of one label's videos."""
    rows = {row.row_key: row for batch in batches for row in from_batch(batch, LabelledRow)}
    rng_seed, split = options.run.rng_seed, options.split
    rule = split_rule(options.split)
    quota = len(rows) if quotas is None else quotas[_label_id]
    chosen = {"all": random_subset(rows, quota, rng_seed=rng_seed)}
    chosen |= choose_temporal({key: row.duration_s for key, row in rows.items()}, options)
    for name in split.splits:
        for key in chosen[name]:
            span = clip_span(name, rows[key].duration_s, rule)
            if span is not None:
                yield name, to_clip(rows[key], name, span)


def choose_temporal(lengths_s: Mapping[str, float], options: Options) -> dict[str, list[str]]:
    """The videos of one label, given as key -> seconds, in `short`, `long` and `long_center`.

    Quotas of one label do not depend on another's, so they are planned where its videos are.
    """
    rule = split_rule(options.split)
    by_class: dict[str, list[str]] = {"short": [], "long": []}
    for key, seconds in sorted(lengths_s.items()):
        name = length_class(seconds, rule)
        if name is not None:
            by_class[name].append(key)
    milliseconds = {
        name: sum(round(1000 * lengths_s[key]) for key in keys) for name, keys in by_class.items()
    }
    have = LabelLengths(
        len(by_class["short"]), len(by_class["long"]), milliseconds["short"], milliseconds["long"]
    )
    plan = plan_splits({"": have}, rule, budget=options.split.budget)
    return {
        name: random_subset(
            by_class[name.removesuffix("_center")],
            sum(quota.of(name) for quota in plan.quotas),
            rng_seed=options.run.rng_seed,
        )
        for name in ("short", "long", "long_center")
    }


def split_rule(options: SplitOptions) -> SplitRule:
    """The bounds of the temporal splits."""
    (short_from, short_to), (long_from, long_to) = options.short_s, options.long_s
    return SplitRule((short_from, short_to), (long_from, long_to), options.center_s)


def to_clip(row: LabelledRow, split: str, span_s: tuple[float, float]) -> ClipRow:
    """A video's clip in a split; its id depends on the video, the split and the seconds alone."""
    start_s, end_s = round(span_s[0], 6), round(span_s[1], 6)
    clip_id = digest_of(row.row_key, split, start_s, end_s)[:32]
    return ClipRow(clip_id, row.row_key, row.video_id, row.label_id, start_s, end_s, row.repeats)


def _by_label(batch: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
    ids = batch.column("label_id").to_numpy()
    for label_id in sorted(set(ids.tolist())):
        yield label_id, batch.filter(pa.array(ids == label_id))


def _of_split(name: str, clip: tuple[str, ClipRow]) -> Iterator[ClipRow]:
    if clip[0] == name:
        yield clip[1]
