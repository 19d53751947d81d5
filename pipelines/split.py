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
from formats.tables import (
    ClipRow,
    LabelledRow,
    count_rows,
)
from labelspace.sampling import subset_order
from labelspace.splits import (
    SplitRule,
    clip_span,
    frame_numbers,
    length_class,
)
from pipelines import fetch, label
from pipelines.batches import ReadTable, WriteRows, names, part_files, write_json
from pipelines.engine import Engine
from pipelines.joins import FetchedVideo, JoinTables, latest_videos
from pipelines.options import Options
from pipelines.quotas import CLIPS, LENGTHS, plan_quotas, split_rule, write_quotas
from pipelines.run import Job, Outcome
from pipelines.selection import EVERYTHING, NOTHING, Entry, FindThresholds, Quota, place_of

TABLE = CLIPS
Video = tuple[str, str, int, float]
"""Key, id, label_id, repeats."""


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
            | "TakeClips" >> beam.FlatMap(take_clips, options, quotas, thresholds)
        )
        chosen = {
            name: clips | f"Take {name}" >> beam.FlatMap(partial(_of_split, name))
            for name in options.split.splits
            if name != "frames"
        }
        if "frames" in options.split.splits:
            tables = {label.TABLE: LabelledRow, fetch.TABLE: FetchedVideo}
            chosen["frames"] = (
                files.pipeline
                | "Videos" >> JoinTables(job, tables)
                | "TakeImages" >> beam.FlatMap(take_images, options, quotas, thresholds)
            )
        return tuple(
            rows
            | f"Write {name}"
            >> WriteRows(job.path(TABLE, name), ClipRow, options.run.buckets, ("clip_id",))
            for name, rows in chosen.items()
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
    for video, seconds, cut in _judged(batch, options, quotas, thresholds):
        for name in options.split.splits:
            span = clip_span(name, seconds, rule)
            if span is not None and name not in cut:
                yield name, to_clip(video, name, span)


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
    columns = [batch.column(name).to_pylist() for name in ("video_id", "repeats")]
    for (key, label_id, seconds), video_id, repeats in zip(_rows(batch), *columns, strict=True):
        groups = [group for group in groups_of(label_id, seconds, rule) if group in quotas]
        place = _place(key, options) if groups else NOTHING
        cut = {
            group.partition(" ")[0]
            for group in groups
            if place > _threshold(group, quotas, thresholds)
        }
        yield (key, video_id, label_id, repeats), seconds, cut


def _threshold(group: str, quotas: Mapping[str, Quota], thresholds: Mapping[str, str]) -> str:
    """The last place taken; without one the quota takes the group whole, or nothing of it."""
    return thresholds.get(group, EVERYTHING if quotas[group].amount else NOTHING)


def _place(key: str, options: Options) -> str:
    return place_of(subset_order(key, rng_seed=options.run.rng_seed), key)


def to_clip(video: Video, split: str, span_s: tuple[float, float]) -> ClipRow:
    """The clip of a video in a split.

    Its id depends on the key, the split and the seconds alone.
    """
    row_key, video_id, label_id, repeats = video
    start_s, end_s = round(span_s[0], 6), round(span_s[1], 6)
    clip_id = digest_of(row_key, split, start_s, end_s)[:32]
    return ClipRow(clip_id, row_key, video_id, label_id, start_s, end_s, repeats)


def _rows(batch: pa.RecordBatch) -> Iterator[tuple[str, int, float]]:
    columns = (batch.column(name).to_pylist() for name in ("row_key", "label_id", "duration_s"))
    return zip(*columns, strict=True)


def _of_split(name: str, clip: tuple[str, ClipRow]) -> Iterator[ClipRow]:
    if clip[0] == name:
        yield clip[1]
