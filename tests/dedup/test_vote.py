import numpy as np
import pytest

from dedup.fingerprint import Fingerprint
from dedup.index import TargetIndex, TargetVideo
from dedup.matching import find_duplicates
from dedup.profiles import PROFILES, Profile
from tests.dedup.drawn_hashes import flipped, index_of, random_codes, source

AGGRESSIVE = PROFILES["aggressive"]


def rule(fingerprint: Fingerprint, index: TargetIndex, profile: Profile = AGGRESSIVE) -> int:
    found = find_duplicates(fingerprint, index, profile)
    return found[0].frames_needed if found else 0


@pytest.mark.parametrize(
    ("distances", "aggressive", "scale"),
    [
        ([40], 1, 1),
        ([48, 48], 2, 2),
        ([49, 49], 2, 0),
        ([66, 66], 2, 0),
        ([66, 67], 0, 0),
        ([52, 52, 52], 2, 3),
        ([53, 53, 53], 2, 0),
        ([74, 74, 74], 3, 0),
        ([66, 74, 75], 0, 0),
        ([74, 74], 0, 0),
    ],
)
def test_frames_must_be_closer_the_fewer_they_are(distances, aggressive, scale):
    codes = random_codes(len(distances))
    shown = source([flipped(code, bits) for code, bits in zip(codes, distances, strict=True)])
    assert rule(shown, index_of(codes), PROFILES["aggressive"]) == aggressive
    assert rule(shown, index_of(codes), PROFILES["scale"]) == scale


@pytest.mark.parametrize(
    ("distance", "others", "needed"),
    [(48, [23], 1), (49, [23], 0), (48, [24], 0), (48, [23, 30], 0)],
)
def test_a_source_video_of_one_picture_needs_no_second_one(distance, others, needed):
    code = random_codes(1)[0]
    shown = flipped(code, distance)
    video = [shown, *(flipped(shown, bits, start=100) for bits in others)]
    assert rule(source(video), index_of(code[None])) == needed
    assert rule(source(video), index_of(code[None]), PROFILES["scale"]) == 0


@pytest.mark.parametrize(("moves", "needed"), [(23, 1), (24, 0)])
def test_a_video_that_moves_between_its_bars_shows_more_than_one_picture(moves, needed):
    raw, stripped = random_codes(2)
    shown = flipped(raw, 48)
    versions = ["raw", "raw", "stripped", "stripped"]
    codes = [shown, flipped(shown, 5, start=100), stripped, flipped(stripped, moves)]
    assert rule(source(codes, [0.0, 0.5] * 2, versions), index_of(raw[None])) == needed


def test_a_video_of_one_picture_shows_no_others_whatever_three_frames_may_be_apart():
    code = random_codes(1)[0]
    shown = flipped(code, 48)
    profile = Profile(40, 40, 45, apart=16, still=48)
    video = source([shown, flipped(shown, 20, start=100), flipped(shown, 22, start=150)])
    (found,) = find_duplicates(video, index_of(code[None]), profile)
    assert (found.frames_needed, found.in_passing) == (1, False)


@pytest.mark.parametrize(
    ("in_source", "in_target", "needed"), [(16, 16, 2), (15, 31, 0), (31, 15, 0)]
)
def test_frames_that_look_alike_in_either_video_do_not_count_as_two(in_source, in_target, needed):
    code = random_codes(1)[0]
    targets = np.array([code, flipped(code, in_target)])
    first = flipped(code, 50, start=100)
    shown = [first, flipped(first, in_source)]
    assert rule(source(shown), index_of(targets)) == needed


def test_two_frames_that_meet_one_target_frame_are_one():
    codes = random_codes(2)
    shown = source([flipped(codes[0], 60), flipped(codes[0], 60, start=100)])
    assert rule(shown, index_of(codes)) == 0
    assert rule(source([shown.codes[0], flipped(codes[1], 60)]), index_of(codes)) == 2


def test_the_second_closest_target_frame_counts_if_two_frames_have_the_same_closest():
    code = random_codes(1)[0]
    targets = np.array([code, flipped(code, 20)])
    shown = [flipped(code, 50, start=100), flipped(flipped(code, 8), 36, start=180)]
    distances = np.bitwise_count(targets[:, None] ^ np.array(shown)).sum(axis=2)
    assert distances.argmin(axis=0).tolist() == [0, 0]
    assert rule(source(shown), index_of(targets)) == 2


@pytest.mark.parametrize(
    ("variants", "needed"),
    [
        (("crop85", "crop85"), 2),
        (("rot90+mirror", "rot90+mirror"), 2),
        (("crop85", "full"), 0),
        (("full", "full+mirror"), 0),
    ],
)
def test_frames_of_different_variants_do_not_count_together(variants, needed):
    codes = random_codes(2)
    target = source(list(codes), versions=variants)
    index = TargetIndex.build([TargetVideo("t", "v1", target)])
    assert rule(source([flipped(code, 60) for code in codes]), index) == needed


def test_variants_of_one_close_frame_do_not_crowd_out_one_of_several():
    codes = random_codes(2)
    shown = [flipped(code, 66) for code in codes]
    crowd = [flipped(shown[0], 60, start=3 * i) for i in range(60)]
    versions = ["full", "full", *(f"crop{i}" for i in range(60))]
    target = source([*codes, *crowd], [0.0, 0.5, *[0.0] * 60], versions)
    index = TargetIndex.build([TargetVideo("t", "v1", target)])
    assert rule(source(shown), index) == 2


@pytest.mark.parametrize(
    ("seconds", "needed"),
    [((0.0, 1.0), 2), ((0.0, 0.0), 0), ((1.0, 0.0), 0), ((0.0, 1.75), 2), ((0.0, 2.0), 0)],
)
def test_two_frames_come_in_the_order_of_the_target_at_a_possible_speed(seconds, needed):
    codes = random_codes(2)
    shown = source([flipped(code, 60) for code in codes], seconds)
    assert rule(shown, index_of(codes)) == needed


@pytest.mark.parametrize(
    ("distance", "seconds", "needed"),
    [
        (84, (0.0, 0.5, 1.0, 1.5), 4),
        (85, (0.0, 0.5, 1.0, 1.5), 0),
        (84, (7.0, 7.5, 8.25, 8.5), 4),
        (84, (0.0, 1.0, 2.0, 3.0), 0),
        (84, (0.0, 0.5, 1.0), 0),
    ],
)
def test_four_frames_further_away_must_keep_the_pace_of_the_target(distance, seconds, needed):
    codes = random_codes(4)
    shown = [flipped(code, distance) for code in codes[: len(seconds)]]
    assert rule(source(shown, seconds), index_of(codes)) == needed
    assert rule(source(shown, seconds), index_of(codes), PROFILES["scale"]) == 0


@pytest.mark.parametrize(("shared", "needed"), [(16, 2), (10, 0)])
def test_frames_must_be_closer_to_their_own_target_frames_than_swapped(shared, needed):
    """Before one backdrop all are close; what sets two frames apart is the same in a copy alone."""
    code = random_codes(1)[0]
    targets = np.array([code, flipped(code, 20)])
    first = flipped(flipped(code, 10), 40, start=100)
    second = flipped(flipped(code, shared, start=20 - shared), 60 - shared, start=150)
    distances = np.bitwise_count(np.array([first, second])[:, None] ^ targets).sum(axis=2)
    assert distances.tolist() == [[50, 50], [60, 80 - 2 * shared]]
    assert rule(source([first, second]), index_of(targets)) == needed


def test_three_frames_must_each_differ_from_the_two_others():
    codes = random_codes(2)
    near = [flipped(codes[0], 70), flipped(codes[1], 70)]
    alike = flipped(codes[1], 70, start=5)
    assert np.bitwise_count(near[1] ^ alike).sum() == 10
    assert rule(source([*near, alike]), index_of(codes)) == 0


def test_two_versions_of_one_frame_are_one_frame():
    codes = random_codes(2)
    near = [flipped(codes[0], 60), flipped(codes[1], 60)]
    two_frames = source(near, [0.0, 0.5])
    one_frame = source(near, [0.5, 0.5], ["raw", "stripped"])
    assert rule(two_frames, index_of(codes)) == 2
    assert rule(one_frame, index_of(codes)) == 0


def test_a_still_picture_is_not_two_frames_because_its_versions_differ():
    codes = random_codes(2)
    raw, stripped = flipped(codes[0], 60), flipped(codes[1], 60)
    # Second 0 matches raw and second 1 stripped, but each version stands still.
    still = source(
        [raw, flipped(raw, 5, start=200), flipped(stripped, 5, start=200), stripped],
        [0.0, 1.0, 0.0, 1.0],
        ["raw", "raw", "stripped", "stripped"],
    )
    assert rule(still, index_of(codes)) == 0


def test_frames_with_bars_are_told_apart_without_their_bars():
    raw = random_codes(1, rng_seed=9)[0]
    codes = random_codes(2)
    stripped = [flipped(codes[0], 60), flipped(codes[1], 60)]
    barred = source(
        [raw, flipped(raw, 4), *stripped],
        [0.0, 1.0, 0.0, 1.0],
        ["raw", "raw", "stripped", "stripped"],
    )
    assert rule(barred, index_of(codes)) == 2


def test_hits_in_two_target_videos_are_not_added_up():
    codes = random_codes(2)
    videos = [
        TargetVideo("t", name, source([code], versions=["full"]))
        for name, code in zip(("v1", "v2"), codes, strict=True)
    ]
    shown = source([flipped(code, 60) for code in codes])
    assert find_duplicates(shown, TargetIndex.build(videos), AGGRESSIVE) == ()
    assert rule(shown, index_of(codes)) == 2


@pytest.mark.parametrize(
    ("matched", "apart", "others", "in_passing"),
    [(1, 0, 2, True), (2, 8, 3, True), (2, 16, 3, False), (2, 8, 2, False), (1, 0, 0, False)],
)
def test_one_picture_among_others_gives_a_video_away_in_passing(
    matched: int, apart: int, others: int, in_passing: bool
):
    code = random_codes(1)[0]
    codes = np.array([flipped(code, n * apart) for n in range(matched)])
    shown = source([*codes, *random_codes(others, rng_seed=1)])
    (found,) = find_duplicates(shown, index_of(codes), AGGRESSIVE)
    assert (found.matched_frames, found.frames_needed) == (matched, 1)
    assert found.in_passing == in_passing


def test_a_scene_that_stands_still_for_long_hides_no_others():
    rng = np.random.default_rng(5)
    still, *others = random_codes(4, rng_seed=4)
    noisy = [flipped(still, 3, start=int(rng.integers(100, 250))) for _ in range(100)]
    targets = np.array([*noisy, *others])
    shown = [flipped(code, 44) for code in noisy] + [flipped(code, 60) for code in others]
    assert rule(source(shown), index_of(targets)) == 2
