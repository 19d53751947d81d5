"""Stage targets: benchmark videos -> `targets/<name>.parquet` and an index of their hashes.

A target table (CSV) names videos: video_id, uri, label?, subset? (train | val). Target videos with
a label and a subset also become shards in `target_shards/<name>/<subset>`, so that transfer to the
benchmark can be measured with the same loader.
"""

import csv
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import apache_beam as beam

from dedup.fingerprint import Fingerprint, fingerprint_target
from dedup.index import TargetIndex, TargetVideo
from formats.shards import Manifest, digest_of, write_manifest, write_shard
from formats.storage import publish
from formats.tables import TargetHashRow, count_rows, write_rows
from formats.video import DecodeError, VideoOptions, normalise
from pipelines.batches import on_pairs
from pipelines.engine import Engine, progress
from pipelines.options import Options
from pipelines.run import Job, JobError, Outcome
from pipelines.sources import FetchError, fetch_source
from pipelines.units import video_options

TABLE = "targets"
SHARDS = "target_shards"
_UNIT_VIDEOS = 16
# A target is taken as it is: the limits on length are for what we train on.
_ANY_LENGTH_S = 24 * 3600.0


@dataclass(frozen=True)
class TargetEntry:
    """One row of a target table."""

    video_id: str
    uri: str
    label: str = ""
    subset: str = ""


@dataclass(frozen=True)
class TargetUnit:
    """Some rows of one target table."""

    name: str
    table: str
    start: int
    stop: int


@dataclass(frozen=True)
class Hashed:
    """What one target video left: its hashes, and its stored bytes if it is to be trained on."""

    video: TargetEntry
    fingerprint: Fingerprint | None
    stored: str | None
    duration_s: float
    failure: str | None = None


def run(job: Job) -> Outcome:
    """Hash every target video and build the index of each set.

    Raises:
        JobError: a target table is missing or lacks columns, or too many of its videos fail.
    """
    counts = {"videos": 0, "hashes": 0, "failed": 0}
    if len({target_name(table) for table in job.targets}) < len(job.targets):
        raise JobError("two target tables have one name; rename one of the files")
    for table in job.targets:
        for name, count in _hash_set(table, job).items():
            counts[name] += count
    return Outcome(counts)


def target_name(table: str) -> str:
    """A target set's name: its table's file name without suffix."""
    return Path(table).stem


def index_files(job: Job) -> tuple[str, ...]:
    """The indexes of the job's target sets."""
    return tuple(job.path(TABLE, f"{target_name(table)}.index") for table in job.targets)


def read_targets(table: str) -> list[TargetEntry]:
    """The rows of a target table.

    Raises:
        JobError: no such file, a column is missing, or a video_id stands there twice.
    """
    try:
        with open(table, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            found = reader.fieldnames or []
            if not {"video_id", "uri"} <= set(found):
                raise JobError(
                    f"{table}: needs the columns video_id and uri (label and subset may follow); "
                    f"found: {', '.join(found) or 'none'}"
                )
            rows = [
                TargetEntry(r["video_id"], r["uri"], r.get("label") or "", r.get("subset") or "")
                for r in reader
            ]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise JobError(f"{table}: cannot be read as a target table: {error}") from error
    twice = len(rows) - len({row.video_id for row in rows})
    if twice:
        raise JobError(f"{table}: {twice} video_id(s) stand there more than once")
    return rows


def target_path(table: str, uri: str) -> str:
    """Where a target video lies: relative URIs start from the table's folder."""
    return str(Path(table).parent / uri)


@dataclass
class HashTargets(beam.PTransform):
    """Units of a target table -> what each video left."""

    options: Options
    scratch: str

    def expand(self, units: beam.PCollection[TargetUnit]) -> beam.PCollection[Hashed]:
        return (
            units
            | "Spread" >> beam.Reshuffle()
            | "HashUnit" >> beam.FlatMap(hash_unit, self.options, self.scratch)
        )


def hash_unit(unit: TargetUnit, options: Options, scratch: str) -> Iterator[Hashed]:
    """Yield what each video of a unit left, in the table's order."""
    for video in read_targets(unit.table)[unit.start : unit.stop]:
        yield hash_target(video, unit, options, scratch)
        progress.advance()


def hash_target(video: TargetEntry, unit: TargetUnit, options: Options, scratch: str) -> Hashed:
    """Decode one target video and hash its frames in every variant."""
    stored = f"{scratch}/{digest_of(unit.name, video.video_id)[:32]}.mp4"
    with tempfile.TemporaryDirectory(prefix="tagreel-") as own:
        source = f"{own}/source"
        folder = str(Path(unit.table).parent)
        try:
            fetch_source(video.uri, source, options=options.fetch, folder=folder)
            decoded = normalise(source, stored, target_options(options))
        except (FetchError, DecodeError) as error:
            return Hashed(video, None, None, 0.0, f"{video.uri}: {error.reason}: {error.detail}")
    fingerprint = fingerprint_target(
        decoded.gray_THW, decoded.seconds_T, width=decoded.width, height=decoded.height
    )
    return Hashed(video, fingerprint, stored, decoded.duration_s)


def hash_rows(hashed: Hashed) -> Iterator[TargetHashRow]:
    """Yield a target video's hashes as rows of its table."""
    video, print_ = hashed.video, hashed.fingerprint
    if print_ is not None:
        for code, second, variant in zip(
            print_.codes, print_.seconds, print_.versions, strict=True
        ):
            label = video.label or None
            yield TargetHashRow(video.video_id, label, float(second), variant, code.tobytes())


def target_options(options: Options) -> VideoOptions:
    """How target videos are decoded: as they are, whatever their length."""
    settings = video_options(options.fetch)
    return VideoOptions(
        **{
            **vars(settings),
            "hash_fps": options.targets.hash_fps,
            "min_duration_s": 0.0,
            "max_duration_s": _ANY_LENGTH_S,
            "min_frames": 1,
        }
    )


def _hash_set(table: str, job: Job) -> dict[str, int]:
    videos = read_targets(table)
    name = target_name(table)
    with tempfile.TemporaryDirectory(prefix="tagreel-targets-") as scratch:
        starts = range(0, len(videos), _UNIT_VIDEOS)
        units = [TargetUnit(name, table, start, start + _UNIT_VIDEOS) for start in starts]

        def build(pipeline: beam.Pipeline) -> None:
            _ = (
                pipeline
                | "NameUnits" >> beam.Create(units, reshuffle=False)
                | "Hash" >> HashTargets(job.options, scratch)
                | "KeyBySet" >> beam.WithKeys(lambda _: 0)
                | "GroupSet" >> beam.GroupByKey()
                | "WriteSet" >> beam.Map(on_pairs(write_set, name, job))
            )

        with progress.bar("targets", len(videos), "videos"):
            Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    rows = count_rows(job.path(TABLE, f"{name}.parquet"))
    return {"videos": len(videos), "hashes": rows}


def write_set(_key: int, hashed: Iterable[Hashed], name: str, job: Job) -> None:
    """Write one target set: its hashes, its index, its shards. Holds the set's hashes in memory.

    Raises:
        JobError: too many of its videos could not be decoded.
    """
    videos = sorted(hashed, key=lambda h: h.video.video_id)
    failures = [h.failure for h in videos if h.failure]
    if len(failures) > job.options.targets.max_failed_fraction * len(videos):
        raise JobError(
            f"target set {name}: {len(failures)} of {len(videos)} videos cannot be read, so a leak "
            f"of theirs would go unseen; first: {failures[0]}. Mend them or raise "
            "targets.max_failed_fraction"
        )
    rows = (row for h in videos for row in hash_rows(h))
    write_rows(job.path(TABLE, f"{name}.parquet"), rows, TargetHashRow)
    index = TargetIndex.build(
        TargetVideo(name, h.video.video_id, h.fingerprint) for h in videos if h.fingerprint
    )
    with publish(job.path(TABLE, f"{name}.index")) as temporary:
        index.save(temporary)
    for subset in sorted({h.video.subset for h in videos if h.video.subset and h.video.label}):
        _write_shards(name, subset, videos, job)


def _write_shards(name: str, subset: str, hashed: list[Hashed], job: Job) -> None:
    labels = tuple(sorted({h.video.label for h in hashed if h.video.label}))
    chosen = [h for h in hashed if h.video.subset == subset and h.video.label and h.stored]
    ids = {label: number for number, label in enumerate(labels)}
    clips = sorted((digest_of(name, h.video.video_id)[:32], Path(str(h.stored)), h) for h in chosen)
    folder = job.path(SHARDS, name, subset)
    entry = write_shard(
        f"{folder}/shard-00000.tar",
        ((clip, path.read_bytes(), _target_facts(h, ids)) for clip, path, h in clips),
    )
    minutes = round(sum(h.duration_s for h in chosen) / 60, 3)
    manifest = Manifest(
        dataset_id=digest_of(name, subset, labels, entry.sha256),
        split=subset,
        config_digest=job.config_digest,
        clips=entry.clips,
        videos=entry.clips,
        minutes=minutes,
        labels=labels,
        shards=(entry,),
    )
    write_manifest(folder, manifest)


def _target_facts(hashed: Hashed, label_ids: dict[str, int]) -> dict[str, object]:
    video = hashed.video
    return {
        "label_id": label_ids[video.label],
        "label": video.label,
        "video_id": video.video_id,
        "start_s": 0.0,
        "end_s": hashed.duration_s,
        "repeats": 1.0,
        "uri": video.uri,
    }
