from pathlib import Path

import pytest

from formats.fates import Reason
from pipelines.__main__ import main


def match(folder: Path, *settings: str) -> int:
    catalog = folder / "posts.csv"
    catalog.write_text(
        "video_id,uri,hashtags,licence\na,a.mp4,yoga,CC BY 4.0\nb,b.mp4,yoga,CC BY-NC 4.0\n"
    )
    words = ["--catalog", str(catalog), "--out", str(folder / "out")]
    for text in settings:
        words += ["--set", text]
    return main(["expand", *words]) or main(["match", *words])


@pytest.mark.parametrize(
    "settings",
    [
        ("match.licences=CC0,CC BY 4.0 match.max_bad_fraction=0.5",),
        # As make hands them over, a word at a time.
        ("match.licences=CC0,CC", "BY", "4.0", "match.max_bad_fraction=0.5"),
    ],
)
def test_values_with_spaces_can_be_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], settings: tuple[str, ...]
) -> None:
    assert match(tmp_path, *settings) == 0
    assert "filtered_licence 1  matched 1" in capsys.readouterr().out


def test_a_setting_without_a_name_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert match(tmp_path, "oops") == 1
    assert "'oops' is not of the form section.option=value" in capsys.readouterr().err


def test_a_reason_that_cannot_be_retried_is_one_sentence_with_all_that_can(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fetch", "--catalog", __file__, "--out", str(tmp_path), "--retry", "gnoe"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("tagreel: fetch: retry: 'gnoe' is none of bad_uri, ")
    assert all(reason in said for reason in Reason) and said.count("\n") == 1
