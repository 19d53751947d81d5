import numpy as np
import pytest
from PIL import Image

from dedup.fingerprint import Fingerprint, fingerprint_target, fingerprint_video
from dedup.index import TargetIndex, TargetVideo
from dedup.matching import Duplicate, as_decoy, find_all, find_duplicates
from dedup.profiles import PROFILES, Profile

AGGRESSIVE = PROFILES["aggressive"]


def random_codes(count: int, *, rng_seed: int = 0) -> np.ndarray:
    return np.random.default_rng(rng_seed).integers(0, 256, (count, 32), dtype=np.uint8)


def flipped(code: np.ndarray, bits: int, *, start: int = 0) -> np.ndarray:
    places = np.arange(256)
    return code ^ np.packbits((places >= start) & (places < start + bits))


def source(codes: list[np.ndarray], seconds=None, versions=None) -> Fingerprint:
    seconds = range(len(codes)) if seconds is None else seconds
    return Fingerprint(
        np.array(codes), np.array(seconds, np.float32), tuple(versions or ["raw"] * len(codes))
    )


def index_of(codes: np.ndarray, video_id: str = "v1") -> TargetIndex:
    variants = ("full",) * len(codes)
    seconds = np.arange(len(codes), dtype=np.float32) / 2
    return TargetIndex.build([TargetVideo("t", video_id, Fingerprint(codes, seconds, variants))])


def rule(fingerprint: Fingerprint, index: TargetIndex, profile: Profile = AGGRESSIVE) -> int:
    found = find_duplicates(fingerprint, index, profile)
    return found[0].frames_needed if found else 0


def test_the_evidence_is_that_of_the_closest_pair():
    codes = random_codes(4)
    index = index_of(codes)
    shown = source([flipped(codes[1], 20), flipped(codes[2], 7), flipped(codes[3], 80)], [3, 4, 5])
    assert find_duplicates(shown, index, AGGRESSIVE) == (
        Duplicate(
            target="t",
            target_video_id="v1",
            matched_frames=2,
            offset_s=3.0,
            min_distance=7,
            variant="full",
            source_second=4.0,
            target_second=1.0,
            version="raw",
            frames_needed=1,
        ),
    )


@pytest.mark.parametrize(
    ("distances", "aggressive", "scale"),
    [
        ([40], 1, 1),
        ([41], 0, 0),
        ([48, 48], 2, 2),
        ([49, 49], 2, 0),
        ([64, 64], 2, 0),
        ([64, 65], 0, 0),
        ([52, 52, 52], 2, 3),
        ([53, 53, 53], 2, 0),
        ([72, 72, 72], 3, 0),
        ([64, 72, 73], 0, 0),
        ([72, 72], 0, 0),
    ],
)
def test_one_two_or_three_frames_must_be_closer_the_fewer_they_are(distances, aggressive, scale):
    codes = random_codes(len(distances))
    shown = source([flipped(code, bits) for code, bits in zip(codes, distances, strict=True)])
    assert rule(shown, index_of(codes), PROFILES["aggressive"]) == aggressive
    assert rule(shown, index_of(codes), PROFILES["scale"]) == scale


@pytest.mark.parametrize(("apart", "needed"), [(23, 0), (24, 2)])
def test_frames_that_look_alike_do_not_count_as_two(apart, needed):
    code = random_codes(1)[0]
    first = flipped(code, 60, start=100)
    second = flipped(flipped(code, 60 - apart // 2, start=100), apart - apart // 2)
    assert np.bitwise_count(first ^ second).sum() == apart
    assert rule(source([first, second]), index_of(code[None])) == needed


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


def test_duplicates_are_sorted_and_ties_go_to_the_unaltered_target():
    code = random_codes(1)[0]
    altered = source([code], versions=["crop85"])
    both = source([flipped(code, 1), code[:]], [7.0, 3.0], ["crop85", "full"])
    videos = [
        TargetVideo("b", "v1", altered),
        TargetVideo("a", "v2", altered),
        TargetVideo("a", "v1", both),
    ]
    shown = source([flipped(code, 1, start=9), flipped(code, 1, start=9)], [6.0, 2.0])
    for order in (videos, videos[::-1]):
        found = find_duplicates(shown, TargetIndex.build(order), AGGRESSIVE)
        assert [
            (d.target, d.target_video_id, d.variant, d.source_second, d.target_second)
            for d in found
        ] == [
            ("a", "v1", "full", 2.0, 3.0),
            ("a", "v2", "crop85", 2.0, 0.0),
            ("b", "v1", "crop85", 2.0, 0.0),
        ]


def test_the_order_of_a_fingerprints_hashes_does_not_matter():
    codes = random_codes(6)
    index = index_of(codes)
    shown = [flipped(code, 30 + i) for i, code in enumerate(codes)]
    versions = ["raw", "stripped"] * 3
    forwards = source(shown, [0, 0, 1, 1, 2, 2], versions)
    backwards = source(shown[::-1], [2, 2, 1, 1, 0, 0], versions[::-1])
    found = find_duplicates(forwards, index, AGGRESSIVE)
    assert len(found) == 1
    assert find_duplicates(backwards, index, AGGRESSIVE) == found


def resized(frames: np.ndarray) -> np.ndarray:
    """What ffmpeg's scaler makes of a picture of another size: 128 x 128 again."""
    return np.stack([np.asarray(Image.fromarray(frame).resize((128, 128))) for frame in frames])


def moving_picture(rng_seed: int) -> np.ndarray:
    """Three frames of a window that moves over a landscape of smoothed noise."""
    coarse = np.random.default_rng(rng_seed).integers(0, 256, (24, 24), dtype=np.uint8)
    wide = np.asarray(Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC))
    return np.stack([wide[step : step + 128, 2 * step : 2 * step + 128] for step in (0, 30, 60)])


EDITS = {
    "full": lambda f: f,
    "full+mirror": lambda f: f[:, :, ::-1],
    "crop85": lambda f: resized(f[:, 10:118, 10:118]),
    "crop77+mirror": lambda f: resized(f[:, 15:113, 15:113][:, :, ::-1]),
    "bottomright": lambda f: resized(f[:, 26:, 26:]),
    "square": lambda f: resized(f[:, :, 16:112]),
    "rot270": lambda f: np.rot90(f, -1, (1, 2)),
}


@pytest.mark.parametrize("variant", EDITS)
def test_an_edited_video_is_found_by_the_variant_that_stands_for_the_edit(variant):
    seconds = np.arange(3, dtype=np.float32)
    videos = [
        TargetVideo("t", f"v{i}", fingerprint_target(f, seconds, width=171, height=128))
        for i, f in enumerate(map(moving_picture, range(6)))
    ]
    index = TargetIndex.build(videos)
    edited = np.ascontiguousarray(EDITS[variant](moving_picture(4)))
    shown = fingerprint_video(edited, seconds, width=171, height=128)
    found = find_duplicates(shown, index, AGGRESSIVE)
    assert [(d.target_video_id, d.variant) for d in found] == [("v4", variant)]
    bars = np.full((3, 20, 128), 255, np.uint8)
    barred = resized(np.concatenate([bars, edited, bars], axis=1))
    shown = fingerprint_video(barred, seconds, width=171, height=128)
    found = find_duplicates(shown, index, AGGRESSIVE)
    assert [(d.target_video_id, d.version) for d in found] == [("v4", "stripped")]


def test_black_videos_never_match_even_black_targets():
    black = np.zeros((6, 128, 128), np.uint8)
    seconds = np.arange(6, dtype=np.float32)
    target = fingerprint_target(black, seconds, width=340, height=256)
    shown = fingerprint_video(black, seconds, width=340, height=256)
    index = TargetIndex.build([TargetVideo("t", "black", target)])
    assert find_duplicates(shown, index, AGGRESSIVE) == ()


def test_a_video_upside_down_is_a_decoy_hit_of_its_flipped_target_alone():
    coarse = np.random.default_rng(2).integers(0, 256, (3, 16, 16), dtype=np.uint8)
    frames = coarse.repeat(8, axis=1).repeat(8, axis=2)
    seconds = np.arange(3, dtype=np.float32)
    shown = fingerprint_video(frames, seconds, width=340, height=256)
    upright, upside_down = (
        TargetIndex.build(
            [TargetVideo("t", "v", fingerprint_target(f, seconds, width=340, height=256))]
        )
        for f in (frames, frames[:, ::-1])
    )
    assert not find_duplicates(as_decoy(shown), upright, AGGRESSIVE)
    assert find_duplicates(as_decoy(shown), upside_down, AGGRESSIVE)


@pytest.mark.parametrize("numbers", [(41, 40, 72, 24), (40, 64, 257, 24), (-1, 64, 72, 24)])
def test_a_profile_whose_distances_do_not_rise_is_refused(numbers):
    with pytest.raises(ValueError, match="must rise within"):
        Profile(*numbers)


def test_a_profile_with_an_impossible_apart_is_refused():
    with pytest.raises(ValueError, match="apart must be"):
        Profile(40, 64, 72, apart=257)


@pytest.mark.parametrize("hashed", [False, True])
def test_many_videos_at_a_time_are_found_as_each_by_itself(hashed: bool):
    targets = [random_codes(6, rng_seed=number) for number in range(5)]
    seconds = np.arange(6, dtype=np.float32)
    index = TargetIndex.build(
        [
            TargetVideo("t", f"v{n}", Fingerprint(codes, seconds, ("full",) * 6))
            for n, codes in enumerate(targets)
        ],
        hashed=hashed,
    )
    shown = [
        source([flipped(code, 20 + number % 20) for code in targets[number % 5][: number % 7]])
        if number % 7
        else Fingerprint(random_codes(0), np.empty(0, np.float32), ())
        for number in range(300)
    ]
    alone = [find_duplicates(one, index, AGGRESSIVE) for one in shown]
    assert [bool(found) for found in alone] == [number % 7 > 0 for number in range(300)]
    assert list(find_all(shown, index, AGGRESSIVE)) == alone
    assert list(find_all([], index, AGGRESSIVE)) == []


@pytest.mark.parametrize(
    ("matched", "apart", "others", "in_passing"),
    [(1, 0, 2, True), (2, 8, 3, True), (2, 24, 3, False), (2, 8, 2, False), (1, 0, 0, False)],
)
def test_one_picture_among_others_gives_a_video_away_in_passing(
    matched: int, apart: int, others: int, in_passing: bool
):
    code = random_codes(1)[0]
    codes = [flipped(code, n * apart) for n in range(matched)] + [*random_codes(others, rng_seed=1)]
    (found,) = find_duplicates(source(codes), index_of(code[None]), AGGRESSIVE)
    assert (found.matched_frames, found.frames_needed) == (matched, 1)
    assert found.in_passing == in_passing
