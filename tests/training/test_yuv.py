import io

import av
import numpy as np
import pytest
import torch
from torch.nn import functional

from tests.training.moving_clips import encode
from training.clip_options import ClipOptions
from training.frames import StoredVideo
from training.transforms import Cut, centre_cut, cut_out, random_cut, recoloured, scaled_size
from training.yuv import YuvClips, part_of

FRAMES = 6
LEVELS = 2


def colourful(height: int, width: int, rng_seed: int = 0) -> StoredVideo:
    """Sharp edges of every colour, black and white among them, that move."""
    rng = np.random.default_rng(rng_seed)
    scene = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3)).repeat(4, 0).repeat(4, 1)
    scene[:8], scene[8:16] = 0, 255
    film = [np.roll(scene, 3 * t, 1)[:height, :width].astype(np.uint8) for t in range(FRAMES)]
    return StoredVideo(encode(np.stack(film), crf="10"))


def pack(clips: list[tuple[StoredVideo, Cut]], crop: int) -> YuvClips:
    numbers, content = list(range(FRAMES)), []
    for video, cut in clips:
        part = part_of((video.height, video.width), cut, crop)
        content.append(np.zeros((FRAMES, part.bytes), np.uint8))
        video.planes(numbers, part)(content[-1])
    sizes = tuple((video.height, video.width) for video, _ in clips)
    joined = torch.from_numpy(np.concatenate([frames.reshape(-1) for frames in content]))
    return YuvClips(joined, sizes, tuple(cut for _, cut in clips), FRAMES, crop)


def both(video: StoredVideo, cut: Cut, crop: int) -> tuple[np.ndarray, np.ndarray]:
    """The square as the workers make it, and as the device does."""
    numbers = list(range(FRAMES))
    rgb = cut_out(video.frames(numbers, cut.height, cut.width), cut, crop)
    yuv = pack([(video, cut)], crop).to("cpu")[0].numpy()
    return rgb.astype(int), yuv.astype(int)


@pytest.mark.parametrize("size", [(128, 228), (128, 170), (222, 128), (96, 96), (128, 604)])
@pytest.mark.parametrize("scale", ["plain", "short_edge"])
@pytest.mark.parametrize("where", [(0.0, 0.0, 0.9), (0.3, 0.7, 0.1), (0.999, 0.999, 0.1)])
def test_the_device_makes_what_the_workers_make(
    size: tuple[int, int], scale: str, where: tuple[float, ...]
) -> None:
    options = ClipOptions(scale=scale)
    cut = random_cut(scaled_size(*size, options), options, where)
    rgb, yuv = both(colourful(*size), cut, 112)
    assert rgb.shape == yuv.shape == (FRAMES, 112, 112, 3)
    assert np.abs(rgb - yuv).max() <= LEVELS
    assert np.abs(rgb - yuv).mean() < 0.5
    assert rgb.std() > 40


def test_planes_are_the_decoders_own() -> None:
    video = encode(np.full((3, 32, 48, 3), (200, 30, 90), np.uint8))
    with av.open(io.BytesIO(video)) as container:
        wanted = np.stack([frame.to_ndarray() for frame in container.decode(video=0)])
    got = np.zeros((3, 32 * 48 * 3 // 2), np.uint8)
    StoredVideo(video).planes([2, 0, 0], (0, 0, 32, 48))(got)
    np.testing.assert_array_equal(got, wanted[[2, 0, 0]].reshape(3, -1))


@pytest.mark.parametrize("size", [(128, 228), (222, 128), (128, 604), (16, 16)])
@pytest.mark.parametrize("fractions", [(0.0, 0.0), (0.5, 0.3), (0.999, 0.999)])
def test_what_travels_of_a_frame_lies_in_it_on_even_pixels(
    size: tuple[int, int], fractions: tuple[float, float]
) -> None:
    options = ClipOptions()
    cut = random_cut((128, 171), options, (*fractions, 0.9))
    part = part_of(size, cut, 112)
    assert all(number % 2 == 0 for number in part)
    assert 0 <= part.top <= part.top + part.height <= size[0]
    assert 0 <= part.left <= part.left + part.width <= size[1]
    assert part.height * part.width <= size[0] * size[1]
    assert part[2:] == part_of(size, centre_cut((128, 171), options), 112)[2:]


def test_clips_of_several_sizes_come_in_their_order_each_with_its_own_cut() -> None:
    options = ClipOptions(num_frames=FRAMES)
    videos = [colourful(128, 228, 1), colourful(128, 170, 2), colourful(128, 228, 3)]
    videos += [colourful(96, 700, 4), colourful(222, 128, 5)]
    cuts = [
        centre_cut((128, 171), options),
        recoloured(random_cut((128, 171), options, (0.9, 0.1, 0.9)), (0.6, 0.1)),
        random_cut((128, 171), options, (0.2, 0.8, 0.1)),
        random_cut((128, 171), options, (0.9, 0.99, 0.9)),
        random_cut((128, 171), options, (0.4, 0.2, 0.1)),
    ]
    numbers = list(range(FRAMES))
    clips = pack(list(zip(videos, cuts, strict=True)), 112)
    got = clips.to(torch.device("cpu"), non_blocking=True)
    assert (tuple(got.shape), got.dtype) == (clips.shape, torch.uint8)
    for video, cut, square in zip(videos, cuts, got.numpy(), strict=True):
        rgb = cut_out(video.frames(numbers, 128, 171), cut, 112)
        assert np.abs(rgb.astype(int) - square).max() <= LEVELS


def test_one_very_long_frame_gives_the_others_no_weights_of_its_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shapes = []
    pad = functional.pad

    def noting(weights: torch.Tensor, room: tuple[int, ...]) -> torch.Tensor:
        shapes.append((weights.shape, pad(weights, room).shape))
        return pad(weights, room)

    monkeypatch.setattr(functional, "pad", noting)
    options = ClipOptions(num_frames=FRAMES, scale="short_edge")
    videos = [colourful(100, 2000, 1), colourful(128, 240, 2), colourful(226, 130, 3)]
    cuts = [
        random_cut(scaled_size(v.height, v.width, options), options, (0.5, 0.7, 0.9))
        for v in videos
    ]
    clips = list(zip(videos, cuts, strict=True))
    together = pack(clips, 112).to("cpu")
    for clip, square in zip(clips, together, strict=True):
        alone = pack([clip], 112).to("cpu")[0]
        assert (alone.int() - square.int()).abs().max() <= 1
    assert max(rows * columns for (rows, columns), _ in shapes) == 2560 * 2000
    for (rows, columns), padded in shapes:
        assert padded.numel() <= 16 * max(rows, 128) * max(columns, 128)


def test_autocast_around_the_move_changes_nothing() -> None:
    clips = pack([(colourful(128, 228), Cut(128, 171, 4, 9, True))], 112)
    with torch.autocast("cpu", torch.bfloat16):
        inside = clips.to("cpu")
    assert torch.equal(inside, clips.to("cpu"))
