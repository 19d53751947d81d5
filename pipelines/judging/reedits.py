"""Target videos, edited as people edit what they re-upload, then fetched as any source video is."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import apache_beam as beam

from formats.edits import EDITS, edit_video, master_options
from formats.tables import MatchRow, VideoRow, write_rows
from formats.video import DecodeError, normalise
from pipelines import fetch
from pipelines.benchmarks.target_units import target_options
from pipelines.engine import Engine, progress
from pipelines.identity import row_key
from pipelines.options import Options
from pipelines.run import Job
from pipelines.sources import FetchError, fetch_source
from pipelines.units import Workplace, fetch_videos


@dataclass(frozen=True)
class Original:
    """A target video that is edited."""

    target: str
    video_id: str
    uri: str
    folder: str
    """Where the table of its set lies: relative URIs start from there."""

    @property
    def name(self) -> tuple[str, str]:
        """As rows of duplicates name it."""
        return self.target, self.video_id


@dataclass(frozen=True)
class ReeditUnit:
    """One target video, all of whose edits are made and fetched together."""

    number: int
    shown: Original
    other: Original
    """What some edits show besides."""


def edited_id(number: int, edit: str) -> str:
    """The video_id of an edit of the unit's video; `edit_of` reads it back."""
    return f"{number}/{edit}"


def edit_of(video_id: str) -> tuple[int, str]:
    """The unit's number and the edit.

    >>> edit_of(edited_id(3, "crop05"))
    (3, 'crop05')
    """
    number, _, edit = video_id.partition("/")
    return int(number), edit


def fetch_reedits(originals: Sequence[Original], job: Job) -> None:
    """Leave the job's `videos/`: every edit of every original, stored or rejected, as if fetched.

    Each video is edited with the one that follows it. At any time one video a worker is in memory,
    and its edits on disk. A video that cannot be had any more leaves no row.
    """
    nexts = [*originals[1:], *originals[:1]]
    units = [
        ReeditUnit(number, shown, other)
        for number, (shown, other) in enumerate(zip(originals, nexts, strict=True))
    ]
    Path(job.path(fetch.TABLE)).mkdir(parents=True, exist_ok=True)

    def build(pipeline: beam.Pipeline) -> None:
        _ = (
            pipeline
            | "NameVideos" >> beam.Create(units, reshuffle=False)
            | "Reedit" >> FetchReedits(job.options, job.path(fetch.TABLE))
        )

    with progress.bar("dedup-eval", len(units) * len(EDITS), "files"):
        Engine(job.runner, job.beam_args, job.options.run.workers).execute(build)


@dataclass
class FetchReedits(beam.PTransform):
    """Units -> names of the tables of their edits."""

    options: Options
    videos: str

    def expand(self, units: beam.PCollection[ReeditUnit]) -> beam.PCollection[str]:
        return (
            units
            | "Spread" >> beam.Reshuffle()
            | "FetchUnit" >> beam.Map(fetch_reedited, self.options, self.videos)
        )


def fetch_reedited(unit: ReeditUnit, options: Options, videos: str) -> str:
    """Make all edits of one video, fetch them, and write their rows; return the table's name."""
    table = f"{videos}/part-{unit.number:05}.parquet"
    with tempfile.TemporaryDirectory(prefix=".edits-", dir=videos) as folder:
        try:
            shown = _master(unit.shown, f"{folder}/shown", options)
            other = _master(unit.other, f"{folder}/other", options)
        except (FetchError, DecodeError):
            progress.advance(len(EDITS))
            write_rows(table, [], VideoRow)
            return table
        write_rows(table, _edits_fetched(unit.number, (shown, other), options), VideoRow)
    return table


def _edits_fetched(number: int, masters: tuple[str, str], options: Options) -> list[VideoRow]:
    """One file at a time is edited, fetched and gone."""
    folder = str(Path(masters[0]).parent)
    # The edited file lies in a folder of ours, whatever else the job may read.
    own = replace(options.fetch, sources=("file",), file_root="", max_bytes=1 << 30)
    workplace = Workplace(folder, folder, own)
    rows = []
    for edit in EDITS:
        name = f"{number}-{edit}.mp4"
        edit_video(*masters, f"{folder}/{name}", edit, master_options(target_options(options)))
        match = MatchRow(row_key(name), edited_id(number, edit), name, (), ())
        ((row, stored),) = fetch_videos([match], workplace, folder)
        rows.append(row)
        Path(stored).unlink(missing_ok=True)
        Path(folder, name).unlink()
    return rows


def _master(video: Original, path: str, options: Options) -> str:
    source, master = f"{path}.source", f"{path}.mp4"
    fetch_source(video.uri, source, options=options.fetch, folder=video.folder)
    normalise(source, master, master_options(target_options(options)))
    Path(source).unlink()
    return master
