import numpy as np
import pytest

from dedup.fingerprint import Fingerprint, fingerprint_target, fingerprint_video
from dedup.hashing import hash_frames


def noise(count: int, side: int = 128) -> np.ndarray:
    coarse = np.random.default_rng(2).integers(0, 256, (count, 32, 32), dtype=np.uint8)
    return coarse.repeat(side // 32, axis=1).repeat(side // 32, axis=2)


def seconds(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.float32) / 2


def test_a_plain_source_video_has_one_hash_a_frame():
    frames = noise(3)
    found = fingerprint_video(frames, seconds(3), width=340, height=256)
    assert np.array_equal(found.codes, hash_frames(frames))
    assert found.seconds.tolist() == [0.0, 0.5, 1.0]
    assert found.versions == ("raw", "raw", "raw")


def test_a_letterboxed_source_video_is_hashed_with_and_without_its_bars():
    frames = noise(2)
    frames[:, :31] = 0
    found = fingerprint_video(frames, seconds(2), width=340, height=256)
    assert found.versions == ("raw", "raw", "stripped", "stripped")
    assert found.seconds.tolist() == [0.0, 0.5, 0.0, 0.5]


def test_a_target_video_has_every_second_frame_in_all_variants_and_each_whole():
    found = fingerprint_target(noise(3), seconds(3), width=340, height=256)
    variants = list(dict.fromkeys(found.versions))
    assert {"full", "full+mirror", "crop85", "part25-75", "rot-5+mirror"} <= set(variants)
    shown = {name: found.seconds[np.array(found.versions) == name].tolist() for name in variants}
    assert shown.pop("full") == shown.pop("full+mirror") == [0.0, 0.5, 1.0]
    assert set(map(tuple, shown.values())) == {(0.0, 1.0)}


@pytest.mark.parametrize("fingerprint", [fingerprint_video, fingerprint_target])
def test_frames_that_show_nothing_leave_no_hash(fingerprint):
    frames = noise(4)
    frames[1] = 0
    frames[2] = 255
    found = fingerprint(frames, seconds(4), width=340, height=256)
    assert set(found.seconds.tolist()) == {0.0, 1.5}
    black = np.zeros((4, 128, 128), np.uint8)
    assert fingerprint(black, seconds(4), width=340, height=256).versions == ()


@pytest.mark.parametrize("fingerprint", [fingerprint_video, fingerprint_target])
def test_a_video_without_frames_has_an_empty_fingerprint(fingerprint):
    found = fingerprint(noise(0), seconds(0), width=340, height=256)
    assert (found.codes.shape, found.seconds.shape, found.versions) == ((0, 32), (0,), ())


def test_half_size_frames_give_nearly_the_same_hashes():
    large = noise(3)
    small = noise(3, side=64)
    a = fingerprint_video(large, seconds(3), width=340, height=256)
    b = fingerprint_video(small, seconds(3), width=340, height=256)
    assert np.bitwise_count(a.codes ^ b.codes).sum(axis=1).max() <= 8


def test_rows_hold_a_fingerprint_whole():
    found = fingerprint_video(noise(2), seconds(2), width=340, height=256)
    codes, their_seconds, versions = found.to_rows()
    assert codes == tuple(bytes(code) for code in found.codes)
    back = Fingerprint.from_rows(codes, their_seconds, versions)
    assert np.array_equal(back.codes, found.codes)
    assert np.array_equal(back.seconds, found.seconds)
    assert back.versions == found.versions
    assert Fingerprint.from_rows((), (), ()).codes.shape == (0, 32)


@pytest.mark.parametrize(
    ("codes", "their_seconds", "versions", "message"),
    [
        ((b"short",), (0.0,), ("raw",), "32 bytes"),
        ((bytes(32),), (0.0,), (), "codes must be"),
        ((bytes(32),), (), ("raw",), "seconds must be"),
        ((bytes(32),), (float("nan"),), ("raw",), "finite"),
    ],
)
def test_rows_that_do_not_fit_are_refused(codes, their_seconds, versions, message):
    with pytest.raises(ValueError, match=message):
        Fingerprint.from_rows(codes, their_seconds, versions)


@pytest.mark.parametrize("fingerprint", [fingerprint_video, fingerprint_target])
def test_wrong_frames_seconds_and_sizes_are_refused(fingerprint):
    with pytest.raises(ValueError, match="frames must be"):
        fingerprint(noise(2)[:, :50], seconds(2), width=340, height=256)
    with pytest.raises(ValueError, match="seconds must be"):
        fingerprint(noise(2), seconds(3), width=340, height=256)
    with pytest.raises(ValueError, match="at least 1"):
        fingerprint(noise(2), seconds(2), width=0, height=256)
