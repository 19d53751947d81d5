"""Stage shard: `clips/` -> `shards/<split>/shard-*.tar` + MANIFEST.json, what training reads.

References are shuffled, never pixels: a clip knows in which part its video lies, and the worker
that writes a shard copies (or cuts) the bytes. Which shard a clip goes to, and where in it, follows
from its id alone, so the shards are the same bytes whatever the engine or the parts.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.transforms import combiners

from formats.shards import Manifest, ShardEntry, dataset_id, write_manifest, write_shard
from formats.storage import scratch_folder, write_text
from formats.tables import (
    ClipRow,
    LabelRow,
    MatchRow,
    count_rows,
    part_files,
    read_batches,
    read_rows,
    schema_of,
)
from formats.video import cut, thumbnail_jpeg
from pipelines import fetch, label, match, split
from pipelines.batches import on_pairs, rows_of
from pipelines.engine import Engine, progress
from pipelines.fetch_options import FetchOptions
from pipelines.joins import FetchedVideo, JoinTables, latest_videos
from pipelines.removal.strikes import read_planned
from pipelines.run import Job, JobError, Outcome
from pipelines.units import video_options

TABLE = "shards"


@dataclass(frozen=True)
class ClipReference:
    """A clip, and where its video's bytes lie."""

    clip: ClipRow
    label: str
    labels: tuple[str, ...]
    uri: str
    uploader: str | None
    licence: str | None
    part: str
    offset: int
    size_bytes: int
    duration_s: float
    fps: float
    height: int


@dataclass(frozen=True)
class ShardWriter:
    """Where one split's shards are written, and from what."""

    folder: str
    videos: str
    shards: int
    options: FetchOptions
    suffix: str = ".mp4"
    """`.jpg` for a split of images."""

    def number(self, reference: ClipReference) -> tuple[int, ClipReference]:
        """The shard that a clip belongs to."""
        return shard_number(reference.clip.clip_id, self.shards), reference

    def write(self, number: int, references: Iterable[ClipReference]) -> ShardEntry:
        """Write one shard, clips in order of their ids. Holds its references and one clip."""
        path = f"{self.folder}/{shard_name(number)}"
        ordered = sorted(references, key=lambda r: r.clip.clip_id)
        samples = (self._sample(reference) for reference in ordered)
        return write_shard(path, samples, suffix=self.suffix)

    def _sample(self, reference: ClipReference) -> tuple[str, bytes, Mapping[str, object]]:
        clip = reference.clip
        with open(f"{self.videos}/{reference.part}", "rb") as file:
            file.seek(reference.offset)
            content = file.read(reference.size_bytes)
        if self.suffix == ".jpg":
            content = frame_bytes(content, reference)
        elif clip.start_s > 0 or clip.end_s < reference.duration_s:
            content = cut_bytes(content, clip, self.options)
        progress.advance()
        return clip.clip_id, content, clip_facts(reference)


def run(job: Job) -> Outcome:
    """Write the shards of every split and commit each by its manifest.

    Raises:
        JobError: no split holds a clip.
    """
    counts = {}
    for name in job.options.split.splits:
        manifest = _shard_split(name, job)
        counts[f"{name}_clips"] = manifest.clips
        counts[f"{name}_shards"] = len(manifest.shards)
    if not any(counts.values()):
        raise JobError("no split holds a clip; lower label.min_videos or widen [split]")
    return Outcome(counts)


def clip_facts(reference: ClipReference) -> dict[str, object]:
    """What a shard says of a clip in its json; an image has its `second` too."""
    clip = reference.clip
    facts = {
        "label_id": clip.label_id,
        "label": reference.label,
        "labels": list(reference.labels),
        "video_id": clip.video_id,
        "start_s": clip.start_s,
        "end_s": clip.end_s,
        "second": clip.start_s if clip.start_s == clip.end_s else None,
        "repeats": clip.repeats,
        "uploader": reference.uploader,
        "licence": reference.licence,
        "uri": reference.uri,
    }
    return {name: value for name, value in facts.items() if value is not None}


def cut_bytes(content: bytes, clip: ClipRow, options: FetchOptions) -> bytes:
    """A stored video's seconds [start_s, end_s) as a video of their own."""
    with scratch_folder("tagreel-") as scratch:
        whole, piece = f"{scratch}/whole.mp4", f"{scratch}/piece.mp4"
        Path(whole).write_bytes(content)
        settings = video_options(options)
        cut(whole, piece, start_s=clip.start_s, end_s=clip.end_s, options=settings)
        return Path(piece).read_bytes()


def frame_bytes(content: bytes, reference: ClipReference) -> bytes:
    """The frame of a stored video that is on show at the clip's second, as a JPEG of its size."""
    last = round(reference.duration_s * reference.fps) - 1
    number = max(0, min(int(reference.clip.start_s * reference.fps), last))
    with scratch_folder("tagreel-") as scratch:
        whole = f"{scratch}/whole.mp4"
        Path(whole).write_bytes(content)
        # Half a frame early, so that no rounding of a timestamp can lose it.
        second = max(0.0, (number - 0.5) / reference.fps)
        return thumbnail_jpeg(whole, second=second, height=reference.height)


def refer(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]], clips: str, labels: Mapping[int, str]
) -> Iterator[ClipReference]:
    """Yield a bucket's clips of one split with the places of their videos."""
    videos = latest_videos(tables[fetch.TABLE])
    matches = {row.row_key: row for row in rows_of(tables[match.TABLE], MatchRow)}
    for clip in rows_of(tables[clips], ClipRow):
        video, row = videos[clip.row_key], matches[clip.row_key]
        if video.part is None or video.offset is None or video.size_bytes is None:
            raise JobError(f"clip {clip.clip_id}: its video {clip.video_id} is not stored")
        yield ClipReference(
            clip,
            labels[clip.label_id],
            row.labels,
            row.uri,
            row.uploader,
            row.licence,
            video.part,
            video.offset,
            video.size_bytes,
            video.duration_s or 0.0,
            video.fps or 1.0,
            video.height or 0,
        )


def _shard_split(name: str, job: Job) -> Manifest:
    clips = f"{split.TABLE}/{name}"
    files = part_files(job.path(clips))
    total = sum(map(count_rows, files))
    labels = {row.label_id: row.label for row in read_rows(job.path(label.SPACE), LabelRow)}
    shards = count_shards(job, name, total)
    folder = job.path(TABLE, name)
    Path(folder).mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(folder, job.path(fetch.TABLE), shards, job.options.fetch)
    if name == "frames":
        writer = replace(writer, suffix=".jpg")
    scratch = f"{folder}/.entries"
    Path(scratch).unlink(missing_ok=True)  # A killed run's would be taken for ours.

    def build(pipeline: beam.Pipeline) -> None:
        tables = {clips: ClipRow, fetch.TABLE: FetchedVideo, match.TABLE: MatchRow}
        _ = (
            pipeline
            | "Clips" >> JoinTables(job, tables)
            | "Refer" >> beam.FlatMap(on_pairs(refer, clips, labels))
            | "ToShard" >> beam.Map(writer.number)
            | "GroupShards" >> beam.GroupByKey()
            | "WriteShard" >> beam.MapTuple(writer.write)
            | "Gather" >> combiners.ToList()
            | "WriteEntries" >> beam.Map(_write_entries, scratch)
        )

    if total:
        with progress.bar(f"shard {name}", total, "clips"):
            Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)
    entries = _read_entries(scratch)
    manifest = describe_split(name, files, (job.config_digest, tuple(labels.values())), entries)
    write_manifest(folder, manifest)
    return manifest


def shard_number(clip_id: str, shards: int) -> int:
    """The shard that a clip belongs to, whatever else there is."""
    return int(clip_id[:8], 16) % shards


def shard_name(number: int) -> str:
    """A shard's file name."""
    return f"shard-{number:05d}.tar"


def count_shards(job: Job, name: str, clips: int) -> int:
    """Over how many shards a split is spread: as many as before a clip of it was taken down."""
    planned = max(clips, read_planned(job.out).get(name, 0))
    return max(1, -(-planned // job.options.shard.clips_per_shard))


def _write_entries(entries: list[ShardEntry], path: str) -> str:
    ordered = sorted(entries, key=lambda entry: entry.path)
    write_text(path, json.dumps([asdict(entry) for entry in ordered]))
    return path


def _read_entries(path: str) -> tuple[ShardEntry, ...]:
    """What the workers wrote; the scratch file is theirs to us and goes with the manifest."""
    file = Path(path)
    if not file.exists():
        return ()
    entries = tuple(ShardEntry(**entry) for entry in json.loads(file.read_text()))
    file.unlink()
    return entries


def describe_split(
    name: str,
    files: Sequence[str],
    identity: tuple[str, tuple[str, ...]],
    entries: tuple[ShardEntry, ...],
    without: Collection[str] = (),
) -> Manifest:
    """The manifest of a split with these shards.

    `files` are its parts of clips, `identity` is config digest and labels; the clips of the row
    keys in `without` are not in the shards.
    """
    videos, seconds = 0, 0.0
    left_out = pa.array(sorted(without), pa.string())
    schema = schema_of(ClipRow, "row_key", "start_s", "end_s")
    for file in files:
        # All clips of a video lie in one part, so a part at a time is enough to count it once.
        part = pa.Table.from_batches(read_batches(file, schema), schema)
        part = part.filter(pc.invert(pc.is_in(part.column("row_key"), left_out)))
        videos += len(pc.unique(part.column("row_key")))
        lengths = pc.subtract(part.column("end_s"), part.column("start_s"))
        seconds += pc.sum(lengths).as_py() or 0.0
    config_digest, labels = identity
    return Manifest(
        dataset_id=dataset_id(config_digest, name, labels, entries),
        split=name,
        config_digest=config_digest,
        clips=sum(entry.clips for entry in entries),
        videos=videos,
        minutes=round(seconds / 60, 3),
        labels=labels,
        shards=entries,
    )
