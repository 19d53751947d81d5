import numpy as np
import pytest

from dedup import bands
from dedup.bands import Entries, close_pairs, in_band
from dedup.hashing import mirrored_codes


def families(count: int, copies: int, bits: int, rng_seed: int = 0) -> np.ndarray:
    """Random hashes, and copies of each with some bits wrong; every third copy is mirrored."""
    rng = np.random.default_rng(rng_seed)
    codes = np.repeat(rng.integers(0, 256, (count, 32), dtype=np.uint8), copies, axis=0)
    for code in codes:
        wrong = np.zeros(256, np.uint8)
        wrong[rng.permutation(256)[:bits]] = 1
        code ^= np.packbits(wrong)
    codes[::3] = mirrored_codes(codes[::3])
    return codes


def keys_of(count: int) -> np.ndarray:
    return np.stack([np.arange(count) // 7, np.arange(count) % 7], axis=1).astype(np.uint64)


def pairs_in(entries: Entries, radius: int = 72) -> set[tuple[tuple, tuple]]:
    found = close_pairs(entries, radius)
    return {
        (tuple(a), tuple(b))
        for a, b in zip(found.first.tolist(), found.second.tolist(), strict=True)
    }


@pytest.mark.parametrize("width", [2, 3])
def test_the_pairs_are_those_that_agree_in_the_band_one_way_round_or_the_other(width: int) -> None:
    codes = families(60, 6, 12)
    keys = keys_of(len(codes))
    for band in range(bands.bands(width)):
        piece = slice(band * width, (band + 1) * width)
        close = np.zeros((len(codes), len(codes)), np.bool_)
        for others in (codes, mirrored_codes(codes)):
            differing = np.bitwise_count(codes[:, None] ^ others)
            close |= (differing[..., piece].sum(-1) == 0) & (differing.sum(-1) <= 72)
        expected = {
            (tuple(keys[i].tolist()), tuple(keys[j].tolist()))
            for i, j in np.argwhere(close).tolist()
            if i < j
        }
        assert pairs_in(Entries(*in_band(codes, band, width), keys)) == expected
        assert expected


def test_a_picture_and_its_mirror_image_share_every_band() -> None:
    codes = families(50, 1, 0)
    for band in range(bands.bands(3)):
        value, turned = in_band(codes, band, 3)
        mirrored_value, mirrored_turned = in_band(mirrored_codes(codes), band, 3)
        assert np.array_equal(value, mirrored_value)
        assert np.array_equal(turned, mirrored_turned)


def test_the_order_of_the_entries_does_not_matter() -> None:
    codes = families(200, 40, 30)
    entries = Entries(np.zeros(len(codes), np.uint32), codes, keys_of(len(codes)))
    order = np.random.default_rng(1).permutation(len(codes))
    one = close_pairs(entries, 72)
    other = close_pairs(Entries(*(part[order] for part in entries)), 72)
    assert np.array_equal(one.first, other.first) and np.array_equal(one.second, other.second)
    assert one.skipped == other.skipped > 0


def test_of_a_value_that_too_many_share_each_meets_its_neighbours_and_the_rest_is_counted() -> None:
    count = 5 * bands.WINDOW
    codes = families(count, 1, 0)
    found = close_pairs(Entries(np.zeros(count, np.uint32), codes, keys_of(count)), 40)
    compared = bands.WINDOW * count - bands.WINDOW * (bands.WINDOW + 1) // 2
    assert len(found.first) == 0
    assert found.skipped == count * (count - 1) // 2 - compared


def test_a_crowd_of_copies_is_held_together_by_few_pairs() -> None:
    count = 3 * bands.WINDOW
    codes = np.repeat(families(1, 1, 0), count, axis=0)
    found = close_pairs(Entries(np.zeros(count, np.uint32), codes, keys_of(count)), 40)
    assert len(found.first) <= bands.ENOUGH * count
    numbers = [part[:, 0] * 7 + part[:, 1] for part in (found.first, found.second)]
    reached = {0}
    for one, other in sorted(zip(*(part.tolist() for part in numbers), strict=True)):
        assert one in reached
        reached.add(other)
    assert len(reached) == count
    assert found.skipped > 0


def test_a_video_is_never_paired_with_itself() -> None:
    codes = np.repeat(families(1, 1, 0), 3, axis=0)
    keys = np.array([[1, 2], [1, 2], [1, 3]], np.uint64)
    assert pairs_in(Entries(np.zeros(3, np.uint32), codes, keys)) == {((1, 2), (1, 3))}


def test_no_entries_give_no_pairs() -> None:
    none = np.empty(0, np.uint32), np.empty((0, 32), np.uint8), np.empty((0, 2), np.uint64)
    found = close_pairs(Entries(*none), 72)
    assert len(found.first) == len(found.second) == found.skipped == 0
