from pathlib import Path

import pytest

from pipelines.run import JobError
from pipelines.targets import TargetEntry, read_targets


def test_a_target_table_needs_two_columns_and_may_have_four(tmp_path: Path) -> None:
    table = tmp_path / "bench.csv"
    table.write_text("video_id,uri,label,subset\na,a.mp4,yoga,val\nb,b.mp4,,\n")
    assert read_targets(str(table)) == [
        TargetEntry("a", "a.mp4", "yoga", "val"),
        TargetEntry("b", "b.mp4"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("id,uri\na,b\n", "needs the columns video_id and uri .*; found: id, uri"),
        ("", "found: none"),
        ("video_id,uri\na,b\na,c\n", r"1 video_id\(s\) stand there more than once"),
    ],
)
def test_a_wrong_target_table_is_refused_by_name(
    tmp_path: Path, content: str, message: str
) -> None:
    table = tmp_path / "bench.csv"
    table.write_text(content)
    with pytest.raises(JobError, match=message):
        read_targets(str(table))


def test_a_missing_target_table_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"none\.csv: cannot be read as a target table"):
        read_targets(str(tmp_path / "none.csv"))
