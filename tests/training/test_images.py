import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.clip_batches import SMALL, assert_same, training
from tests.training.moving_clips import write_split
from training import commands
from training.clips import SpreadClips
from training.frames import VideoError
from training.images import StoredImage
from training.options import load_options


class InMemory:
    def __init__(self, content: bytes):
        self.size, self._content = len(content), content

    def read(self, offset: int, length: int) -> bytes:
        return self._content[offset : offset + length]


def picture(phase: float = 0.0, size: tuple[int, int] = (48, 64)) -> bytes:
    """A JPEG of smooth colours, as `split.frames` stores them."""
    y, x = np.mgrid[: size[0], : size[1]]
    colours = [np.sin(x / 17 + y / 23 + phase), np.cos(x / 31 - phase), np.sin(y / 13)]
    rgb = np.stack([128 + 100 * colour for colour in colours], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(rgb).save(file, "JPEG", quality=92, subsampling=2)
    return file.getvalue()


def test_a_picture_is_one_frame_however_often_it_is_asked_for() -> None:
    image = StoredImage(InMemory(picture()))
    assert (image.num_frames, image.fps, image.height, image.width) == (1, 1.0, 48, 64)
    frames = image.frames([0, 0, 0], 48, 64)
    wanted = np.asarray(Image.open(io.BytesIO(picture())).convert("RGB"))
    assert frames.shape == (3, 48, 64, 3)
    assert np.abs(frames.astype(int) - wanted).max() <= 4
    assert image.frames([0], 20, 26).shape == (1, 20, 26, 3)


PICTURE = picture()
SIZE = PICTURE.index(b"\xff\xc0") + 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>",
        PICTURE[:2],
        PICTURE[: len(PICTURE) // 2],
        PICTURE[:SIZE] + b"\xff\xff\xff\xff" + PICTURE[SIZE + 4 :],
    ],
)
def test_what_is_no_whole_picture_is_refused(content: bytes) -> None:
    with pytest.raises(VideoError, match=r"no whole picture|cannot be decoded"):
        StoredImage(InMemory(content))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    images = [(f"{i:02d}", picture(i / 3), i % 3, 1.0) for i in range(8)]
    write_split(folder / "shards" / "frames", images, clips_per_shard=4)
    return folder


def test_batches_of_images_are_those_of_videos_of_one_frame(data: Path) -> None:
    split = str(data / "shards" / "frames")
    one = replace(SMALL, num_frames=1)
    rgb = list(training(split, one).batches(0))
    assert [batch.frames_BTHWC.shape for batch in rgb] == [(4, 1, 16, 16, 3)] * 2
    assert_same(rgb, training(split, replace(one, workers=2)).batches(0))
    assert_same(rgb, training(split, replace(one, cache_mib=1)).batches(0))
    for batch, other in zip(
        rgb, training(split, replace(one, output="yuv")).batches(0), strict=True
    ):
        off = batch.frames_BTHWC.int() - other.frames_BTHWC.to("cpu").int()
        assert batch.clip_ids == other.clip_ids
        assert off.abs().float().mean() < 1.5
        assert off.abs().max() <= 6
    (video, *_) = SpreadClips(split, replace(SMALL, num_frames=3), 2).videos()
    assert video.frames_BTHWC.shape == (2, 3, 16, 16, 3)
    assert torch.equal(video.frames_BTHWC[0, 0], video.frames_BTHWC[1, 2])


def test_a_picture_with_odd_sides_has_no_planes() -> None:
    image = StoredImage(InMemory(picture(size=(48, 63))))
    with pytest.raises(VideoError, match="63x48, wanted even sides"):
        image.planes([0], (0, 0, 2, 2))


def test_an_r2d_learns_from_an_image_split(data: Path, tmp_path: Path) -> None:
    words = [
        "model.width=4", "model.precision=float32", "clips.split=frames", "clips.height=20",
        "clips.width=26", "clips.crop=16", "clips.workers=0", "train.clips=16", "train.threads=1",
        "train.batch_size=4", "train.tensorboard=false",
    ]  # fmt: skip
    options = load_options("ig-kinetics-r2d-18", words)
    assert commands.pretrain(str(data), str(tmp_path), options).step == 4


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    write_split(tmp_path / "frames", [("aa", picture()[:900], 0, 1.0)])
    with pytest.raises(VideoError, match=r"shard-00000.tar: clip aa: (no whole|cannot)"):
        list(training(str(tmp_path / "frames"), SMALL, batch_size=1).batches(0))
