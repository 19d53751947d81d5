import base64
import io

import numpy as np
import pytest
from PIL import Image

from formats.tables import LabelRow
from pipelines.reporting.stills import HEIGHT, choose_labels, find_stored, label_strips
from tests.pipelines.finished_dataset import Post, write_finished

POSTS = [Post(f"a{n}", "tai chi", hashtags=("taichi",)) for n in range(4)] + [
    Post("b", "push up"),
    Post("away", "push up", "duplicate"),
    Post("gone", "push up", "rejected", "gone"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("finished") / "out"
    write_finished(out, POSTS)
    return str(out)


def test_a_label_is_shown_by_the_same_few_clips_each_with_three_frames(folder):
    shown = label_strips(folder, "all", max_labels=9, per_label=2)
    assert [(s.label.label, len(s.strips)) for s in shown] == [("tai chi", 2), ("push up", 1)]
    assert shown == label_strips(folder, "all", max_labels=9, per_label=2)
    strip = shown[0].strips[0]
    assert strip.hashtags == ("taichi",)
    assert [still.second for still in strip.stills] == pytest.approx([0.0, 0.5, 0.9])
    pictures = [_picture(still.image) for still in strip.stills]
    assert {picture.shape for picture in pictures} == {(HEIGHT, 128, 3)}
    assert np.abs(pictures[0] - pictures[2]).max() > 60  # the disc has moved on


def test_clips_are_of_the_video_that_the_table_names(folder):
    wanted = {post.video_id: post for post in POSTS}
    for shown in label_strips(folder, "all", max_labels=9, per_label=9):
        for strip in shown.strips:
            assert wanted[strip.clip.video_id].label == shown.label.label


def test_only_stored_videos_are_found(folder):
    keys = {post.video_id: post.row_key for post in POSTS}
    found = find_stored(folder, [keys["b"], keys["gone"], "0" * 32])
    assert set(found) == {keys["b"]}


def test_labels_are_taken_from_head_to_tail():
    labels = [LabelRow(n, f"label {n}", 100 - n, 1) for n in range(10)]
    assert [row.label_id for row in choose_labels(labels, 4)] == [0, 3, 6, 9]
    assert choose_labels(labels[::-1], 10) == labels


def _picture(image: str | None) -> np.ndarray:
    assert image is not None
    content = base64.b64decode(image.removeprefix("data:image/jpeg;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
