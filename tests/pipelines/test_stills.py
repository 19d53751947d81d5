import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from formats.tables import LabelRow
from pipelines.stills import HEIGHT, choose_labels, duplicate_pairs, find_stored, label_strips
from tests.pipelines.finished_dataset import Post, write_finished

POSTS = [Post(f"a{n}", "tai chi", hashtags=("taichi",)) for n in range(4)] + [
    Post("b", "push up"),
    Post("near", "push up", "duplicate", min_distance=3),
    Post("far", "push up", "duplicate", min_distance=60),
    Post("gone", "push up", "rejected", "gone"),
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[str, dict]:
    out = tmp_path_factory.mktemp("finished") / "out"
    return str(out), write_finished(out, POSTS)


def test_a_label_is_shown_by_the_same_few_clips_each_with_three_frames(finished):
    folder, _ = finished
    shown = label_strips(folder, "all", max_labels=9, per_label=2)
    assert [(s.label.label, len(s.strips)) for s in shown] == [("tai chi", 2), ("push up", 1)]
    assert shown == label_strips(folder, "all", max_labels=9, per_label=2)
    strip = shown[0].strips[0]
    assert strip.hashtags == ("taichi",)
    assert [still.second for still in strip.stills] == pytest.approx([0.0, 0.5, 0.9])
    pictures = [_picture(still.image) for still in strip.stills]
    assert {picture.shape for picture in pictures} == {(HEIGHT, 128, 3)}
    assert np.abs(pictures[0] - pictures[2]).max() > 60  # the disc has moved on


def test_clips_are_of_the_video_that_the_table_names(finished):
    folder, _ = finished
    wanted = {post.video_id: post for post in POSTS}
    for shown in label_strips(folder, "all", max_labels=9, per_label=9):
        for strip in shown.strips:
            assert wanted[strip.clip.video_id].label == shown.label.label


def test_duplicates_come_worst_first_beside_the_frame_they_match(finished):
    folder, targets = finished
    far, near = duplicate_pairs(folder, targets, most=5)
    assert (far.row.video_id, near.row.video_id) == ("far", "near")
    # Source and target are the same video here, 0.25 s apart; the ground alone is the same.
    difference = np.abs(_picture(far.source.image) - _picture(far.target.image))
    assert np.median(difference) < 8
    other = np.abs(_picture(far.source.image) - _picture(near.target.image))
    assert np.median(other) > 16
    assert [pair.row.video_id for pair in duplicate_pairs(folder, targets, most=1)] == ["far"]


def test_a_target_that_is_not_at_hand_or_no_video_has_no_picture(finished, tmp_path: Path):
    folder, targets = finished
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(b"<html>")
    pairs = duplicate_pairs(folder, {next(iter(targets)): str(damaged)}, most=5)
    assert [pair.target.image for pair in pairs] == [None, None]
    assert all(pair.source.image for pair in pairs)


def test_only_stored_videos_are_found(finished):
    keys = {post.video_id: post.row_key for post in POSTS}
    found = find_stored(finished[0], [keys["b"], keys["gone"], "0" * 32])
    assert set(found) == {keys["b"]}


def test_labels_are_taken_from_head_to_tail():
    labels = [LabelRow(n, f"label {n}", 100 - n, 1) for n in range(10)]
    assert [row.label_id for row in choose_labels(labels, 4)] == [0, 3, 6, 9]
    assert choose_labels(labels[::-1], 10) == labels


def _picture(image: str | None) -> np.ndarray:
    assert image is not None
    content = base64.b64decode(image.removeprefix("data:image/jpeg;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
