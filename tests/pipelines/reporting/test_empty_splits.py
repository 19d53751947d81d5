from pathlib import Path

import pytest

from formats.tables import SplitQuotaRow, write_rows
from pipelines.options import SplitOptions
from pipelines.reporting.empty_splits import why_empty

NONE = {"all": 9, "short": 0, "long": 0, "long_center": 0}
RULE = "split.budget=F1 takes only labels that have both 1-5 s and 55-60.5 s"


@pytest.mark.parametrize(
    ("lengths", "clips", "says"),
    [
        ([(3, 0)], NONE, f"are empty: no label has a video of 55-60.5 s; {RULE}"),
        ([(0, 2)], NONE, f"are empty: no label has a video of 1-5 s; {RULE}"),
        ([], NONE, f"are empty: no label has a video of 1-5 s or of 55-60.5 s; {RULE}"),
        ([(3, 0), (0, 2)], NONE, f"are empty: no label has videos of both lengths; {RULE}"),
        ([(3, 2)], NONE, "are empty: split.budget=F1 leaves no room for a video"),
        (
            [(3, 0)],
            {"all": 9, "long": 0},
            f"long is empty: no label has a video of 55-60.5 s; {RULE}",
        ),
        ([(3, 2)], {"all": 9, "short": 2, "long": 2}, None),
        ([(3, 0)], {"all": 0}, None),
    ],
)
def test_it_is_said_what_keeps_temporal_splits_empty(
    tmp_path: Path, lengths: list[tuple[int, int]], clips: dict[str, int], says: str | None
) -> None:
    rows = [SplitQuotaRow(n, str(n), *both, 0, 0, 0, None) for n, both in enumerate(lengths)]
    write_rows(str(tmp_path / "quotas.parquet"), rows, SplitQuotaRow)
    found = why_empty(str(tmp_path), clips, SplitOptions())
    assert found == says or (found or "").removeprefix("short, long, long_center ") == says
