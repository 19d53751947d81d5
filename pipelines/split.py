"""Stage split: labelled videos -> `clips/<split>/`, which seconds of which video (paper 4.3.1).

`all` holds every labelled video, or `max_videos` of them; `short`, `long` and `long_center` hold
the same labels, with equally many videos (F1) or minutes (F2) of each. Which videos: the first in
hash order, found by thresholds (see `selection`): no worker holds a label and nothing is sorted.
Memory grows with the labels. `quotas.parquet` says what each label has, what of it was taken, and
what kept it from more.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms import combiners

from formats.shards import digest_of
from formats.tables import (
    ClipRow,
    LabelledRow,
    LabelRow,
    SplitQuotaRow,
    count_rows,
    read_batches,
    read_rows,
    schema_of,
    write_rows,
)
from labelspace.sampling import subset_order, tail_preserving_quotas
from labelspace.splits import LabelLengths, SplitRule, clip_span, length_class, plan_splits
from pipelines import label
from pipelines.batches import ReadTable, WriteRows, names, part_files, read_counts, write_json
from pipelines.engine import Engine
from pipelines.options import Options, SplitOptions
from pipelines.run import Job, Outcome
from pipelines.selection import EVERYTHING, NOTHING, Entry, FindThresholds, Quota, place_of

TABLE = "clips"
QUOTAS = "quotas.parquet"
TEMPORAL = ("short", "long", "long_center")
_COUNTS = ".lengths.json"


@dataclass(frozen=True)
class Candidate:
    """The columns of `labelled/` that choosing needs."""

    row_key: str
    label_id: int
    duration_s: float


def run(job: Job) -> Outcome:
    """Write the clips of every split, and what each label gave to them."""
    files = part_files(job.path(label.TABLE))

    def build(pipeline: beam.Pipeline) -> None:
        listed = names(pipeline, files, "Labelled")
        _ = listed | "Choose" >> ChooseClips(job)

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    counts = {
        name: sum(map(count_rows, part_files(job.path(TABLE, name))))
        for name in job.options.split.splits
    }
    unfilled = write_quotas(job)
    return Outcome(counts | {"labels_unfilled": unfilled})


@dataclass
class ChooseClips(beam.PTransform):
    """Names of labelled parts -> parts of clips of every split."""

    job: Job

    def expand(self, files: beam.PCollection[str]) -> tuple[beam.PCollection[str], ...]:
        job, options = self.job, self.job.options
        lengths = (
            files
            | "ReadForCounts" >> ReadTable(Candidate)
            | "CountLengths" >> beam.FlatMap(count_lengths, split_rule(options.split))
            | "Sum" >> beam.CombinePerKey(sum)
            | "ToDict" >> combiners.ToDict()
        )
        _ = lengths | "WriteLengths" >> beam.Map(write_json, job.path(TABLE, _COUNTS))
        quotas = beam.pvalue.AsSingleton(
            lengths | "PlanQuotas" >> beam.Map(plan_quotas, options.split)
        )
        thresholds = files | "FindThresholds" >> FindThresholds(
            Candidate, partial(entries_of, options), quotas
        )
        clips = (
            files
            | "ReadForClips" >> ReadTable(LabelledRow)
            | "TakeClips"
            >> beam.FlatMap(take_clips, options, quotas, beam.pvalue.AsSingleton(thresholds))
        )
        return tuple(
            clips
            | f"Take {name}" >> beam.FlatMap(partial(_of_split, name))
            | f"Write {name}"
            >> WriteRows(job.path(TABLE, name), ClipRow, options.run.buckets, ("clip_id",))
            for name in options.split.splits
        )


def count_lengths(batch: pa.RecordBatch, rule: SplitRule) -> Iterator[tuple[str, int]]:
    """Yield (label_id and what, how many): videos, and short and long ones with milliseconds."""
    counts: Counter[str] = Counter()
    for _, label_id, seconds in _rows(batch):
        counts[f"{label_id} videos"] += 1
        name = length_class(seconds, rule)
        if name is not None:
            counts[f"{label_id} {name}_videos"] += 1
            counts[f"{label_id} {name}_ms"] += round(1000 * seconds)
    yield from sorted(counts.items())


def plan_quotas(counts: Mapping[str, int], options: SplitOptions) -> dict[str, Quota]:
    """What every group that is not taken whole gives: `all`, or `<split> <label_id>`.

    A label outside the temporal splits has quotas of nothing.
    """
    by_label = lengths_by_label(counts)
    videos = {str(label_id): counts[f"{label_id} videos"] for label_id in by_label}
    quotas: dict[str, Quota] = {}
    if 0 < options.max_videos < sum(videos.values()):
        if options.sampling == "random":
            quotas["all"] = Quota(options.max_videos)
        else:
            kept = tail_preserving_quotas(
                {f"{int(label_id):09d}": n for label_id, n in videos.items()}, options.max_videos
            )
            quotas |= {f"all {int(label_id)}": Quota(n) for label_id, n in kept.items()}
    plan = plan_splits(
        {f"{label_id:09d}": lengths for label_id, lengths in by_label.items()},
        split_rule(options),
        budget=options.budget,
        max_videos=options.budget_videos if options.budget == "F1" else 0,
        max_ms=round(60_000 * options.budget_minutes),
    )
    for quota in (*plan.quotas, *plan.unfilled):
        for name in set(TEMPORAL) & set(options.splits):
            by_weight = bool(quota.budget_ms) and name != "long_center"
            amount = quota.budget_ms if by_weight else quota.of(name)
            quotas[f"{name} {int(quota.label)}"] = Quota(amount, by_weight)
    return quotas


def lengths_by_label(counts: Mapping[str, int]) -> dict[int, LabelLengths]:
    """The counts of `count_lengths` by label_id."""
    ids = sorted({int(name.split()[0]) for name in counts})
    fields = ("short_videos", "long_videos", "short_ms", "long_ms")
    return {
        label_id: LabelLengths(**{f: counts.get(f"{label_id} {f}", 0) for f in fields})
        for label_id in ids
    }


def entries_of(
    options: Options, batch: pa.RecordBatch, quotas: Mapping[str, Quota]
) -> Iterator[Entry]:
    """The batch's videos as members of the groups that are cut."""
    rule = split_rule(options.split)
    for key, label_id, seconds in _rows(batch):
        groups = [g for g in groups_of(label_id, seconds, rule) if g in quotas]
        if groups:
            place = _place(key, options)
            for group in groups:
                if quotas[group].amount:
                    yield Entry(group, place, round(1000 * seconds))


def groups_of(label_id: int, seconds: float, rule: SplitRule) -> list[str]:
    """The groups whose quotas bind a video."""
    groups = ["all", f"all {label_id}"]
    name = length_class(seconds, rule)
    if name is not None:
        groups.append(f"{name} {label_id}")
    if name == "long":
        groups.append(f"long_center {label_id}")
    return groups


def take_clips(
    batch: pa.RecordBatch,
    options: Options,
    quotas: Mapping[str, Quota],
    thresholds: Mapping[str, str],
) -> Iterator[tuple[str, ClipRow]]:
    """Yield (split, clip) of the batch's videos that are within the thresholds."""
    rule = split_rule(options.split)
    columns = [batch.column(name).to_pylist() for name in ("video_id", "repeats")]
    for (key, label_id, seconds), video_id, repeats in zip(_rows(batch), *columns, strict=True):
        groups = [group for group in groups_of(label_id, seconds, rule) if group in quotas]
        place = _place(key, options) if groups else NOTHING
        cut = {
            group.partition(" ")[0]
            for group in groups
            if place > _threshold(group, quotas, thresholds)
        }
        for name in options.split.splits:
            span = clip_span(name, seconds, rule)
            if span is not None and name not in cut:
                yield name, to_clip((key, video_id, label_id, repeats), name, span)


def _threshold(group: str, quotas: Mapping[str, Quota], thresholds: Mapping[str, str]) -> str:
    """The last place taken; without one the quota takes the group whole, or nothing of it."""
    return thresholds.get(group, EVERYTHING if quotas[group].amount else NOTHING)


def _place(key: str, options: Options) -> str:
    return place_of(subset_order(key, rng_seed=options.run.rng_seed), key)


def split_rule(options: SplitOptions) -> SplitRule:
    """The bounds of the temporal splits."""
    (short_from, short_to), (long_from, long_to) = options.short_s, options.long_s
    return SplitRule((short_from, short_to), (long_from, long_to), options.center_s)


def to_clip(video: tuple[str, str, int, float], split: str, span_s: tuple[float, float]) -> ClipRow:
    """The clip of a video (key, id, label_id, repeats) in a split.

    Its id depends on the key, the split and the seconds alone.
    """
    row_key, video_id, label_id, repeats = video
    start_s, end_s = round(span_s[0], 6), round(span_s[1], 6)
    clip_id = digest_of(row_key, split, start_s, end_s)[:32]
    return ClipRow(clip_id, row_key, video_id, label_id, start_s, end_s, repeats)


def write_quotas(job: Job) -> int:
    """Write what each label has and gave to the temporal splits; return how many gave nothing."""
    by_label = lengths_by_label(read_counts(job.path(TABLE, _COUNTS)))
    taken = {name: _clips_by_label(job, name) for name in TEMPORAL}
    rows = []
    for space in read_rows(job.path(label.SPACE), LabelRow):
        have = by_label.get(space.label_id, LabelLengths())
        gave = {name: taken[name][space.label_id] for name in TEMPORAL}
        lacks = [n for n in ("short", "long") if not getattr(have, f"{n}_videos")]
        reason = f"no {' and no '.join(lacks)} video" if lacks else None
        if reason is None and not any(gave.values()):
            reason = "no room in the budget"
        row = SplitQuotaRow(
            label_id=space.label_id,
            label=space.label,
            short_videos=have.short_videos,
            long_videos=have.long_videos,
            **gave,
            reason=reason,
        )
        rows.append(row)
    write_rows(job.path(QUOTAS), rows, SplitQuotaRow)
    return sum(row.reason is not None for row in rows)


def _clips_by_label(job: Job, name: str) -> Counter[int]:
    counts: Counter[int] = Counter()
    schema = pa.schema([schema_of(ClipRow).field("label_id")])
    for file in part_files(job.path(TABLE, name)):
        for batch in read_batches(file, schema):
            pairs = pc.value_counts(batch.column("label_id")).to_pylist()
            counts.update({pair["values"]: pair["counts"] for pair in pairs})
    return counts


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[str, int, float]]:
    columns = (batch.column(name).to_pylist() for name in ("row_key", "label_id", "duration_s"))
    return zip(*columns, strict=True)


def _of_split(name: str, clip: tuple[str, ClipRow]) -> Iterator[ClipRow]:
    if clip[0] == name:
        yield clip[1]
