"""Stage split: labelled videos -> `clips/<split>/`, which seconds of which video (paper 4.3.1).

`all` holds every labelled video, or `max_videos` of them; `short`, `long` and `long_center` hold
the same labels, with equally many videos (F1) or minutes (F2) of each; `frames` holds images of the
videos of `all`. Which videos: the first in hash order, found by thresholds (see `selection`): no
worker holds a label and nothing is sorted. Memory grows with the labels; for `frames`, which joins
`videos/` to know what frames there are, with a bucket. `quotas.parquet` says what each label has,
what of it was taken, and what kept it from more.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms import combiners

from formats.shards import digest_of
from formats.tables import ClipRow, LabelledRow, count_rows, part_files, to_batch
from labelspace.sampling import square_root_repeats, subset_order
from labelspace.splits import (
    SplitRule,
    clip_span,
    frame_numbers,
    length_class,
)
from pipelines import fetch, label
from pipelines.batches import InBatches, ReadTable, WriteBatches, names, write_json
from pipelines.engine import Engine
from pipelines.joins import FetchedVideo, JoinTables, latest_videos
from pipelines.options import Options
from pipelines.quotas import CLIPS, LENGTHS, plan_quotas, split_rule, write_quotas
from pipelines.removal.strikes import drop_clips, taken_down_keys, write_planned
from pipelines.run import Job, Outcome
from pipelines.selection import EVERYTHING, NOTHING, Entry, FindThresholds, Quota, place_of

TABLE = CLIPS
Video = tuple[str, str, int]
"""Key, id, label_id."""


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
    write_planned(job.out, job.options.split.splits)
    drop_clips(job.out, taken_down_keys(job.out))
    return Outcome(split_counts(job))


def split_counts(job: Job) -> dict[str, int]:
    """What the splits hold; writes the quotas that say it by label."""
    counts = {
        name: sum(map(count_rows, part_files(job.path(TABLE, name))))
        for name in job.options.split.splits
    }
    return counts | {"labels_unfilled": write_quotas(job)}


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
        _ = lengths | "WriteLengths" >> beam.Map(write_json, job.path(TABLE, LENGTHS))
        quotas = beam.pvalue.AsSingleton(
            lengths | "PlanQuotas" >> beam.Map(plan_quotas, options.split)
        )
        thresholds = beam.pvalue.AsSingleton(
            files
            | "FindThresholds" >> FindThresholds(Candidate, partial(entries_of, options), quotas)
        )
        clips = (
            files
            | "ReadForClips" >> ReadTable(LabelledRow)
            | "TakeClips"
            >> beam.FlatMap(take_clips, options, quotas, thresholds).with_output_types(
                tuple[str, pa.RecordBatch]
            )
        )
        chosen = {
            name: clips
            | f"Take {name}"
            >> beam.FlatMap(partial(_of_split, name)).with_output_types(pa.RecordBatch)
            for name in options.split.splits
            if name != "frames"
        }
        if "frames" in options.split.splits:
            tables = {label.TABLE: LabelledRow, fetch.TABLE: FetchedVideo}
            chosen["frames"] = (
                files.pipeline
                | "Videos" >> JoinTables(job, tables)
                | "TakeImages"
                >> beam.ParDo(InBatches(take_images, ClipRow), options, quotas, thresholds)
            )
        return tuple(
            batches
            | f"Weigh {name}" >> WeighClips()
            | f"Write {name}"
            >> WriteBatches(job.path(TABLE, name), ClipRow, options.run.buckets, ("clip_id",))
            for name, batches in chosen.items()
        )


@dataclass
class WeighClips(beam.PTransform):
    """The clips of a split -> the same with their `repeats` (paper 3.1.1).

    By what the split holds: a head that was thinned is drawn no less often than its tail.
    """

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[pa.RecordBatch]:
        repeats = (
            batches
            | "Count" >> label.CountLabels("label_id")
            | "Repeats" >> beam.Map(square_root_repeats)
        )
        return batches | "SetRepeats" >> beam.Map(
            set_repeats, beam.pvalue.AsSingleton(repeats)
        ).with_output_types(pa.RecordBatch)


def set_repeats(batch: pa.RecordBatch, repeats: Mapping[str, float]) -> pa.RecordBatch:
    """The clips with the repeats of their labels, given by label_id as text."""
    found = [repeats[str(label_id)] for label_id in batch.column("label_id").to_pylist()]
    at = batch.schema.get_field_index("repeats")
    return batch.set_column(at, batch.schema.field(at), pa.array(found, pa.float64()))


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
) -> Iterator[tuple[str, pa.RecordBatch]]:
    """Yield (split, clips) of the batch's videos that are within the thresholds."""
    rule = split_rule(options.split)
    clips: dict[str, list[ClipRow]] = {name: [] for name in options.split.splits}
    for video, seconds, cut in _judged(batch, options, quotas, thresholds):
        for name, taken in clips.items():
            span = clip_span(name, seconds, rule)
            if span is not None and name not in cut:
                taken.append(to_clip(video, name, span))
    for name, taken in clips.items():
        if taken:
            yield name, to_batch(taken, ClipRow)


def take_images(
    bucket: tuple[int, dict[str, Iterable[pa.RecordBatch]]],
    options: Options,
    quotas: Mapping[str, Quota],
    thresholds: Mapping[str, str],
) -> Iterator[ClipRow]:
    """Yield the images of a bucket's videos of `all`: the middle of each frame's time on show."""
    _, tables = bucket
    settings = options.split
    stored = latest_videos(tables[fetch.TABLE])
    for batch in tables[label.TABLE]:
        for video, seconds, cut in _judged(batch, options, quotas, thresholds):
            if "all" in cut:
                continue
            fps = stored[video[0]].fps or 1.0
            for number in frame_numbers(
                video[0],
                max(1, round(seconds * fps)),
                settings.frames_per_video,
                at_random=settings.frame_choice == "random",
                rng_seed=options.run.rng_seed,
            ):
                second = (number + 0.5) / fps
                yield to_clip(video, "frames", (second, second))


def _judged(
    batch: pa.RecordBatch,
    options: Options,
    quotas: Mapping[str, Quota],
    thresholds: Mapping[str, str],
) -> Iterator[tuple[Video, float, set[str]]]:
    """Yield the batch's videos with their lengths and the splits that they are cut from."""
    rule = split_rule(options.split)
    ids = batch.column("video_id").to_pylist()
    for (key, label_id, seconds), video_id in zip(_rows(batch), ids, strict=True):
        groups = [group for group in groups_of(label_id, seconds, rule) if group in quotas]
        place = _place(key, options) if groups else NOTHING
        cut = {
            group.partition(" ")[0]
            for group in groups
            if place > _threshold(group, quotas, thresholds)
        }
        yield (key, video_id, label_id), seconds, cut


def _threshold(group: str, quotas: Mapping[str, Quota], thresholds: Mapping[str, str]) -> str:
    """The last place taken; without one the quota takes the group whole, or nothing of it."""
    return thresholds.get(group, EVERYTHING if quotas[group].amount else NOTHING)


def _place(key: str, options: Options) -> str:
    return place_of(subset_order(key, rng_seed=options.run.rng_seed), key)


def to_clip(video: Video, split: str, span_s: tuple[float, float]) -> ClipRow:
    """The clip of a video in a split, not weighed yet.

    Its id depends on the key, the split and the seconds alone.
    """
    row_key, video_id, label_id = video
    start_s, end_s = round(span_s[0], 6), round(span_s[1], 6)
    clip_id = digest_of(row_key, split, start_s, end_s)[:32]
    return ClipRow(clip_id, row_key, video_id, label_id, start_s, end_s, repeats=1.0)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[str, int, float]]:
    columns = (batch.column(name).to_pylist() for name in ("row_key", "label_id", "duration_s"))
    return zip(*columns, strict=True)


def _of_split(name: str, clips: tuple[str, pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    if clips[0] == name:
        yield clips[1]
