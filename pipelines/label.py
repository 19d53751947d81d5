"""Stage label: stored, unduplicated videos -> `labels.parquet`, `labels.json` and `labelled/`.

A label is kept if at least `min_videos` videos carry it (paper 3.1). A video with several kept
labels trains one of them, chosen by hash (3.3); how often it is drawn follows the square root of
its label's videos (3.1.1).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms import combiners

from formats.tables import (
    LabelledRow,
    LabelRow,
    MatchRow,
    count_rows,
    write_rows,
)
from labelspace.sampling import assign_label, square_root_repeats
from labelspace.space import LabelSpace, build_label_space
from pipelines import deduplicate, fetch, match
from pipelines.batches import WriteRows, part_files, rows_of
from pipelines.engine import Engine
from pipelines.joins import STORED, FetchedVideo, JoinTables, RowKey, keys_of, latest_videos
from pipelines.label_manifest import MANIFEST, settings_of, write_space_manifest
from pipelines.options import LabelOptions
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
    videos = sum(map(count_rows, part_files(job.path(TABLE))))
    return Outcome({"labels": labels, "videos": videos})


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
        }
        candidates = (
            pipeline
            | "Tables" >> JoinTables(job, tables)
            | "FindCandidates" >> beam.FlatMapTuple(find_candidates)
        )
        space = (
            candidates
            | "CountLabels" >> CountLabels("labels")
            | "MakeSpace" >> beam.Map(make_space, job.options.label, run_options.rng_seed)
        )
        side = beam.pvalue.AsSingleton(space)
        assigned = candidates | "Assign" >> beam.FlatMap(
            assign, side, rng_seed=run_options.rng_seed
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
            | "ToRow" >> beam.Map(to_labelled, side, beam.pvalue.AsSingleton(repeats))
            | "WriteLabelled"
            >> WriteRows(job.path(TABLE), LabelledRow, run_options.buckets, ("row_key",))
        )


@dataclass
class CountLabels(beam.PTransform):
    """Rows -> one dict: how many of them carry each label of a field."""

    field: str

    def expand(self, rows: beam.PCollection) -> beam.PCollection[dict[str, int]]:
        return (
            rows
            | "LabelsOf" >> beam.FlatMap(_ones, self.field)
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
    """Yield a bucket's stored videos that are no duplicates."""
    videos = latest_videos(tables[fetch.TABLE])
    duplicates = keys_of(tables[deduplicate.TABLE])
    for row in rows_of(tables[match.TABLE], MatchRow):
        video = videos[row.row_key]
        if video.status == STORED and row.row_key not in duplicates:
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


def assign(row: Candidate, space: LabelSpace, *, rng_seed: int) -> Iterator[Assignment]:
    """Yield the video with one of its kept labels, or nothing if none was kept."""
    kept = tuple(label for label in row.labels if space.label_id(label) is not None)
    if kept:
        label = assign_label(row.row_key, kept, rng_seed=rng_seed)
        yield Assignment(row.row_key, row.video_id, label, kept, row.duration_s)


def to_labelled(row: Assignment, space: LabelSpace, repeats: Mapping[str, float]) -> LabelledRow:
    """The table's row; `repeats` is by label."""
    found = ((label, space.label_id(label)) for label in row.labels)
    ids = {label: label_id for label, label_id in found if label_id is not None}
    return LabelledRow(
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


def _ones(row: Candidate | Assignment, field: str) -> Iterator[tuple[str, int]]:
    value = getattr(row, field)
    for label in value if isinstance(value, tuple) else (value,):
        yield label, 1
