from pathlib import Path

from formats.tables import TargetVideoRow, write_rows
from pipelines.reporting.target_counts import TargetCount, count_targets


def test_what_could_not_be_hashed_is_counted_and_said(tmp_path: Path) -> None:
    videos = [TargetVideoRow(name, f"{name}.mp4") for name in "abcd"]
    lost = [TargetVideoRow("e", "e.mp4", failure="gone: e.mp4")]
    for name, rows in (("part", videos + lost), ("whole", videos)):
        write_rows(str(tmp_path / "target_videos" / f"{name}.parquet"), rows, TargetVideoRow)
    counts = count_targets(str(tmp_path))
    assert counts == {"part": TargetCount(5, 4), "whole": TargetCount(4, 4)}
    said = "4 of 5 target videos hashed; copies of the other may remain"
    assert [one.say_unseen() for one in counts.values()] == [said, None]
    assert (TargetCount(9, 2).say_unseen() or "").endswith("copies of the other 7 may remain")


def test_a_dataset_without_target_sets_has_no_counts(tmp_path: Path) -> None:
    assert count_targets(str(tmp_path)) == {}
