import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from formats.edits import AS_IS
from formats.tables import MatchRow, VideoRow, part_files, read_rows, write_rows
from formats.video import encode_frames
from pipelines import fetch
from pipelines.__main__ import main
from pipelines.dedup_eval import evaluate, evaluate_profiles
from pipelines.fetch_options import FetchOptions
from pipelines.identity import row_key
from pipelines.judging.evaluation import EVALUATION, read_evaluation
from pipelines.options import Options, RunOptions
from pipelines.run import Job, JobError
from tests.pipelines.few_edits import keep_edits
from tests.pipelines.finished_dataset import encode_video

FEW = (AS_IS, "letterbox", "mirror", "fast2", "pip75")


@pytest.fixture
def few_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_edits(monkeypatch, *FEW)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three target videos: one of them twice, so that two are alike."""
    folder = tmp_path / "bench"
    folder.mkdir()
    for name in ("a", "b"):
        encode_video(folder / f"{name}.mp4", name, seconds=2)
    shutil.copy(folder / "a.mp4", folder / "again.mp4")
    table = folder / "val.csv"
    table.write_text("video_id,uri\na,a.mp4\nb,b.mp4\nagain,again.mp4\n")
    return table


def a_job(out: Path, *tables: Path, **options: object) -> Job:
    out.mkdir(exist_ok=True)
    settings = Options(run=RunOptions(workers=2, buckets=2), **options)
    return Job(out, "kinetics", settings, targets=tuple(map(str, tables)))


@pytest.mark.slow
@pytest.mark.usefixtures("few_edits")
def test_edited_targets_are_found_and_the_figures_are_the_same_every_time(
    tmp_path: Path, table: Path
) -> None:
    job = a_job(tmp_path / "out", table)
    result = evaluate(job, 9)
    assert set(result.videos) == {"val/a", "val/b", "val/again"}
    assert (result.profile, result.targets, result.target_videos) == ("aggressive", ("val",), 3)
    assert (result.unreadable, result.kin, result.source) == (0, 2, None)
    assert [edit.edit for edit in (result.as_is, *result.edits)] == list(FEW)
    by_name = {edit.edit: edit for edit in (result.as_is, *result.edits)}
    for name in (AS_IS, "mirror", "letterbox", "fast2"):
        assert (by_name[name].files, by_name[name].found, by_name[name].wrong) == (3, 3, 0)
    # Of the file that shows the two that are alike nothing can be said.
    assert by_name["pip75"].files == 2 and result.wrong_share == 0
    assert result.recall_without_pip == 1.0
    assert read_evaluation(str(job.out)) == result
    content = (job.out / EVALUATION).read_bytes()
    evaluate(replace(job, options=replace(job.options, run=RunOptions(workers=1, buckets=2))), 9)
    assert (job.out / EVALUATION).read_bytes() == content
    assert not [p for p in job.out.iterdir() if p.name.startswith(".dedup")]


@pytest.mark.slow
@pytest.mark.usefixtures("few_edits")
def test_what_fetch_would_reject_is_told_apart_and_a_lost_target_too(
    tmp_path: Path, table: Path
) -> None:
    job = a_job(tmp_path / "out", table, fetch=FetchOptions(min_duration_s=1.5))
    evaluate(job, 3)
    (table.parent / "b.mp4").unlink()
    result = evaluate(job, 3)
    by_name = {edit.edit: edit for edit in (result.as_is, *result.edits)}
    # Each is edited with the next one, so that the lost one takes a second with it.
    assert result.unreadable == 2
    assert (by_name["mirror"].files, by_name["mirror"].found) == (1, 1)
    assert (by_name["fast2"].files, by_name["fast2"].rejected) == (0, 1)
    assert by_name["fast2"].recall == 0.0


@pytest.mark.slow
@pytest.mark.usefixtures("few_edits")
def test_stored_source_videos_are_compared_with_each_profile(tmp_path: Path, table: Path) -> None:
    posts = tmp_path / "posts"
    posts.mkdir()
    encode_video(posts / "stranger.mp4", "stranger", seconds=2)
    shutil.copy(table.parent / "b.mp4", posts / "copy.mp4")
    job = a_job(tmp_path / "out", table, fetch=FetchOptions(file_root=str(tmp_path)))
    rows = [
        MatchRow(row_key(name), name, name, ("x",), ("x",))
        for name in ("posts/copy.mp4", "posts/stranger.mp4", "posts/gone.mp4")
    ]
    rows.sort(key=lambda row: row.row_key)
    write_rows(job.path("matches", "part-0.parquet"), rows, MatchRow)
    fetch.fetch_matches(job)
    shutil.copytree(table.parent, tmp_path, dirs_exist_ok=True)
    before = sorted(map(str, job.out.rglob("videos/*")))
    profiles = list(evaluate_profiles(job, 2, ("aggressive", "scale")))
    assert [result.profile for result in profiles] == ["aggressive", "scale"]
    assert [result.thresholds["three_frames"] for result in profiles] == [74, 52]
    for result in profiles:
        assert result.source is not None
        assert (result.source.videos, result.source.hits, result.source.known) == (2, 1, 0)
    assert sorted(map(str, job.out.rglob("videos/*"))) == before
    assert not part_files(job.path("duplicates"))
    assert sum(1 for p in part_files(job.path("videos")) for _ in read_rows(p, VideoRow)) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("few_edits")
def test_hashed_targets_of_a_dataset_are_left_alone_when_others_are_measured(
    tmp_path: Path, table: Path
) -> None:
    job = a_job(tmp_path / "out", table)
    evaluate(job, 2)
    left = {p: p.read_bytes() for p in job.out.rglob("*") if p.is_file() and p.name != EVALUATION}
    other = table.with_name("other.csv")
    other.write_text("video_id,uri\nb,b.mp4\nagain,again.mp4\n")
    result = evaluate(a_job(job.out, other), 2)
    assert (result.targets, result.target_videos) == (("other",), 2)
    assert left == {
        p: p.read_bytes() for p in job.out.rglob("*") if p.is_file() and p.name != EVALUATION
    }


@pytest.mark.parametrize(("rows", "videos"), [("a,a.mp4\n", 5), ("a,a.mp4\nb,b.mp4\n", 1)])
def test_fewer_than_two_target_videos_are_refused(
    rows: str, videos: int, tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table.write_text(f"video_id,uri\n{rows}")
    out = tmp_path / "out"
    arguments = ["dedup-eval", "--out", str(out), "--targets", str(table), "--videos", str(videos)]
    assert main(arguments) == 1
    assert "dedup-eval edits at least 2 target videos" in capsys.readouterr().err
    assert not (out / EVALUATION).exists()
    with pytest.raises(JobError, match="at least 2 target videos"):
        evaluate(a_job(out, table), videos)


@pytest.mark.usefixtures("few_edits")
def test_the_command_prints_the_table_and_removes_what_a_kill_had_left(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / ".dedup-eval" / "edited").mkdir(parents=True)
    (out / ".lock").touch()
    words = ["--targets", str(table), "--videos", "2", "--set", "deduplicate.profile=scale"]
    assert main(["dedup-eval", "--out", str(out), *words]) == 0
    said = capsys.readouterr().out
    assert "mirror" in said and "profile scale (40/48/52 bits, 24 apart)" in said
    assert said.endswith(f"the same with every miss: {out}/{EVALUATION}\n")
    assert json.loads((out / EVALUATION).read_text())["profile"] == "scale"
    assert not (out / ".dedup-eval").exists()


def test_a_flat_target_is_missed_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_edits(monkeypatch, AS_IS, "gray")
    encode_video(tmp_path / "a.mp4", "a", seconds=2)
    flat = (np.full((96, 128, 3), 90, np.uint8) for _ in range(20))
    encode_frames(str(tmp_path / "flat.mp4"), flat, fps=10)
    table = tmp_path / "val.csv"
    table.write_text("video_id,uri\na,a.mp4\nflat,flat.mp4\n")
    result = evaluate(a_job(tmp_path / "out", table), 2)
    assert result.edits[0].missed == ("val/flat",) and result.recall == 0.5
