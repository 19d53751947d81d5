"""Hashing some videos of a target set: the unit of work of the stage `targets`."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from dedup.fingerprint import Fingerprint, fingerprint_target
from formats.shards import digest_of
from formats.storage import scratch_folder
from formats.tables import TargetHashRow, TargetVideoRow, write_rows
from formats.video import DecodeError, VideoOptions, encode_pictures, normalise
from pipelines.benchmarks.target_benchmarks import FRAME_SUFFIXES
from pipelines.benchmarks.target_sets import SetFolder
from pipelines.benchmarks.target_tables import TargetEntry, sorted_targets, target_folder
from pipelines.engine import progress
from pipelines.options import Options
from pipelines.sources import FetchError, fetch_source, local_file
from pipelines.units import video_options

# A target is taken as it is: the limits on length are for what we train on.
_ANY_LENGTH_S = 24 * 3600.0


@dataclass(frozen=True)
class TargetUnit:
    """Some rows of one target table, sorted by video_id."""

    name: str
    table: str
    number: int
    start: int
    stop: int


@dataclass(frozen=True)
class Hashed:
    """What one target video left: its hashes, and what an exact copy is known by."""

    row: TargetVideoRow
    fingerprint: Fingerprint | None = None


def hash_unit(unit: TargetUnit, folder: SetFolder, options: Options) -> int:
    """Write the hashes of a unit's videos, then what is known of each; return the unit's number.

    One video's hashes are in memory at a time. Its bytes are kept if it is to be trained on.
    """
    rows: list[TargetVideoRow] = []

    def hashes() -> Iterator[TargetHashRow]:
        for video in sorted_targets(unit.table)[unit.start : unit.stop]:
            stored = folder.stored(clip_of(unit.name, video.video_id))
            hashed = hash_target(video, stored, target_folder(unit.table), options)
            if not (video.subset and (video.label or video.tasks)):
                Path(stored).unlink(missing_ok=True)
            rows.append(hashed.row)
            yield from hash_rows(hashed)
            progress.advance()

    write_rows(folder.part(unit.number), hashes(), TargetHashRow)
    write_rows(folder.videos(unit.number), rows, TargetVideoRow)
    return unit.number


def clip_of(name: str, video_id: str) -> str:
    """A target video's clip id."""
    return digest_of(name, video_id)[:32]


def hash_target(video: TargetEntry, stored: str, folder: str, options: Options) -> Hashed:
    """Decode one target video to `stored`, and hash its frames in every variant."""
    row = TargetVideoRow(
        video.video_id,
        video.uri,
        video.label or None,
        video.subset or None,
        tuple("=".join(task) for task in video.tasks),
    )
    piece = None
    if video.start_s is not None and video.end_s is not None:
        piece = (video.start_s, video.end_s)
    with scratch_folder("tagreel-") as own:
        try:
            source, sha256 = _source(video, f"{own}/source.mp4", folder, options)
            decoded = normalise(source, stored, target_options(options), piece)
        except (FetchError, DecodeError, OSError) as error:
            said = str(error) if isinstance(error, OSError) else f"{error.reason}: {error.detail}"
            return Hashed(replace(row, failure=f"{video.uri}: {said}"))
    fingerprint = fingerprint_target(
        decoded.gray_THW, decoded.seconds_T, width=decoded.width, height=decoded.height
    )
    row = replace(
        row,
        source_sha256=sha256,
        packets_sha256=decoded.packets_sha256 if sha256 else None,
        duration_s=decoded.duration_s,
        hashes=len(fingerprint.codes),
    )
    return Hashed(row, fingerprint)


def _source(video: TargetEntry, copy: str, folder: str, options: Options) -> tuple[str, str | None]:
    """A file that holds the target video, and its hash if it holds nothing else.

    A piece of a local file is read where it lies: its file may be hours long, and have hundreds of
    pieces.

    Raises:
        FetchError: it cannot be had.
        DecodeError: a folder of frames holds none, or none that can be decoded.
    """
    path = local_file(video.uri, options.fetch, folder)
    local = Path(path).resolve() if path else None
    if local is not None and not local.is_relative_to(Path(folder).resolve()):
        local = None  # What leads out of the folder is for `fetch_source` to judge.
    if local is not None and local.is_dir():
        pictures = sorted(p for p in local.iterdir() if p.suffix.lower() in FRAME_SUFFIXES)
        contents = (picture.read_bytes() for picture in pictures)
        encode_pictures(copy, contents, fps=options.targets.frames_fps)
        return copy, None
    if local is not None and video.start_s is not None and local.is_file():
        return str(local), None
    fetched = fetch_source(video.uri, copy, options=options.fetch, folder=folder)
    return copy, None if video.start_s is not None else fetched.sha256


def hash_rows(hashed: Hashed) -> Iterator[TargetHashRow]:
    """Yield a target video's hashes as rows of its table."""
    print_ = hashed.fingerprint
    if print_ is not None:
        for code, second, variant in zip(
            print_.codes, print_.seconds, print_.versions, strict=True
        ):
            yield TargetHashRow(
                hashed.row.video_id, hashed.row.label, float(second), variant, code.tobytes()
            )


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
