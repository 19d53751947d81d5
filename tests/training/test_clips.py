from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from formats.shards import ShardError
from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training.clips import Batch, SpreadClips, TrainingClips
from training.frames import StoredVideo, VideoError
from training.options import ClipOptions
from training.transforms import centre_square

SMALL = ClipOptions(num_frames=4, height=20, width=26, crop=16, shards_per_window=2)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moving_split(tmp_path_factory.mktemp("data") / "all", per_label=6)


def training(folder: str, options: ClipOptions = SMALL, batch_size: int = 4) -> TrainingClips:
    return TrainingClips(folder, options, rng_seed=0, batch_size=batch_size)


def ids(batches: Iterable[Batch]) -> list[str]:
    return [clip_id for batch in batches for clip_id in batch.clip_ids]


def assert_same(some: Iterable[Batch], others: Iterable[Batch]) -> None:
    for one, other in zip(some, others, strict=True):
        assert one.clip_ids == other.clip_ids
        assert torch.equal(one.frames_BTHWC, other.frames_BTHWC)
        assert torch.equal(one.label_id_B, other.label_id_B)


def test_a_batch_is_uint8_frames_with_the_clips_labels(split: str) -> None:
    batch = next(iter(training(split).batches(0)))
    assert (batch.frames_BTHWC.shape, batch.frames_BTHWC.dtype) == ((4, 4, 16, 16, 3), torch.uint8)
    videos = SpreadClips(split, SMALL, 1).videos()
    labels = {v.clip_ids[0]: int(v.label_id_B[0]) for v in videos}
    assert batch.label_id_B.tolist() == [labels[clip_id] for clip_id in batch.clip_ids]


def test_an_epoch_is_whole_batches_of_different_clips(split: str) -> None:
    drawn = ids(training(split).batches(0))
    assert (len(drawn), len(set(drawn))) == (16, 16)


def test_epochs_differ_in_order_and_frames_and_come_again(split: str) -> None:
    clips = training(split, batch_size=18)
    (first,), (second,) = list(clips.batches(0)), list(clips.batches(1))
    assert sorted(first.clip_ids) == sorted(second.clip_ids)
    assert first.clip_ids != second.clip_ids
    where = second.clip_ids.index(first.clip_ids[0])
    assert not torch.equal(first.frames_BTHWC[0], second.frames_BTHWC[where])
    assert_same([first], training(split, batch_size=18).batches(0))


@pytest.mark.parametrize("workers", [1, 2])
def test_any_number_of_workers_gives_the_same_batches(split: str, workers: int) -> None:
    alone = list(training(split).batches(1))
    assert_same(alone, training(split, replace(SMALL, workers=workers)).batches(1))


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_goes_on_from_any_batch(split: str, workers: int) -> None:
    options = replace(SMALL, workers=workers)
    whole = list(training(split, options).batches(2))
    assert_same(whole[3:], training(split, options).batches(2, first_batch=3))


@pytest.mark.parametrize("mib", [1, 100])
def test_keeping_frames_in_memory_changes_nothing(split: str, mib: int) -> None:
    plain, cached = training(split), training(split, replace(SMALL, cache_mib=mib, fps=0))
    for epoch in range(2):
        assert_same(list(plain.batches(epoch)), cached.batches(epoch))


def test_the_cache_stops_at_its_limit(split: str) -> None:
    options = replace(SMALL, cache_mib=1, height=60, width=80)
    clips = training(split, options)
    list(clips.batches(0))
    kept = [frames.nbytes for frames in clips._videos._kept.values()]
    one_video = 20 * 60 * 80 * 3
    assert kept == [one_video] * (2**20 // one_video)


def test_an_incomplete_batch_is_kept_only_if_there_is_no_other(split: str) -> None:
    assert [len(b.clip_ids) for b in training(split, batch_size=7).batches(0)] == [7, 7]
    assert [len(b.clip_ids) for b in training(split, batch_size=50).batches(0)] == [18]


@pytest.mark.parametrize("workers", [0, 2])
def test_repeats_say_how_often_a_clip_is_drawn(tmp_path: Path, workers: int) -> None:
    video = encode(draw_motion("left", 8, 0))
    repeats = {"aa": 3.0, "bb": 1.0, "cc": 0.0, "dd": 2.0}
    clips = [(clip_id, video, 0, count) for clip_id, count in repeats.items()]
    folder = write_split(tmp_path / "all", clips, clips_per_shard=2)
    options = replace(SMALL, workers=workers)
    drawn = ids(training(folder, options, batch_size=2).batches(0))
    assert Counter(drawn) == {"aa": 3, "bb": 1, "dd": 2}


def test_a_video_shorter_than_a_clip_starts_over(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 3, 0))
    folder = write_split(tmp_path / "all", [("aa", video, 0, 1.0)])
    (clip,) = SpreadClips(folder, replace(SMALL, num_frames=7), 1).videos()
    frames = StoredVideo(video).frames([0, 1, 2, 0, 1, 2, 0], 20, 26)
    np.testing.assert_array_equal(clip.frames_BTHWC[0].numpy(), centre_square(frames, 16))


@pytest.mark.parametrize(
    ("fps", "numbers"), [(5.0, [0, 3, 6, 9]), (30.0, [0, 0, 1, 1]), (0.0, [0, 1, 2, 3])]
)
def test_frames_are_looked_at_at_the_wanted_rate(
    tmp_path: Path, fps: float, numbers: list[int]
) -> None:
    video = encode(draw_motion("left", 30, 0), fps=15)
    folder = write_split(tmp_path / "all", [("aa", video, 0, 1.0)])
    (clips,) = SpreadClips(folder, replace(SMALL, fps=fps), 2).videos()
    frames = StoredVideo(video).frames(numbers, 20, 26)
    np.testing.assert_array_equal(clips.frames_BTHWC[0].numpy(), centre_square(frames, 16))


@pytest.mark.parametrize("workers", [0, 2])
def test_test_clips_are_spread_evenly_and_videos_come_in_shard_order(
    split: str, workers: int
) -> None:
    videos = list(SpreadClips(split, replace(SMALL, workers=workers), 3).videos())
    names = [video.clip_ids[0] for video in videos]
    assert (len(names), names) == (18, sorted(names))
    assert {tuple(video.frames_BTHWC.shape) for video in videos} == {(3, 4, 16, 16, 3)}
    ten = next(SpreadClips(split, SMALL, 10).videos())
    assert torch.equal(ten.frames_BTHWC[0], videos[0].frames_BTHWC[0])
    assert torch.equal(ten.frames_BTHWC[9], videos[0].frames_BTHWC[2])


def test_a_clip_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "all", [("aa", b"no video", 0, 1.0)])
    with pytest.raises(VideoError, match="clip aa: not an mp4 video"):
        list(training(folder).batches(0))


def test_an_unfinished_split_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="was never finished"):
        training(str(tmp_path))
