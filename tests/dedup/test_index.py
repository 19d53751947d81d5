import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dedup.fingerprint import Fingerprint
from dedup.index import IndexFileError, TargetIndex, TargetVideo


def random_codes(count: int, *, rng_seed: int = 0) -> np.ndarray:
    return np.random.default_rng(rng_seed).integers(0, 256, (count, 32), dtype=np.uint8)


def flipped(codes: np.ndarray, bits: int) -> np.ndarray:
    mask = np.packbits(np.arange(256) < bits)
    return codes ^ mask


def fingerprint(codes: np.ndarray, versions: tuple[str, ...] | None = None) -> Fingerprint:
    seconds = np.arange(len(codes), dtype=np.float32) / 2
    return Fingerprint(codes, seconds, versions or ("full",) * len(codes))


def small_index() -> TargetIndex:
    return TargetIndex.build(
        [
            TargetVideo("kinetics", "k1", fingerprint(random_codes(5))),
            TargetVideo("epic", "e1", fingerprint(random_codes(4, rng_seed=1))),
        ]
    )


def test_search_finds_what_brute_force_finds():
    targets, queries = random_codes(400), random_codes(300, rng_seed=1)
    index = TargetIndex.build([TargetVideo("t", "v", fingerprint(targets))])
    distances = np.bitwise_count(queries[:, None] ^ index.rows.codes[None]).sum(axis=2)
    for radius in (100, 110, 128):
        hits = index.search(queries, radius)
        query, row = np.nonzero(distances <= radius)
        assert len(query) > 0
        assert np.array_equal(hits.query, query)
        assert np.array_equal(hits.row, row)
        assert np.array_equal(hits.distance, distances[query, row])


def test_the_radius_belongs_to_what_is_found():
    index = small_index()
    query = flipped(index.rows.codes[:1], 31)
    assert len(index.search(query, 30).row) == 0
    assert [part.tolist() for part in index.search(query, 31)] == [[0], [0], [31]]


def test_rows_are_by_target_video_and_variant_whatever_the_order_of_the_videos():
    codes = random_codes(6)
    first = TargetVideo("a", "v2", fingerprint(codes[:3], ("rot90", "full", "crop85")))
    second = TargetVideo("a", "v1", fingerprint(codes[3:5]))
    third = TargetVideo("b", "v1", fingerprint(codes[5:]))
    for order in ([first, second, third], [third, first, second]):
        rows = TargetIndex.build(order).rows
        assert rows.videos == (("a", "v1"), ("a", "v2"), ("b", "v1"))
        assert rows.variants == ("full", "crop85", "rot90")
        assert rows.owner.tolist() == [0, 0, 1, 1, 1, 2]
        assert rows.variant.tolist() == [0, 0, 0, 1, 2, 0]
        assert rows.second.tolist() == [0.0, 0.5, 0.5, 1.0, 0.0, 0.0]
        assert np.array_equal(rows.codes, codes[[3, 4, 1, 2, 0, 5]])


def test_a_still_picture_is_kept_once_per_video():
    still = random_codes(1).repeat(4, axis=0)
    index = TargetIndex.build([TargetVideo("t", name, fingerprint(still)) for name in ("v1", "v2")])
    assert index.rows.owner.tolist() == [0, 1]
    assert index.rows.second.tolist() == [0.0, 0.0]


def test_a_video_that_comes_twice_is_refused():
    video = TargetVideo("t", "v1", fingerprint(random_codes(1)))
    with pytest.raises(ValueError, match="target t holds the video v1 twice"):
        TargetIndex.build([video, video])


def test_an_empty_index_finds_nothing():
    empty = TargetIndex.build([TargetVideo("t", "black", fingerprint(random_codes(0)))])
    assert len(empty) == 0
    assert len(empty.search(random_codes(3), 256).row) == 0
    assert len(TargetIndex.build([]).search(random_codes(3), 256).row) == 0
    assert len(small_index().search(random_codes(0), 256).row) == 0


def test_saving_and_loading_gives_the_same_index_and_bytes(tmp_path: Path):
    index = small_index()
    for name, each in (("a", index), ("b", small_index())):
        each.save(str(tmp_path / name))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = TargetIndex.load(str(tmp_path / "a"))
    assert loaded.rows.videos == (("epic", "e1"), ("kinetics", "k1"))
    assert loaded.rows.variants == ("full",)
    for name in ("codes", "owner", "second", "variant"):
        assert np.array_equal(getattr(loaded.rows, name), getattr(index.rows, name))
    before, after = (each.search(random_codes(9), 128) for each in (index, loaded))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_an_empty_index_can_be_saved_and_loaded(tmp_path: Path):
    TargetIndex.build([]).save(str(tmp_path / "empty"))
    assert len(TargetIndex.load(str(tmp_path / "empty"))) == 0


def test_threads_share_one_index():
    index = small_index()
    queries = random_codes(64, rng_seed=5)
    alone = [part.tolist() for part in index.search(queries, 128)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda _: index.search(queries, 128), range(32)))
    assert all([part.tolist() for part in hits] == alone for hits in together)


def test_a_cut_short_or_altered_file_is_refused(tmp_path: Path):
    path = tmp_path / "index"
    small_index().save(str(path))
    whole = path.read_bytes()
    for cut in (0, 10, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(IndexFileError, match="not a target index|cut short or altered"):
            TargetIndex.load(str(path))
    for place in range(0, len(whole), 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(IndexFileError, match="not a target index|cut short or altered"):
            TargetIndex.load(str(path))


def test_a_missing_file_and_one_of_another_kind_are_refused(tmp_path: Path):
    with pytest.raises(IndexFileError, match="cannot be read as a target index"):
        TargetIndex.load(str(tmp_path / "missing"))
    np.savez(tmp_path / "other.npz", codes=random_codes(2))
    with pytest.raises(IndexFileError, match="not a target index"):
        TargetIndex.load(str(tmp_path / "other.npz"))


def test_a_file_with_a_right_checksum_over_wrong_contents_is_refused(tmp_path: Path):
    path = tmp_path / "index"
    names = np.frombuffer(b'{"videos": [["t", "v"]], "variants": ["full"]}', np.uint8)
    good = {
        "names": names,
        "codes": random_codes(2),
        "owner": np.zeros(2, np.int32),
        "second": np.zeros(2, np.float32),
        "variant": np.zeros(2, np.int16),
    }
    for wrong in (
        {"owner": np.ones(2, np.int32)},
        {"variant": np.full(2, -1, np.int16)},
        {"second": np.zeros(3, np.float32)},
        {"codes": random_codes(2).astype(np.int64)},
        {"names": names[:-1]},
        {"names": np.frombuffer(b"[]", np.uint8)},
        {"owner": np.array([None, None])},
    ):
        with path.open("wb") as file:
            np.savez(file, **(good | wrong))
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest().encode()
        path.write_bytes(b"tagreel target index 1 " + digest + b"\n" + body)
        with pytest.raises(IndexFileError, match="cannot be read as a target index"):
            TargetIndex.load(str(path))
