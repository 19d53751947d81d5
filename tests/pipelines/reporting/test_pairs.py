import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from formats.tables import DuplicateRow
from pipelines.reporting.pairs import Pair, draw_pairs, read_evidence, say_evidence, worst_pairs
from pipelines.reporting.stored_frames import Side
from tests.pipelines.finished_dataset import Post, write_finished
from tests.pipelines.reporting.test_stills import _picture as picture

POSTS = [
    Post("near", "push up", "duplicate", min_distance=3, variant="full"),
    Post("far", "push up", "duplicate", min_distance=60, variant="crop70+mirror"),
]
ROW = DuplicateRow("k", "v", "t", "tv", 3, 1.5, 40, "crop70+mirror", 2.0, 0.5, "stripped", 1)


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "out"
    write_finished(folder, POSTS)
    return folder


def drawn(out: Path) -> list[Pair]:
    return draw_pairs(str(out), worst_pairs(read_evidence(str(out)), 9), height=96)


def pixels(side: Side) -> np.ndarray:
    return picture(re.search(r'href="([^"]*)"', side.picture or "")[1])


def test_pairs_come_worst_first_with_the_frames_that_matched(out):
    far, near = drawn(out)
    assert (far.row.video_id, near.row.video_id) == ("far", "near")
    # Source and target are the same video here; the ground is the same, the disc has moved.
    assert np.median(np.abs(pixels(far.source) - pixels(far.target))) < 8
    assert np.median(np.abs(pixels(far.source) - pixels(near.target))) > 16
    assert far.source.uri == "https://example.org/far.mp4"
    assert far.target.uri.endswith(".mp4")
    assert 'class="kept"' in (far.target.picture or "")
    assert 'class="kept"' not in (far.source.picture or "")


def test_more_frames_are_less_doubt_and_an_exact_copy_is_none():
    few = replace(ROW, matched_frames=1)
    close = replace(ROW, min_distance=4)
    copy = replace(ROW, tier="sha256", min_distance=0, matched_frames=0)
    assert worst_pairs([copy, ROW, close, few], 9) == [few, ROW, close, copy]
    assert worst_pairs([copy, ROW, close, few], 2) == [few, ROW]
    assert worst_pairs([ROW], 0) == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (Path.unlink, "the target video's file is not there any more"),
        (lambda path: path.write_bytes(b"<html>"), "no frame to be had here (not_video)"),
        (lambda path: path.write_bytes(b""), "no frame to be had here (empty)"),
        (lambda path: (path.unlink(), path.mkdir()), "not there any more"),
    ],
)
def test_a_target_that_cannot_be_shown_is_said_in_its_place(tmp_path, damage, message):
    out = tmp_path / "out"
    targets = write_finished(out, POSTS[:1])
    damage(Path(*targets.values()))
    (pair,) = drawn(out)
    assert pair.target.picture is None
    assert message in pair.target.missing
    assert pair.source.picture is not None


def test_a_source_whose_bytes_are_gone_is_said_in_its_place(tmp_path):
    out = tmp_path / "out"
    write_finished(out, POSTS[:1])
    tar = out / "videos" / "part-1.tar"
    tar.write_bytes(tar.read_bytes()[:700])
    (cut,) = drawn(out)
    assert cut.source.picture is None and "no frame to be had here" in cut.source.missing
    tar.unlink()
    (gone,) = drawn(out)
    assert gone.source == Side("https://example.org/near.mp4", None, "the video is not stored")
    assert gone.target.picture is not None


def test_the_evidence_is_told_in_words():
    assert say_evidence(ROW) == (
        "<b>40 bits</b> · without its bars / centre 70 %, mirrored · 3 frames alike · offset +1.5 s"
    )
    assert "3 frames alike in passing ·" in say_evidence(replace(ROW, in_passing=True))
    assert say_evidence(replace(ROW, tier="packets")) == "<b>the same coded packets</b>"
    assert "&lt;b&gt;" in say_evidence(replace(ROW, variant="<b>"))
