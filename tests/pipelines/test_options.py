from dataclasses import replace

import pytest

from dedup.profiles import PROFILES
from formats.settings import SettingsError, load_settings, significant
from labelspace.splits import SplitRule
from pipelines.options import (
    DeduplicateOptions,
    FetchOptions,
    LabelOptions,
    Options,
    SplitOptions,
    TargetsOptions,
)


def test_the_defaults_are_the_papers() -> None:
    options = Options()
    assert options.label.min_videos == 50
    assert options.split.center_s == 4.0
    assert options.expand.forms == ("original", "stem")


def test_how_the_work_is_done_is_no_part_of_the_dataset() -> None:
    names = significant(FetchOptions())
    assert "connect_to" not in names and "videos_per_part" not in names
    assert "stored_short_edge" in names


def test_budgets_go_with_their_amounts() -> None:
    assert SplitOptions(budget="F2", budget_minutes=5.0).budget_minutes == 5
    assert SplitOptions(budget_videos=50).rule == SplitRule()


def test_a_wrong_split_is_one_sentence_at_the_start() -> None:
    with pytest.raises(SettingsError, match=r"^split: short_s must begin above 0, got 0\.0$"):
        load_settings(Options, [], ["split.short_s=0,5"])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LabelOptions(min_videos=0), "min_videos must be at least 1, got 0"),
        (lambda: FetchOptions(max_failed_fraction=2), r"must be in \[0, 1\], got 2"),
        (lambda: FetchOptions(hash_fps=0.0), r"hash_fps must be at least 0\.1, got 0\.0"),
        (lambda: TargetsOptions(hash_fps=0.0), r"hash_fps must be at least 0\.1, got 0\.0"),
        (lambda: SplitOptions(budget="F3"), "budget must be F1 or F2, got 'F3'"),
        (lambda: SplitOptions(short_s=(1.0,)), "two numbers each"),
        (lambda: SplitOptions(short_s=(0.0, 5.0)), r"short_s must begin above 0, got 0\.0"),
        (lambda: SplitOptions(short_s=(5.0, 1.0)), "must not end before it begins, got 5.0 to 1.0"),
        (lambda: SplitOptions(short_s=(1.0, 56.0)), "short_s must lie below long_s"),
        (lambda: SplitOptions(center_s=60.0), "center_s must fit into every long video"),
        (lambda: SplitOptions(splits=("all", "all")), "splits names all more than once"),
        (lambda: SplitOptions(budget_minutes=5.0), "budget_minutes is for budget=F2; set that too"),
        (lambda: SplitOptions(budget="F2", budget_videos=50), "budget_videos is for budget=F1"),
        (lambda: SplitOptions(budget="F2", budget_minutes=float("inf")), "must be a number"),
    ],
)
def test_a_value_out_of_bounds_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("word", ["fetch.allow_addresses=nonsense", "fetch.connect_to=a=b"])
def test_what_is_no_address_is_refused_at_the_start(word: str) -> None:
    with pytest.raises(SettingsError, match=word.partition("=")[0].partition(".")[2]):
        load_settings(Options, [], [word])


def test_thresholds_of_ones_own_are_all_there_are_unless_more_are_set() -> None:
    whole = PROFILES["aggressive"]
    assert DeduplicateOptions().thresholds() == whole
    assert DeduplicateOptions(apart=20).thresholds() == replace(whole, apart=20)
    strict = {"one_frame": 20, "two_frames": 30, "three_frames": 40}
    own = replace(whole, **strict, four_frames=0, still=0)
    assert DeduplicateOptions(**strict).thresholds() == own
    assert DeduplicateOptions(**strict, still=30).thresholds() == replace(own, still=30)
