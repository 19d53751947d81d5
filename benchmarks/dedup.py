"""How many edited copies are found, how many strangers are removed, and what all of it costs.

Run: python -m benchmarks.dedup FOLDER_OF_CLIPS [TARGETS [VPDQ_PYTHON]]

Clips that cannot be stored, and all but one of those that share a frame (31 of 256 bits, unaltered:
one shoot, or one file in two encodings), are left out. Of the rest, TARGETS (30) that last 2.4 s or
longer and have no frame within 80 bits of another of them, chosen by hash, are the target set, but
not more than half of all; the others are strangers that must stay. Each target is edited in the
ways of `formats.edits` and found, or not, by the stages fetch, targets and deduplicate, once for
each profile.

VPDQ_PYTHON is a Python with `vpdq` installed (PyPI; its build needs cmake and the headers of
libav*), to measure it beside ours; this one is tried if none is named.
"""

import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.dedup_cost import print_costs
from dedup.fingerprint import Fingerprint, fingerprint_video
from formats.shards import digest_of
from formats.tables import DuplicateRow, MatchRow, part_files, read_rows, write_rows
from formats.video import DecodeError, VideoOptions, normalise
from pipelines import deduplicate, fetch, match
from pipelines.dedup_eval import evaluate_profiles
from pipelines.fetch_options import FetchOptions
from pipelines.identity import row_key
from pipelines.judging.evaluation import lines
from pipelines.options import Options
from pipelines.run import Job, run_stage

TARGETS, MIN_TARGET_S = 30, 2.4
SAME_FRAME_BITS, LIKE_FRAME_BITS = 31, 80
PROFILES = ("aggressive", "scale")


@dataclass(frozen=True)
class Clip:
    """A clip that can be stored."""

    name: str
    """Its path below the folder."""
    seconds: float
    fingerprint: Fingerprint


def main(folder: Path, wanted: int, vpdq_python: str) -> None:
    """Print the tables."""
    clips = unlike(read_clips(folder), SAME_FRAME_BITS)
    chosen, strangers = divide(clips, wanted)
    print(f"{len(chosen)} targets and {len(strangers)} strangers of {len(clips)} unlike clips")
    with tempfile.TemporaryDirectory() as scratch:
        job = make_job(folder, chosen, Path(scratch))
        fetch_strangers(strangers, job)
        for result in evaluate_profiles(job, len(chosen), PROFILES):
            print()
            print("\n".join(lines(result)))
            print("strangers removed:", ", ".join(removed(job, result.profile)) or "none")
        print()
        print_costs([folder / clip.name for clip in chosen], Path(scratch), vpdq_python)


def read_clips(folder: Path) -> list[Clip]:
    """Every clip of the folder that fetch would store, by name."""
    with tempfile.TemporaryDirectory() as scratch:

        def read(path: Path) -> Clip | None:
            name = str(path.relative_to(folder))
            stored = f"{scratch}/{digest_of(name)}.mp4"
            try:
                video = normalise(str(path), stored, VideoOptions())
            except DecodeError:
                return None
            size = {"width": video.width, "height": video.height}
            shown = fingerprint_video(video.gray_THW, video.seconds_T, **size)
            return Clip(name, video.duration_s, shown)

        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [clip for clip in pool.map(read, paths) if clip is not None]


def unlike(clips: Sequence[Clip], bits: int) -> list[Clip]:
    """The first clip of each family: those that share a frame, directly or by way of others."""
    families = list(range(len(clips)))
    for number, clip in enumerate(clips):
        for earlier in range(number):
            if families[earlier] != families[number] and share_a_frame(clip, clips[earlier], bits):
                old, new = families[number], families[earlier]
                families = [min(old, new) if f in (old, new) else f for f in families]
    firsts = [families.index(family) for family in sorted(set(families))]
    return [clips[first] for first in firsts if len(clips[first].fingerprint.codes)]


def share_a_frame(one: Clip, other: Clip, bits: int) -> bool:
    """Whether a frame of one is, unaltered, within so many bits of one of the other."""
    differing = one.fingerprint.codes[:, None] ^ other.fingerprint.codes[None]
    between = np.bitwise_count(differing).sum(axis=2)
    return bool(between.size and between.min() <= bits)


def divide(clips: Sequence[Clip], wanted: int) -> tuple[list[Clip], list[Clip]]:
    """Targets and strangers."""
    in_order = sorted(clips, key=lambda clip: digest_of(clip.name))
    in_order = unlike([c for c in in_order if c.seconds >= MIN_TARGET_S], LIKE_FRAME_BITS)
    chosen = in_order[: min(wanted, len(clips) // 2)]
    return chosen, [clip for clip in clips if clip not in chosen]


def make_job(folder: Path, chosen: Sequence[Clip], scratch: Path) -> Job:
    """A job with the chosen clips as its target set."""
    table = scratch / "chosen.csv"
    with open(table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("video_id", "uri"), *((c.name, c.name) for c in chosen)])
    options = Options(fetch=FetchOptions(file_root=str(folder.resolve())))
    job = Job(scratch / "out", "kinetics", options, targets=(str(table),))
    job.out.mkdir()
    run_stage("targets", job)
    return job


def fetch_strangers(strangers: Sequence[Clip], job: Job) -> None:
    """Leave the strangers as the job's stored source videos."""
    rows = [MatchRow(row_key(c.name), c.name, c.name, ("any",), ("any",)) for c in strangers]
    rows.sort(key=lambda row: row.row_key)
    write_rows(job.path(match.TABLE, "part-00000-of-00001.parquet"), rows, MatchRow)
    fetch.fetch_matches(job)


def removed(job: Job, profile: str) -> list[str]:
    """The strangers that the stage deduplicate removes, each with what it took it for."""
    options = replace(job.options.deduplicate, profile=profile)
    work = replace(job, options=replace(job.options, deduplicate=options))
    deduplicate.run(work)
    found = [
        f"{row.video_id} as {row.target_video_id} ({row.min_distance} bits, {row.matched_frames} "
        f"frames, {row.version} {row.variant})"
        for part in part_files(work.path(deduplicate.TABLE))
        for row in read_rows(part, DuplicateRow)
    ]
    shutil.rmtree(work.path(deduplicate.TABLE))
    return found


if __name__ == "__main__":
    words = [*sys.argv[1:], *("", "", "")][:3]
    if not words[0]:
        raise SystemExit(__doc__)
    main(Path(words[0]), int(words[1] or TARGETS), words[2] or sys.executable)
