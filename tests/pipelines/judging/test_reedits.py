from pathlib import Path

import pytest

from formats.edits import AS_IS
from formats.tables import VideoRow, read_rows
from pipelines.fetch_options import FetchOptions
from pipelines.judging.reedits import Original, ReeditUnit, edit_of, edited_id, fetch_reedited
from pipelines.options import Options
from tests.pipelines.few_edits import keep_edits
from tests.pipelines.finished_dataset import encode_video


@pytest.fixture
def unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReeditUnit:
    keep_edits(monkeypatch, AS_IS, "fast2", "pip50")
    (tmp_path / "videos").mkdir()
    for name in ("a", "b"):
        encode_video(tmp_path / f"{name}.mp4", name, seconds=2)
    shown, other = (Original("val", name, f"{name}.mp4", str(tmp_path)) for name in ("a", "b"))
    return ReeditUnit(7, shown, other)


def test_an_edited_file_is_known_by_its_unit_and_edit() -> None:
    assert edit_of(edited_id(12, "crop05")) == (12, "crop05")


def test_every_edit_is_fetched_as_a_source_video_is_and_only_its_row_is_left(
    unit: ReeditUnit, tmp_path: Path
) -> None:
    # What the job may read, and how much of it, does not count for files made here.
    fetch = FetchOptions(min_duration_s=1.5, file_root=str(tmp_path), max_bytes=10**6)
    table = fetch_reedited(unit, Options(fetch=fetch), str(tmp_path / "videos"))
    rows = list(read_rows(table, VideoRow))
    assert [(row.video_id, row.status, row.reason) for row in rows] == [
        (edited_id(7, AS_IS), "stored", None),
        (edited_id(7, "fast2"), "rejected", "too_short"),
        (edited_id(7, "pip50"), "stored", None),
    ]
    assert all(row.fingerprint for row in rows if row.status == "stored")
    assert len({row.row_key for row in rows}) == 3
    assert [path.name for path in (tmp_path / "videos").iterdir()] == [Path(table).name]


@pytest.mark.parametrize("lost", ["a.mp4", "b.mp4"])
def test_a_video_that_cannot_be_had_leaves_no_row(
    lost: str, unit: ReeditUnit, tmp_path: Path
) -> None:
    (tmp_path / lost).write_bytes(b"no video")
    table = fetch_reedited(unit, Options(), str(tmp_path / "videos"))
    assert list(read_rows(table, VideoRow)) == []
    assert [path.name for path in (tmp_path / "videos").iterdir()] == [Path(table).name]
