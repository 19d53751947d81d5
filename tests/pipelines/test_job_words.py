import argparse
from pathlib import Path

import pytest

from formats.settings import SettingsError, to_toml
from pipelines.job_words import described_job, evaluated_job, settings_in
from pipelines.options import DeduplicateOptions, Options
from pipelines.run import JobError


def words(out: Path, **given: object) -> argparse.Namespace:
    plain = {"targets": "", "catalog": None, "seed": "kinetics", "config": [], "words": []}
    rest = {"retry": "", "runner": "local", "beam": [], "out": out}
    return argparse.Namespace(**{**plain, **rest, **given})


def test_a_setting_may_hold_spaces_and_several_may_stand_in_one_word() -> None:
    assert settings_in(["a.b=1 2", "c=d e=f"]) == ["a.b=1 2", "c=d", "e=f"]


def test_a_job_of_target_videos_needs_no_catalog(tmp_path: Path) -> None:
    arguments = words(tmp_path / "out", targets="a.csv,b.csv", words=["run.rng_seed=4"])
    with evaluated_job(arguments) as job:
        assert job.targets == ("a.csv", "b.csv")
        assert job.options.run.rng_seed == 4


def test_its_options_are_those_of_the_dataset_in_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with evaluated_job(words(out, targets="a.csv")):
        pass
    made = Options(deduplicate=DeduplicateOptions(profile="scale", two_frames=50))
    (out / "config.toml").write_text(to_toml(made))
    with evaluated_job(words(out, targets="a.csv", words=["deduplicate.two_frames=46"])) as job:
        assert job.options.deduplicate == DeduplicateOptions(profile="scale", two_frames=46)
        with pytest.raises(JobError, match="another job"), evaluated_job(words(out, targets="a")):
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
