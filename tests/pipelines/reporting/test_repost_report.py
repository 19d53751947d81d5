import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from formats.tables import RepostRow, write_rows
from pipelines.reporting.repost_report import repost_fields
from pipelines.reporting.summary import summarise
from tests.pipelines.finished_dataset import Post, write_finished
from tests.pipelines.reporting.test_stills import _picture as picture

KEPT, AGAIN, THIRD = POSTS = [Post(name, "push up") for name in ("kept", "<b>again", "third")]
ROW = RepostRow(
    AGAIN.row_key,
    AGAIN.video_id,
    KEPT.row_key,
    KEPT.row_key,
    3,
    0.5,
    20,
    "raw+mirror",
    0.5,
    0.0,
    "raw",
    "frames",
)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_finished(tmp_path / "out", POSTS, settings=("deduplicate.reposts=true",))
    return tmp_path / "out"


def fields(out: Path, *rows: RepostRow, most: int = 9) -> dict[str, str]:
    write_rows(str(out / "reposts" / "part-00000-of-00001.parquet"), rows, RepostRow)
    return repost_fields(str(out), summarise(str(out)), most=most, height=96)


def figures(page: str) -> list[str]:
    return re.findall(r"<figure>.*?</figure>", page, re.DOTALL)


def pixels(figure: str) -> list[np.ndarray]:
    return [picture(href).astype(int) for href in re.findall(r'href="([^"]*)"', figure)]


def test_a_re_post_is_shown_beside_the_video_it_is_like_at_their_closest_frames(out):
    found = fields(out, ROW)
    (figure,) = figures(found["reposts"])
    (beside_itself,) = figures(fields(out, replace(ROW, alike_key=AGAIN.row_key))["reposts"])
    went, kept = pixels(figure)
    again, earlier = pixels(beside_itself)
    assert (went == again).all()
    # The ground is the same, the disc has moved; that of another video differs.
    assert np.median(np.abs(again - earlier)) < 8 < np.abs(again - earlier).max()
    assert np.median(np.abs(went - kept)) > 16
    assert "like the one that is kept, at 0.0 s" in beside_itself
    assert "<b>20 bits</b> · whole frame / whole frame, mirrored · 3 frames alike" in figure
    assert "&lt;b&gt;again" in figure and "<span>kept, at 0.0 s" in figure
    assert "https://example.org/kept.mp4" in figure
    assert "(1 shown), worst first" in found["reposts_note"]


def test_the_least_certain_come_first_and_an_option_bounds_them(out):
    far = replace(ROW, row_key=THIRD.row_key, video_id="third", min_distance=24)
    copy = replace(ROW, row_key=KEPT.row_key, video_id="kept", tier="sha256", min_distance=0)
    shown = figures(fields(out, copy, ROW, far)["reposts"])
    assert [re.search(r"<b>([^<]*)</b>", figure)[1] for figure in shown] == [
        "24 bits",
        "20 bits",
        "the same bytes",
    ]
    assert figures(fields(out, copy, ROW, far, most=1)["reposts"]) == shown[:1]
    assert fields(out, ROW, most=0)["reposts"] == ""


def test_what_was_taken_down_is_neither_shown_nor_named(out):
    gone = "f" * 32
    (figure,) = figures(fields(out, replace(ROW, kept_key=gone, alike_key=gone))["reposts"])
    assert "the video is not stored" in figure and "no URI on record" in figure
    assert len(re.findall("<image", figure)) == 1
    assert "<span>the other one, at" in figure and "kept" not in figure


def test_without_the_option_the_page_says_that_nobody_looked(tmp_path):
    write_finished(tmp_path / "out", POSTS)
    found = repost_fields(
        str(tmp_path / "out"), summarise(str(tmp_path / "out")), most=9, height=96
    )
    assert found["reposts"] == "" and "were not looked for" in found["reposts_note"]
