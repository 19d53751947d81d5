from pathlib import Path

import pytest

from formats.storage import StorageError
from pipelines.options import LabelOptions, MatchOptions, Options, RunOptions
from pipelines.run import Job, JobError, exclusive, read_record, run_stage


def job(out: Path, **more: object) -> Job:
    return Job(out, "kinetics", Options(**more))  # type: ignore[arg-type]


def test_a_stage_is_skipped_until_its_options_change(tmp_path: Path) -> None:
    first, done = run_stage("expand", job(tmp_path))
    assert not done and first.counts["hashtags"] == 5563
    assert run_stage("expand", job(tmp_path)) == (first, True)
    assert run_stage("expand", job(tmp_path, run=RunOptions(workers=1))) == (first, True)
    labels = tmp_path / "labels.txt"
    labels.write_text("yoga\n")
    other, done = run_stage("expand", Job(tmp_path, str(labels), Options()))
    assert not done and other.counts["labels"] == 1


def test_a_stage_runs_again_if_what_it_left_is_gone(tmp_path: Path) -> None:
    run_stage("expand", job(tmp_path))
    (tmp_path / "hashtags.parquet").unlink()
    _, done = run_stage("expand", job(tmp_path))
    assert not done and (tmp_path / "hashtags.parquet").exists()


def test_a_damaged_record_counts_as_none(tmp_path: Path) -> None:
    run_stage("expand", job(tmp_path))
    (tmp_path / "stages" / "expand.json").write_text("{")
    assert read_record("expand", tmp_path) is None


def test_a_folder_at_the_place_of_a_record_counts_as_none_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "stages" / "expand.json").mkdir(parents=True)
    assert read_record("expand", tmp_path) is None
    with pytest.raises(IsADirectoryError) as caught:
        run_stage("expand", job(tmp_path))
    assert caught.value.filename == str(tmp_path / "stages" / "expand.json")


def test_a_stage_that_the_disk_refuses_leaves_nothing(tmp_path: Path) -> None:
    run_stage("expand", job(tmp_path))
    (tmp_path / "stages" / "expand.json").unlink()
    (tmp_path / "expansion.json").unlink()
    (tmp_path / "expansion.json" / "inside").mkdir(parents=True)
    with pytest.raises(StorageError, match=r"expansion\.json: cannot be written"):
        run_stage("expand", job(tmp_path))
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []


def test_scraps_of_killed_writers_go_when_the_stage_runs_or_the_folder_is_taken(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    with exclusive(out):
        run_stage("expand", job(out))
    (out / "matches" / "deep").mkdir(parents=True)
    scraps = [
        out / ".config.toml.0a.tmp",
        out / "stages" / ".expand.json.0a.tmp",
        out / "matches" / "deep" / ".part.0a.tmp",
    ]
    for scrap in scraps:
        scrap.write_text("half")
    with exclusive(out):
        assert [scrap.exists() for scrap in scraps] == [False, False, True]
        with pytest.raises(JobError, match="match needs a catalog"):
            run_stage("match", job(out))
        assert scraps[2].exists()
        catalog = tmp_path / "posts.csv"
        catalog.write_text("video_id,uri,hashtags\na,a.mp4,yoga\n")
        run_stage("match", Job(out, "kinetics", Options(), str(catalog)))
    assert not scraps[2].exists()


def test_a_stage_names_the_one_that_it_needs(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="fetch needs the stage match; run `make match` first"):
        run_stage("fetch", job(tmp_path))


def test_a_second_job_on_one_folder_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with exclusive(out), pytest.raises(JobError, match="another job is writing here"):
        exclusive(out).__enter__()
    with exclusive(out):
        assert (out / ".lock").exists()


def test_a_folder_with_files_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_text("x")
    with pytest.raises(JobError, match="holds files that are not Tagreel's"):
        exclusive(tmp_path).__enter__()


def test_the_config_digest_knows_options_from_operational_ones(tmp_path: Path) -> None:
    digest = job(tmp_path).config_digest
    assert job(tmp_path / "elsewhere", run=RunOptions(workers=7)).config_digest == digest
    assert job(tmp_path, label=LabelOptions(min_videos=3)).config_digest != digest
    assert job(tmp_path, match=MatchOptions(uri="url")).config_digest != digest
