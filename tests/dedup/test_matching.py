import numpy as np
import pytest
from PIL import Image

from dedup.fingerprint import Fingerprint, fingerprint_target, fingerprint_video
from dedup.flat_search import Hits
from dedup.hashing import Codes
from dedup.index import TargetIndex, TargetVideo
from dedup.matching import Duplicate, as_decoy, find_all, find_duplicates
from dedup.profiles import PROFILES, Profile
from tests.dedup.drawn_hashes import flipped, index_of, random_codes, source

AGGRESSIVE = PROFILES["aggressive"]


def test_the_evidence_is_that_of_the_closest_pair():
    codes = random_codes(4)
    index = index_of(codes)
    shown = source([flipped(codes[1], 20), flipped(codes[2], 7), flipped(codes[3], 86)], [3, 4, 5])
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
    "part100-100": lambda f: resized(f[:, 23:, 23:]),
    "part25-75": lambda f: resized(f[:, 6:111, 17:122]),
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
    with pytest.raises(ValueError, match="still must be"):
        Profile(40, 64, 72, 16, still=-1)


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


def test_where_much_is_alike_few_videos_are_searched_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, seconds = random_codes(1), np.zeros(1, np.float32)
    index = TargetIndex.build(
        [TargetVideo("t", f"v{number}", Fingerprint(code, seconds, ("full",))) for number in "abc"]
    )
    counts, search = [], index.search

    def counted(codes: Codes, *rest: object) -> Hits:
        counts.append(len(codes))
        return search(codes, *rest)

    monkeypatch.setattr(index, "search", counted)
    shown = [source([flipped(code[0], 20)]) for _ in range(300)]
    assert [len(found) for found in find_all(shown, index, AGGRESSIVE)] == [3] * 300
    assert counts == [8, 32, 128, 128, 4]
    counts.clear()
    monkeypatch.setattr("dedup.matching._HITS_AT_ONCE", 30)
    assert [len(found) for found in find_all(shown, index, AGGRESSIVE)] == [3] * 300
    assert counts == [8, *[10] * 29, 2]
