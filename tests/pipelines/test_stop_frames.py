from dataclasses import replace
from pathlib import Path

import pytest

from dedup.stop_frames import TargetFrame
from formats.tables import DuplicateRow, read_rows, write_rows
from pipelines.stop_frames import drop_stop_frames

ROW = DuplicateRow("k", "v", "bench", "card", 2, 0.0, 12, "full", 0.0, 0.5, "raw", 1)


def in_passing(count: int, **more: object) -> list[DuplicateRow]:
    """So many videos that show one frame of a target in passing."""
    return [replace(ROW, row_key=f"{n:04d}", in_passing=True, **more) for n in range(count)]


def write(folder: Path, *parts: list[DuplicateRow]) -> None:
    for number, rows in enumerate(parts):
        write_rows(str(folder / f"part-{number}.parquet"), rows, DuplicateRow)


def read(folder: Path) -> list[DuplicateRow]:
    return [row for path in sorted(folder.iterdir()) for row in read_rows(str(path), DuplicateRow)]


def test_what_a_hundred_and_one_videos_show_in_passing_gives_none_of_them_away(tmp_path: Path):
    cards, others = in_passing(101), in_passing(100, target_second=4.0)
    kept = [
        replace(ROW, row_key="more of it"),
        *in_passing(1, tier="uri"),
        *in_passing(1, target="other"),
        *in_passing(1, target_video_id="another"),
    ]
    write(tmp_path, cards[:50], cards[50:] + kept, others)
    assert drop_stop_frames(str(tmp_path), 4000) == {TargetFrame("bench", "card", 0.5): 101}
    assert read(tmp_path) == kept + others
    assert drop_stop_frames(str(tmp_path), 4000) == {}
    assert read(tmp_path) == kept + others


@pytest.mark.parametrize(("count", "sources"), [(100, 0), (1000, 10_000_000)])
def test_a_table_without_stop_frames_is_not_written_anew(tmp_path: Path, count: int, sources: int):
    write(tmp_path, in_passing(count))
    before = (tmp_path / "part-0.parquet").stat()
    assert drop_stop_frames(str(tmp_path), sources) == {}
    assert (tmp_path / "part-0.parquet").stat() == before
