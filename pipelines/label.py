"""Stage label: stored, unduplicated videos -> `labels.parquet`, `labels.json` and `labelled/`.

A label is kept if at least `min_videos` videos carry it (paper 3.1). A video with several kept
labels trains one of them, chosen by hash (3.3); how often it is drawn follows the square root of
its label's videos (3.1.1).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms import combiners

from formats.tables import (
    Fate,
    LabelledRow,
    LabelRow,
    MatchRow,
    count_rows,
    from_batch,
    write_rows,
)
from labelspace.sampling import assign_label, square_root_repeats
from labelspace.space import LabelSpace, build_label_space
from pipelines import deduplicate, fetch, match, reposts
from pipelines.batches import InBatches, WriteBatches, on_pairs, rows_of
from pipelines.engine import Engine
from pipelines.joins import STORED, FetchedVideo, JoinTables, RowKey, keys_of, latest_videos
from pipelines.label_manifest import MANIFEST, settings_of, write_space_manifest
from pipelines.options import LabelOptions
from pipelines.removal.strikes import label_counts, restate_labels
from pipelines.run import Job, JobError, Outcome

SPACE = "labels.parquet"
TABLE = "labelled"


@dataclass(frozen=True)
class Candidate:
    """A stored video that overlaps no target, with all of its seed labels."""

    row_key: str
    video_id: str
    labels: tuple[str, ...]
    duration_s: float


def run(job: Job) -> Outcome:
    """Write the label space and the videos that train it.

    Raises:
        JobError: no label has `min_videos` videos.
    """

    def build(pipeline: beam.Pipeline) -> None:
        _ = pipeline | "Label" >> LabelVideos(job)

    Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    labels = count_rows(job.path(SPACE))
    if not labels:
        raise JobError(
            f"no label has label.min_videos = {job.options.label.min_videos} videos left; lower it "
            '(SET="label.min_videos=5") or bring a larger catalog'
        )
    restate_labels(job.out)
    return Outcome(label_counts(job.out))


@dataclass
class LabelVideos(beam.PTransform):
    """Pipeline -> parts of labelled videos, and the label space beside them."""

    job: Job

    def expand(self, pipeline: beam.Pipeline) -> beam.PCollection[str]:
        job = self.job
        run_options, path = job.options.run, job.path(SPACE)
        tables = {
            match.TABLE: MatchRow,
            fetch.TABLE: FetchedVideo,
            deduplicate.TABLE: RowKey,
            reposts.TABLE: RowKey,
        }
        candidates = (
            pipeline
            | "Tables" >> JoinTables(job, tables)
            | "FindCandidates" >> beam.ParDo(InBatches(on_pairs(find_candidates), Candidate))
        )
        space = (
            candidates
            | "CountLabels" >> CountLabels("labels")
            | "MakeSpace" >> beam.Map(make_space, job.options.label, run_options.rng_seed)
        )
        side = beam.pvalue.AsSingleton(space)
        assigned = candidates | "Assign" >> beam.ParDo(
            InBatches(partial(assign, rng_seed=run_options.rng_seed), Assignment), side
        )
        counts = assigned | "CountAssigned" >> CountLabels("label")
        _ = counts | "WriteSpace" >> beam.Map(write_space, side, path)
        _ = counts | "WriteManifest" >> beam.Map(
            write_space_manifest, side, job.path(MANIFEST), settings_of(job)
        )
        # Once for all rows: it needs every label's count.
        repeats = counts | "Repeats" >> beam.Map(square_root_repeats)
        return (
            assigned
            | "ToRows"
            >> beam.ParDo(
                InBatches(to_labelled, LabelledRow), side, beam.pvalue.AsSingleton(repeats)
            )
            | "WriteLabelled"
            >> WriteBatches(job.path(TABLE), LabelledRow, run_options.buckets, ("row_key",))
        )


@dataclass
class CountLabels(beam.PTransform):
    """Batches -> one dict: how many of their rows carry each label of a field."""

    field: str

    def expand(self, batches: beam.PCollection[pa.RecordBatch]) -> beam.PCollection[dict[str, int]]:
        return (
            batches
            | "CountBatch" >> beam.FlatMap(count_values, self.field)
            | "Sum" >> beam.CombinePerKey(sum)
            | "ToDict" >> combiners.ToDict()
        )


@dataclass(frozen=True)
class Assignment:
    """A candidate with the one label that it trains."""

    row_key: str
    video_id: str
    label: str
    labels: tuple[str, ...]
    """Those of its labels that were kept, sorted."""
    duration_s: float


def find_candidates(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]]
) -> Iterator[Candidate]:
    """Yield a bucket's stored videos that are no duplicates.

    One that was taken down since it was stored still counts, without a name: else every choice that
    it was part of, of labels, repeats and splits, would fall out anew and move other videos.
    """
    videos = latest_videos(tables[fetch.TABLE])
    duplicates = keys_of(tables[deduplicate.TABLE]) | keys_of(tables[reposts.TABLE])
    for row in rows_of(tables[match.TABLE], MatchRow):
        video = videos.get(row.row_key) if row.taken_down else videos[row.row_key]
        if video is None or (row.taken_down and video.duration_s is None):
            continue
        if video.status in (STORED, Fate.TAKEN_DOWN) and row.row_key not in duplicates:
            yield Candidate(row.row_key, row.video_id, row.labels, video.duration_s or 0.0)


def make_space(counts: Mapping[str, int], options: LabelOptions, rng_seed: int) -> LabelSpace:
    """The labels that enough videos carry."""
    return build_label_space(
        counts,
        min_videos=options.min_videos,
        max_labels=options.max_labels,
        subset=options.label_subset,
        rng_seed=rng_seed,
    )


def assign(batch: pa.RecordBatch, space: LabelSpace, *, rng_seed: int) -> Iterator[Assignment]:
    """Yield the batch's candidates with one of their kept labels; those without any end here."""
    for row in from_batch(batch, Candidate):
        kept = tuple(label for label in row.labels if space.label_id(label) is not None)
        if kept:
            label = assign_label(row.row_key, kept, rng_seed=rng_seed)
            yield Assignment(row.row_key, row.video_id, label, kept, row.duration_s)


def to_labelled(
    batch: pa.RecordBatch, space: LabelSpace, repeats: Mapping[str, float]
) -> Iterator[LabelledRow]:
    """Yield the table's rows of the batch's assignments; `repeats` is by label."""
    for row in from_batch(batch, Assignment):
        found = ((label, space.label_id(label)) for label in row.labels)
        ids = {label: label_id for label, label_id in found if label_id is not None}
        yield LabelledRow(
            row.row_key,
            row.video_id,
            ids[row.label],
            tuple(sorted(ids.values())),
            row.duration_s,
            repeats[row.label],
        )


def write_space(counts: Mapping[str, int], space: LabelSpace, path: str) -> str:
    """Write the label space, in order of `label_id`."""
    rows = [
        LabelRow(number, label, space.videos[number], counts.get(label, 0))
        for number, label in enumerate(space.labels)
    ]
    write_rows(path, rows, LabelRow)
    return path


def count_values(batch: pa.RecordBatch, field: str) -> Iterator[tuple[str, int]]:
    """Yield (label or label_id as text, rows of the batch with it)."""
    labels = batch.column(field)
    if pa.types.is_list(labels.type):
        labels = pc.list_flatten(labels)
    for pair in pc.value_counts(labels).to_pylist():
        yield str(pair["values"]), pair["counts"]
