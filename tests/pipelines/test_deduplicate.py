import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from formats.tables import DuplicateRow, part_files, read_rows
from formats.video import encode_frames
from pipelines import deduplicate
from pipelines.options import DeduplicateOptions, LabelOptions, Options, RunOptions
from pipelines.run import Job, JobError, run_stage

STAGES = ("expand", "match", "targets", "fetch", "deduplicate")


def moving(rng_seed: int) -> Iterator[np.ndarray]:
    """Four seconds of blurred noise that drifts to the right: textured, and changing."""
    coarse = np.random.default_rng(rng_seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    still = np.repeat(np.repeat(coarse, 12, axis=0), 12, axis=1)
    return (np.roll(still, 3 * shift, axis=1) for shift in range(40))


def flat(level: int) -> Iterator[np.ndarray]:
    return (np.full((96, 128, 3), level, np.uint8) for _ in range(40))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Target videos, and a catalog of copies of them and of others."""
    folder = tmp_path_factory.mktemp("world")
    for name, frames in {"t1": moving(1), "t2": moving(2), "flat": flat(40)}.items():
        encode_frames(str(folder / f"{name}.mp4"), frames, fps=10)
    encode_frames(str(folder / "recoded.mp4"), moving(1), fps=10, crf=38)
    encode_frames(str(folder / "other.mp4"), moving(3), fps=10)
    encode_frames(str(folder / "grey.mp4"), flat(90), fps=10)
    (folder / "copied.mp4").write_bytes((folder / "flat.mp4").read_bytes())
    remux = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "t2.mp4")]
    subprocess.run([*remux, "-c", "copy", str(folder / "remuxed.mkv")], check=True)
    (folder / "bench.csv").write_text("video_id,uri\nt1,t1.mp4\nflat,flat.mp4\n")
    (folder / "second.csv").write_text("video_id,uri\nt2,t2.mp4\n")
    names = ("recoded.mp4", "other.mp4", "grey.mp4", "copied.mp4", "remuxed.mkv")
    rows = "".join(f"{Path(name).stem},{name},#yoga\n" for name in names)
    (folder / "catalog.csv").write_text("video_id,uri,caption\n" + rows)
    (folder / "labels.txt").write_text("yoga\n")
    return folder


def job_of(world: Path, out: Path, workers: int = 1, **options: object) -> Job:
    settings = Options(
        run=RunOptions(workers=workers),
        label=LabelOptions(min_videos=1),
        deduplicate=DeduplicateOptions(**options),  # type: ignore[arg-type]
    )
    tables = (str(world / "bench.csv"), str(world / "second.csv"))
    return Job(out, str(world / "labels.txt"), settings, str(world / "catalog.csv"), tables)


def run(job: Job) -> dict[str, int]:
    return [run_stage(stage, job)[0] for stage in STAGES][-1].counts


def rows_in(job: Job, table: str) -> list[DuplicateRow]:
    return [row for file in part_files(job.path(table)) for row in read_rows(file, DuplicateRow)]


@pytest.fixture(scope="module")
def done(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = job_of(world, tmp_path_factory.mktemp("out"))
    run(job)
    return job


def test_copies_are_found_by_bytes_packets_and_frames_with_the_set_named(done: Job) -> None:
    found = {row.video_id: row for row in rows_in(done, "duplicates")}
    assert {name: (row.tier, row.target, row.target_video_id) for name, row in found.items()} == {
        "recoded": ("frames", "bench", "t1"),
        "copied": ("sha256", "bench", "flat"),
        "remuxed": ("packets", "second", "t2"),
    }
    # Nothing of a flat picture can be compared; a remuxed file's frames are the same.
    assert (found["copied"].matched_frames, found["copied"].frames_needed) == (0, 0)
    assert found["remuxed"].min_distance == 0
    assert found["remuxed"].matched_frames >= 7
    assert found["recoded"].version == "raw"


def test_the_counts_say_what_was_compared_and_what_chance_would_find(done: Job) -> None:
    assert deduplicate.count_duplicates(done) == {
        "videos": 5,
        "compared": 5,
        "duplicates": 3,
        "evidence_rows": 3,
        "decoy_hits": 0,
        "stop_frames": 0,
    }


def test_a_decoy_that_hits_is_kept_with_its_evidence(world: Path, tmp_path: Path) -> None:
    job = job_of(world, tmp_path, one_frame=200, two_frames=200, three_frames=200)
    assert run(job)["decoy_hits"] > 0
    assert {row.tier for row in rows_in(job, "decoys")} == {"decoy"}


def test_thresholds_of_ones_own_and_no_decoys(world: Path, tmp_path: Path) -> None:
    none = dict.fromkeys(("one_frame", "two_frames", "three_frames", "four_frames", "still"), 0)
    job = job_of(world, tmp_path, **none, decoys=False)
    run(job)
    assert {row.video_id for row in rows_in(job, "duplicates")} == {"copied", "remuxed"}
    assert not part_files(job.path("decoys"))


def test_any_number_of_workers_gives_the_same_bytes(world: Path, done: Job, tmp_path: Path) -> None:
    job = job_of(world, tmp_path, workers=4)
    run(job)
    files = part_files(done.path("duplicates"))
    assert len(files) == len(part_files(job.path("duplicates"))) > 0
    for file in files:
        assert Path(file).read_bytes() == Path(job.path("duplicates", Path(file).name)).read_bytes()


def test_too_many_duplicates_fail_the_job(world: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match="3 duplicates of targets and 0 re-posts among 5"):
        run(job_of(world, tmp_path, max_duplicate_fraction=0.5))


@pytest.mark.parametrize("wrong", [{"one_frame": 300}, {"one_frame": 80}, {"apart": -2}])
def test_thresholds_that_make_no_profile_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must rise|at least -1"):
        DeduplicateOptions(**wrong)  # type: ignore[arg-type]
