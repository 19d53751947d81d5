from pathlib import Path

import pytest

from formats.settings import SettingsError
from pipelines.finish import report_again
from pipelines.judging.precision import Precision, write_precision
from pipelines.reporting.intervals import Estimate
from pipelines.reporting.summary import dataset_options
from pipelines.run import JobError
from tests.pipelines.finished_dataset import Post, write_finished

POSTS = [Post("a", "yoga"), Post("d", "yoga", "duplicate")]
PAGE, CARD = "report/index.html", "DATASET_CARD.md"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    write_finished(folder, POSTS, settings=("split.splits=all,short", "run.buckets=2"))
    (folder / ".lock").touch()
    return folder


def test_page_and_card_are_written_with_the_options_of_the_dataset(out):
    summary = report_again(out, ())
    assert set(summary.splits) == {"all", "short"}
    assert (out / PAGE).read_text().count("<svg class=") == 2
    assert (out / CARD).exists()
    assert dataset_options(str(out)).run.buckets == 2


def test_they_stay_as_they_are_while_nothing_changes(out):
    report_again(out, ())
    (out / PAGE).write_text("mine")
    report_again(out, ())
    assert (out / PAGE).read_text() == "mine"


def test_a_setting_of_the_report_and_a_measured_precision_show(out):
    report_again(out, ())
    report_again(out, ["report.duplicate_pairs=0"])
    assert "<svg class=" not in (out / PAGE).read_text()
    assert dataset_options(str(out)).report.duplicate_pairs == 0
    estimate = Estimate(0.5, 0.25, 0.75)
    write_precision(out, Precision("r", 8, (), estimate, estimate))
    report_again(out, ())
    for name in (PAGE, CARD):
        content = (out / name).read_text()
        assert "precision 50.0 % (95 %: 25.0 to 75.0 %)" in content
        assert "have changed since" not in content
    write_precision(out, Precision("of before", 8, (), estimate, estimate))
    report_again(out, ())
    assert "the duplicates have changed since" in (out / CARD).read_text()


def test_what_would_change_the_dataset_is_refused(out, tmp_path):
    with pytest.raises(JobError, match=r"report takes settings of report\.\* alone"):
        report_again(out, ["label.min_videos=3"])
    with pytest.raises(SettingsError, match="duplicate_pairs"):
        report_again(out, ["report.duplicate_pair=3"])
    with pytest.raises(JobError, match="holds no dataset"):
        report_again(tmp_path / "nowhere", ())
    assert not (tmp_path / "nowhere").exists()
