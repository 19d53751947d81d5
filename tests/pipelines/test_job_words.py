import argparse
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from formats.settings import SettingsError, to_toml
from pipelines.job_words import described_job, evaluated_job, settings_in
from pipelines.options import DeduplicateOptions, Options
from pipelines.run import Job, JobError, write_config


def words(out: Path, **given: object) -> argparse.Namespace:
    plain = {"targets": "", "catalog": None, "seed": "kinetics", "config": [], "words": []}
    rest = {"retry": "", "runner": "local", "beam": [], "out": out}
    return argparse.Namespace(**{**plain, **rest, **given})


@pytest.fixture
def tables(tmp_path: Path) -> tuple[str, str]:
    paths = (tmp_path / "a.csv", tmp_path / "b.csv")
    for path in paths:
        path.write_text("video_id,uri\nt,t.mp4\n")
    return str(paths[0]), str(paths[1])


def test_a_setting_may_hold_spaces_and_several_may_stand_in_one_word() -> None:
    assert settings_in(["a.b=1 2", "c=d e=f"]) == ["a.b=1 2", "c=d", "e=f"]


def test_a_job_of_target_videos_needs_no_catalog(tmp_path: Path, tables: tuple[str, str]) -> None:
    arguments = words(tmp_path / "out", targets=",".join(tables), words=["run.rng_seed=4"])
    with evaluated_job(arguments) as job:
        assert job.targets == tables
        assert job.options.run.rng_seed == 4


def test_its_options_are_those_of_the_dataset_in_the_folder(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    out = tmp_path / "out"
    with evaluated_job(words(out, targets=tables[0])):
        pass
    made = Options(deduplicate=DeduplicateOptions(profile="scale", two_frames=50))
    (out / "config.toml").write_text(to_toml(made))
    with evaluated_job(words(out, targets=tables[0], words=["deduplicate.two_frames=46"])) as job:
        assert job.options.deduplicate == DeduplicateOptions(profile="scale", two_frames=46)
        with (
            pytest.raises(JobError, match="another job"),
            evaluated_job(words(out, targets=tables[0])),
        ):
            pass


def test_a_catalog_that_is_not_there_or_an_unknown_option_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with (
        pytest.raises(JobError, match=r"none\.csv: no such catalog"),
        described_job(words(out, catalog="none.csv")),
    ):
        pass
    with (
        pytest.raises(SettingsError, match="profil"),
        evaluated_job(words(out, targets="a.csv", words=["deduplicate.profil=scale"])),
    ):
        pass


@pytest.mark.parametrize("make_job", [described_job, evaluated_job])
def test_a_folder_of_ones_own_is_never_filled_from_the_sample(
    tmp_path: Path, make_job: Callable[[argparse.Namespace], AbstractContextManager[Job]]
) -> None:
    out, catalog = tmp_path / "out", tmp_path / "posts.csv"
    catalog.write_text("video_id,uri,hashtags\na,a.mp4,yoga\n")
    with described_job(words(out, catalog=str(catalog))) as job:
        write_config(job)
    asked = words(out, world=str(tmp_path / "world"))
    with pytest.raises(JobError, match=r"name (it with CATALOG|TARGETS, or NAME and ROOT)"):
        make_job(asked).__enter__()
    assert not (tmp_path / "world").exists()


def test_target_sets_of_ones_own_are_never_replaced_by_the_samples(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    asked = words(tmp_path / "out", targets=tables[0], world=str(tmp_path / "world"))
    with pytest.raises(JobError, match=r"a\.csv: target sets of your own .* need a CATALOG"):
        described_job(asked).__enter__()
    assert not (tmp_path / "world").exists()
    with evaluated_job(asked) as job:
        assert job.targets == tables[:1]


def test_an_unknown_target_set_or_runner_is_refused_before_a_stage_begins(tmp_path: Path) -> None:
    catalog = tmp_path / "posts.csv"
    catalog.write_text("video_id,uri,hashtags\na,a.mp4,yoga\n")
    for given, said in (
        ({"targets": "gone.csv"}, r"gone\.csv: no such target table"),
        ({"runner": "Nonsense"}, "RUNNER=Nonsense: no such runner; known: local, "),
    ):
        asked = words(tmp_path / "out", catalog=str(catalog), **given)
        with pytest.raises(JobError, match=said), described_job(asked):
            pass
