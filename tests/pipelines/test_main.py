import argparse
import os
import signal
from pathlib import Path

import pytest

from formats.fates import Reason
from pipelines import __main__ as command
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


@pytest.mark.parametrize("sort", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_one_sentence_and_is_not_caught_for_ever(
    tmp_path: Path,
    sort: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # Whoever runs the tests may ignore ^C.
    outer = signal.signal(signal.SIGINT, signal.default_int_handler)
    before = signal.getsignal(sort)

    def stopped(_: argparse.Namespace) -> None:
        os.kill(os.getpid(), sort)
        signal.pause()

    monkeypatch.setattr(command, "_verify", stopped)
    assert main(["verify", "--out", str(tmp_path)]) == 128 + sort
    assert capsys.readouterr().err == "tagreel: stopped; the same command goes on from here\n"
    assert signal.getsignal(sort) == before
    signal.signal(signal.SIGINT, outer)


def test_what_a_disk_refuses_is_one_sentence_that_names_the_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    (out / "stages" / "expand.json" / "mine").mkdir(parents=True)
    (out / ".lock").touch()
    catalog = tmp_path / "posts.csv"
    catalog.write_text("video_id,uri,hashtags\na,a.mp4,yoga\n")
    assert main(["expand", "--catalog", str(catalog), "--out", str(out)]) == 1
    assert capsys.readouterr().err == (
        f"tagreel: {out}/stages/expand.json: cannot be used: Is a directory; move what stands in "
        "the way, then run the same command again\n"
    )


def test_target_sets_are_not_replaced_by_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hashes = tmp_path / "out" / "targets" / "mine"
    hashes.mkdir(parents=True)
    (tmp_path / "out" / ".lock").touch()
    words = ["--catalog", __file__, "--out", str(tmp_path / "out")]
    assert main(["targets", *words]) == 1
    assert "name TARGETS, or NAME and ROOT" in capsys.readouterr().err
    assert hashes.exists()
