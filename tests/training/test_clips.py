import itertools
import shutil
import tarfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from formats.shards import ShardError
from tests.pipelines.web.test_objects import put, service
from tests.training.clip_batches import SMALL, assert_same, ids, training
from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training.clips import SpreadClips
from training.frames import StoredVideo, VideoError
from training.transforms import centre_cut, cut_out

CENTRE = centre_cut((20, 26), SMALL)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moving_split(tmp_path_factory.mktemp("data") / "all", per_label=6)


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
    one_video = 20 * 60 * 80 * 3
    assert len(clips._reader._kept) == 2**20 // one_video


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
    np.testing.assert_array_equal(clip.frames_BTHWC[0].numpy(), cut_out(frames, CENTRE, 16))


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
    np.testing.assert_array_equal(clips.frames_BTHWC[0].numpy(), cut_out(frames, CENTRE, 16))


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


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_shard_stops_the_epoch_and_is_named(
    split: str, tmp_path: Path, workers: int
) -> None:
    folder = tmp_path / "all"
    shutil.copytree(split, folder)
    path = folder / "shard-00008.tar"
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 40] ^= 1
    path.write_bytes(content)
    clips = training(str(folder), replace(SMALL, workers=workers), batch_size=2)
    with pytest.raises(ShardError, match=r"all/shard-00008\.tar: its bytes changed"):
        list(clips.batches(0))


def test_a_bad_clip_in_a_good_shard_stops_the_epoch_and_is_named(tmp_path: Path) -> None:
    good = encode(draw_motion("left", 12, 0))
    start = good.index(b"mdat") + 4
    bad = good[:start] + bytes(400) + good[start + 400 :]
    folder = write_split(tmp_path / "all", [("aa", good, 0, 1.0), ("bb", bad, 0, 1.0)])
    with pytest.raises(VideoError, match=r"all/shard-00000\.tar: clip bb: (cannot be|no picture)"):
        list(training(folder, batch_size=1).batches(0))


@pytest.mark.parametrize("workers", [0, 2])
def test_yuv_clips_become_the_rgb_ones_on_the_device(split: str, workers: int) -> None:
    options = replace(SMALL, recolour=True)
    rgb = training(split, options).batches(0)
    yuv = training(split, replace(options, output="yuv", workers=workers)).batches(0)
    for one, other in zip(rgb, yuv, strict=True):
        moved = other.frames_BTHWC.to(torch.device("cpu"), non_blocking=True)
        assert moved.shape == other.frames_BTHWC.shape == one.frames_BTHWC.shape
        assert (moved.int() - one.frames_BTHWC.int()).abs().max() <= 2
        assert (one.clip_ids, one.label_id_B.tolist()) == (
            other.clip_ids,
            other.label_id_B.tolist(),
        )


def test_the_short_edge_is_scaled_where_that_is_asked(split: str) -> None:
    options = replace(SMALL, scale="short_edge", height=24)
    (clip,) = itertools.islice(SpreadClips(split, options, 1).videos(), 1)
    video = encode_of(split, clip.clip_ids[0])
    frames = StoredVideo(video).frames(range(8, 12), 24, 32)
    wanted = cut_out(frames, centre_cut((24, 32), options), 16)
    np.testing.assert_array_equal(clip.frames_BTHWC[0].numpy(), wanted)


def test_every_second_frame_is_looked_at_from_any_start(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 30, 0), fps=15)
    folder = write_split(tmp_path / "all", [("aa", video, 0, 64.0)])
    options = replace(SMALL, stride=2, mirror=False, height=16, width=16)
    (batch,) = training(folder, options, batch_size=64).batches(0)
    film = StoredVideo(video).frames(range(30), 16, 16)
    starts = {
        next(s for s in range(24) if np.array_equal(film[s : s + 7 : 2], clip))
        for clip in batch.frames_BTHWC.numpy()
    }
    assert starts == set(range(24))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_split_in_an_object_store_gives_the_same_batches(split: str, workers: int) -> None:
    with service("s3") as endpoint:
        for path in Path(split).iterdir():
            put("s3", endpoint, f"all/{path.name}", path.read_bytes())
        options = replace(
            SMALL, s3_endpoint=f"http://{endpoint}", s3_region="us-east-1", anonymous_objects=True
        )
        clips = training("s3://clips/all", replace(options, workers=workers))
        assert_same(list(training(split).batches(0)), clips.batches(0))


def encode_of(folder: str, clip_id: str) -> bytes:
    """The bytes of a clip's video in a split."""
    for path in Path(folder).glob("*.tar"):
        with tarfile.open(path) as tar:
            if f"{clip_id}.mp4" in tar.getnames():
                file = tar.extractfile(f"{clip_id}.mp4")
                assert file
                return file.read()
    raise AssertionError(clip_id)
