from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dedup.fingerprint import Fingerprint
from dedup.index import TargetIndex, TargetVideo, open_index
from dedup.index_file import IndexFileError, write_index_file
from dedup.multi_index import build_table


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


def many_videos(count: int) -> list[TargetVideo]:
    """Videos whose frames follow each other in small steps, two of them of one picture."""
    rng = np.random.default_rng(0)
    videos = []
    for number in range(count):
        picture = random_codes(1, rng_seed=number // 2)
        steps = np.packbits(rng.random((12, 256)) < 0.03, axis=1)
        videos.append(TargetVideo("t", f"v{number:02d}", fingerprint(picture ^ steps)))
    return videos


def near(videos: list[TargetVideo], bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of sources that each show one of the videos, and which source each is of."""
    rng = np.random.default_rng(3)
    noise = np.argsort(rng.random((len(videos) * 12, 256)), axis=1) < bits
    codes = np.concatenate([video.fingerprint.codes for video in videos])
    return codes ^ np.packbits(noise, axis=1), np.arange(len(videos)).repeat(12)


def test_a_hashed_index_finds_every_hit_of_the_videos_that_share_a_word():
    videos = many_videos(20)
    exact, hashed = (TargetIndex.build(videos, hashed=flag) for flag in (False, True))
    codes, sources = near(videos, 30)
    hits = hashed.search(codes, 72, sources)
    assert len(hits.row) > len(codes)
    for wanted, got in zip(exact.search(codes, 72, sources), hits, strict=True):
        assert np.array_equal(wanted, got)


def test_a_hashed_index_loses_whole_videos_but_no_hits_of_those_it_finds():
    videos = many_videos(60)
    exact, hashed = (TargetIndex.build(videos, hashed=flag) for flag in (False, True))
    codes, sources = near(videos, 66)
    every, found = exact.search(codes, 72, sources), hashed.search(codes, 72, sources)
    pairs = [sources[h.query] * 60 + exact.rows.owner[h.row] for h in (every, found)]
    assert 0 < len(np.unique(pairs[1])) < len(np.unique(pairs[0]))
    kept = np.isin(pairs[0], pairs[1])
    for wanted, got in zip(every, found, strict=True):
        assert np.array_equal(wanted[kept], got)


def test_what_a_hashed_index_finds_does_not_depend_on_what_is_searched_or_indexed_together():
    videos = many_videos(40)
    codes, sources = near(videos, 60)
    whole = TargetIndex.build(videos, hashed=True)
    together = whole.search(codes, 72, sources)
    names = [whole.rows.videos[owner] for owner in whole.rows.owner[together.row]]
    wanted = set(zip(together.query.tolist(), names, together.distance.tolist(), strict=True))
    alone = set()
    for piece in (videos[:13], videos[13:]):
        index = TargetIndex.build(piece, hashed=True)
        for source in range(40):
            hits = index.search(codes[sources == source], 72)
            for query, row, distance in zip(*(part.tolist() for part in hits), strict=True):
                name = index.rows.videos[index.rows.owner[row]]
                alone.add((query + 12 * source, name, distance))
    assert wanted
    assert alone == wanted


def test_a_hashed_index_is_saved_and_loaded_with_its_tables(tmp_path: Path):
    videos = many_videos(6)
    for name in ("a", "b"):
        TargetIndex.build(videos, hashed=True).save(str(tmp_path / name))
        videos.reverse()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    loaded = TargetIndex.load(str(tmp_path / "a"))
    codes, sources = near(videos[::-1], 30)
    wanted = TargetIndex.build(videos, hashed=True).search(codes, 72, sources)
    got = loaded.search(codes, 72, sources)
    assert len(got.row) > 0
    assert all(np.array_equal(a, b) for a, b in zip(wanted, got, strict=True))
    assert not loaded.rows.codes.flags.writeable


def test_an_index_is_opened_once_as_long_as_its_file_stays(tmp_path: Path):
    path = str(tmp_path / "index")
    small_index().save(path)
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(open_index, [path] * 8))
    assert len({id(index) for index in opened}) == 1
    (tmp_path / "other").write_bytes((tmp_path / "index").read_bytes())
    (tmp_path / "other").replace(path)
    assert open_index(path) is not opened[0]
    with pytest.raises(IndexFileError, match="missing: is missing"):
        open_index(str(tmp_path / "missing"))


def test_a_file_with_a_right_checksum_over_wrong_contents_is_refused(tmp_path: Path):
    path = str(tmp_path / "index")
    names = {"videos": [["t", "v"]], "variants": ["full"]}
    arrays = {
        "codes": random_codes(2),
        "owner": np.zeros(2, np.int32),
        "second": np.zeros(2, np.float32),
        "variant": np.zeros(2, np.int16),
    }
    table = build_table(arrays["codes"], 0)
    tables = {f"{name}{n}": part for n in range(10) for name, part in table._asdict().items()}
    for wrong in (
        {"owner": np.ones(2, np.int32)},
        {"owner": np.array([1, 0], np.int32)},
        {"variant": np.full(2, -1, np.int16)},
        {"second": np.zeros(3, np.float32)},
        {"codes": random_codes(2).astype(np.int32)},
        {"codes": random_codes(2)[:, :31]},
        {"rows0": np.zeros(2, np.uint32)},
        tables | {"rows7": np.full(2, 9, np.uint32)},
        tables | {"starts3": table.starts[:-1]},
    ):
        write_index_file(path, names, (arrays | wrong).items())
        with pytest.raises(IndexFileError, match="cannot be read as a target index"):
            TargetIndex.load(path)
    for facts in ({}, {"videos": [], "variants": []}, {"videos": [1], "variants": ["full"]}):
        write_index_file(path, facts, arrays.items())
        with pytest.raises(IndexFileError, match="cannot be read as a target index"):
            TargetIndex.load(path)
    write_index_file(path, names, (arrays | tables).items())
    assert len(TargetIndex.load(path)) == 2
