import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import pytest

from formats.tables import (
    DuplicateRow,
    LabelledRow,
    RepostRow,
    VideoRow,
    part_files,
    read_rows,
    write_rows,
)
from formats.video import encode_frames
from pipelines import deduplicate, reposts
from pipelines.options import DeduplicateOptions, LabelOptions, Options, RunOptions
from pipelines.reposting import repost_pairs
from pipelines.run import Job, JobError, run_stage
from tests.pipelines.test_deduplicate import flat, moving

STAGES = ("expand", "match", "targets", "fetch", "deduplicate")
EDITS = {
    "a_low": ("a", ("-crf", "38")),
    "a_mirror": ("a", ("-vf", "hflip", "-crf", "30")),
    "a_bars": ("a", ("-vf", "pad=iw:ih*1.5:0:(oh-ih)/2")),
    "b_trim": ("b", ("-ss", "1", "-t", "2")),
    "leak": ("target", ("-crf", "30")),
    "leak_mirror": ("target", ("-vf", "hflip")),
}
POSTS = ["a", "b", "other", "grey", "dark", "grey_again", *EDITS]


def edit(folder: Path, source: str, name: str, *words: str) -> None:
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / f"{source}.mp4")]
    subprocess.run([*ffmpeg, *words, str(folder / f"{name}.mp4")], check=True)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Videos that were posted again in several ways, some of them copies of a target."""
    folder = tmp_path_factory.mktemp("world")
    for number, name in enumerate(("a", "b", "other", "target")):
        encode_frames(str(folder / f"{name}.mp4"), moving(number), fps=10, crf=15)
    encode_frames(str(folder / "grey.mp4"), flat(90), fps=10)
    encode_frames(str(folder / "dark.mp4"), flat(30), fps=10)
    shutil.copy(folder / "grey.mp4", folder / "grey_again.mp4")
    for name, (source, words) in EDITS.items():
        edit(folder, source, name, *words)
    (folder / "bench.csv").write_text("video_id,uri\ntarget,target.mp4\n")
    (folder / "labels.txt").write_text("yoga\n")
    write_catalog(folder / "catalog.csv", POSTS)
    return folder


def write_catalog(path: Path, posts: Sequence[str]) -> None:
    rows = "".join(f"{name},{name}.mp4,#yoga\n" for name in posts)
    path.write_text("video_id,uri,caption\n" + rows)


def job_of(world: Path, out: Path, workers: int = 1, **options: object) -> Job:
    settings = Options(
        run=RunOptions(workers=workers),
        label=LabelOptions(min_videos=1),
        deduplicate=DeduplicateOptions(**{"reposts": True, **options}),  # type: ignore[arg-type]
    )
    targets = (str(world / "bench.csv"),)
    return Job(out, str(world / "labels.txt"), settings, str(world / "catalog.csv"), targets)


@pytest.fixture(scope="module")
def done(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = job_of(world, tmp_path_factory.mktemp("out"))
    for stage in STAGES:
        run_stage(stage, job)
    return job


def copy_of(done: Job, out: Path, **changes: object) -> Job:
    """The job with its re-posts not looked for yet."""
    shutil.copytree(done.out, out)
    shutil.rmtree(out / reposts.TABLE)
    return replace(done, out=out, **changes)


def rows_of(job: Job, table: str, row_type: type) -> list:
    return [row for file in part_files(job.path(table)) for row in read_rows(file, row_type)]


def bytes_of(job: Job) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (job.out / reposts.TABLE).iterdir()}


def found_by(job: Job) -> dict[str, RepostRow]:
    return {row.video_id: row for row in rows_of(job, reposts.TABLE, RepostRow)}


def test_of_videos_that_show_the_same_one_is_kept_and_targets_duplicates_are_none_of_them(
    done: Job,
) -> None:
    names = {row.row_key: row.video_id for row in rows_of(done, "videos", VideoRow)}
    found = {video_id: names[row.kept_key] for video_id, row in found_by(done).items()}
    one, other = sorted(("grey", "grey_again"), key=lambda n: {v: k for k, v in names.items()}[n])
    assert found == {"a_low": "a", "a_mirror": "a", "a_bars": "a", "b_trim": "b", other: one}
    duplicates = {row.video_id for row in rows_of(done, "duplicates", DuplicateRow)}
    assert duplicates == {"leak", "leak_mirror"}


def test_re_posts_count_as_removed_where_too_many_go(done: Job, tmp_path: Path) -> None:
    job = copy_of(done, tmp_path / "out")
    limit = replace(job.options.deduplicate, max_duplicate_fraction=0.3)
    job = replace(job, options=replace(job.options, deduplicate=limit))
    with pytest.raises(JobError, match="2 duplicates of targets and 5 re-posts among 12 stored"):
        deduplicate.run(job)


def test_the_evidence_says_what_matched_and_where(done: Job) -> None:
    found = found_by(done)
    assert {name: (row.tier, row.version, row.variant) for name, row in found.items()} == {
        "a_low": ("frames", "raw", "raw"),
        "a_mirror": ("frames", "raw", "raw+mirror"),
        "a_bars": ("frames", "stripped", "raw"),
        "b_trim": ("frames", "raw", "raw"),
        **{name: ("sha256", "", "") for name in found if name.startswith("grey")},
    }
    trim = found["b_trim"]
    assert trim.alike_key == trim.kept_key
    assert trim.offset_s == pytest.approx(-1.0) and trim.matched_frames == 4
    assert all(0 <= row.min_distance <= 40 for row in found.values())


def test_the_counts_say_how_many_and_what_was_left_out(done: Job) -> None:
    counts = reposts.count_reposts(done)
    assert counts == {"reposts": 5, "repost_pairs": 8, "repost_comparisons_skipped": 0}


def test_a_repost_trains_nothing(done: Job) -> None:
    run_stage("label", done)
    labelled = {row.video_id for row in rows_of(done, "labelled", LabelledRow)}
    assert labelled == {"a", "b", "other", "dark", *labelled & {"grey", "grey_again"}}
    assert len(labelled) == 5


def test_they_are_not_looked_for_unless_asked_and_gone_when_no_longer(
    done: Job, world: Path, tmp_path: Path
) -> None:
    shutil.copytree(done.out, tmp_path / "out")
    job = job_of(world, tmp_path / "out", reposts=False)
    counts = run_stage("deduplicate", job)[0].counts
    assert "reposts" not in counts and reposts.count_reposts(job) == {}
    assert not part_files(job.path(reposts.TABLE))


def test_more_workers_smaller_slices_and_shuffled_parts_give_the_same_bytes(
    done: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = replace(done.options, run=replace(done.options.run, workers=3))
    job = copy_of(done, tmp_path / "out", options=options)
    rows = rows_of(job, "videos", VideoRow)[::-1]
    for file in part_files(job.path("videos")):
        Path(file).unlink()
    for number in range(3):
        write_rows(job.path("videos", f"part-{9 - number}.parquet"), rows[number::3], VideoRow)
    # One band and a few hashes at a time, as if there were millions.
    monkeypatch.setattr(repost_pairs, "_ENTRIES_AT_ONCE", 1)
    monkeypatch.setattr(repost_pairs, "_SLICE_HASHES", 20)
    reposts.write_reposts(job, "duplicates")
    assert bytes_of(job) == bytes_of(done)


def test_a_run_that_was_killed_leaves_nothing_that_the_next_one_reads(
    done: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = copy_of(done, tmp_path / "out")

    def killed(_files: object, _orphans: object) -> list[RepostRow]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(reposts, "find_reposts", killed)
        with pytest.raises(KeyboardInterrupt):
            reposts.write_reposts(job, "duplicates")
    assert not part_files(job.path(reposts.TABLE)) and (job.out / ".reposts").exists()
    for _again in range(2):
        reposts.write_reposts(job, "duplicates")
        assert bytes_of(job) == bytes_of(done)
    assert not (job.out / ".reposts").exists()


def test_a_catalog_that_grew_ends_as_if_it_had_been_whole_from_the_start(
    done: Job, world: Path, tmp_path: Path
) -> None:
    growing = world / "growing.csv"
    grown = replace(done, out=tmp_path / "out", catalog=str(growing))
    write_catalog(growing, ["a_bars", "a_low", "b_trim", "leak", "grey"])
    for stage in STAGES:
        run_stage(stage, grown)
    assert set(found_by(grown)) == {"a_bars"}
    write_catalog(growing, POSTS[::-1])
    for stage in STAGES:
        run_stage(stage, grown)
    assert bytes_of(grown) == bytes_of(done)
