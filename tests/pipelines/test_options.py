import pytest

from formats.settings import significant
from pipelines.options import FetchOptions, LabelOptions, Options, SplitOptions


def test_the_defaults_are_the_papers() -> None:
    options = Options()
    assert options.label.min_videos == 50
    assert options.split.center_s == 4.0
    assert options.expand.forms == ("original", "stem")


def test_how_the_work_is_done_is_no_part_of_the_dataset() -> None:
    names = significant(FetchOptions())
    assert "connect_to" not in names and "videos_per_part" not in names
    assert "stored_short_edge" in names


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelOptions(min_videos=0), "min_videos must be at least 1, got 0"),
        (lambda: FetchOptions(max_failed_fraction=2), r"must be in \[0, 1\], got 2"),
        (lambda: SplitOptions(budget="F3"), "budget must be F1 or F2, got 'F3'"),
        (lambda: SplitOptions(short_s=(1.0,)), "two numbers each"),
    ],
)
def test_a_value_out_of_bounds_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
