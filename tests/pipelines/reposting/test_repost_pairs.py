import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from dedup.bands import bands
from formats.tables import VideoRow, part_files, read_rows, to_batch, write_rows
from pipelines.options import Options, RunOptions
from pipelines.reposting import repost_pairs
from pipelines.reposting.repost_pairs import (
    BandPlan,
    CandidateRow,
    HashedVideo,
    cut_bands,
    find_candidates,
    key_words,
    write_pairs,
)
from pipelines.run import Job

PLAN = BandPlan(width=2, slices=3, radius=24)
ALL = tuple(range(PLAN.numbers))
CODES = np.random.default_rng(3).integers(0, 256, (4, 32), dtype=np.uint8)


def key(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def video(name: str, codes: np.ndarray, **facts: str) -> VideoRow:
    given = {"status": "stored", **facts}
    hashes = tuple(code.tobytes() for code in codes)
    seconds, versions = tuple(map(float, range(len(codes)))), ("raw",) * len(codes)
    marks = {name: given.get(name) for name in ("source_sha256", "packets_sha256")}
    return VideoRow(
        key(name),
        name,
        given["status"],
        fingerprint=hashes,
        seconds=seconds,
        versions=versions,
        **marks,
    )


def batch_of(*videos: VideoRow) -> pa.RecordBatch:
    return to_batch(videos, HashedVideo)


def pair(one: str, other: str) -> CandidateRow:
    return CandidateRow(*sorted((key(one), key(other))))


def pairs_in(folder: Path) -> set[CandidateRow]:
    return {row for file in part_files(str(folder)) for row in read_rows(file, CandidateRow)}


def test_a_hash_is_in_each_band_once_and_a_value_is_always_in_one_slice() -> None:
    found = list(cut_bands(batch_of(video("a", CODES), video("b", CODES[:1])), PLAN, ALL))
    entries = [row for _, batch in found for row in batch.to_pylist()]
    assert len(entries) == bands(2) * (4 + 1)
    assert {number // PLAN.slices for number, _ in found} == set(range(bands(2)))
    assert all(
        row["value"] % PLAN.slices == number % PLAN.slices
        for number, batch in found
        for row in batch.to_pylist()
    )
    words = {tuple(pair) for pair in key_words(pa.array([key("a"), key("b")])).tolist()}
    assert {(row["key_high"], row["key_low"]) for row in entries} == words


def test_what_is_set_into_a_picture_is_in_no_band() -> None:
    reaction = replace(video("reaction", CODES), versions=("raw", "inset5-55,40-90") * 2)
    found = list(cut_bands(batch_of(reaction), PLAN, ALL))
    assert sum(batch.num_rows for _, batch in found) == bands(2) * 2


def test_a_still_picture_has_one_entry_a_band_and_what_is_not_stored_has_none() -> None:
    still = video("still", np.repeat(CODES[:1], 9, axis=0))
    gone = video("gone", CODES, status="rejected")
    empty = video("flat", CODES[:0])
    found = list(cut_bands(batch_of(still, gone, empty), PLAN, ALL))
    assert sum(batch.num_rows for _, batch in found) == bands(2)
    assert list(cut_bands(batch_of(gone, empty), PLAN, ALL)) == []


@pytest.mark.parametrize("mark", ["source_sha256", "packets_sha256"])
def test_videos_without_a_hash_meet_by_their_bytes(mark: str, tmp_path: Path) -> None:
    same, other = (hashlib.sha256(text).hexdigest() for text in (b"same", b"other"))
    videos = [video(n, CODES[:0], **{mark: s}) for n, s in [("a", same), ("b", same), ("c", other)]]
    for number, batch in cut_bands(batch_of(*videos, video("d", CODES[:0])), PLAN, ALL):
        write_pairs(number, [batch], PLAN.radius, str(tmp_path))
    assert pairs_in(tmp_path) == {pair("a", "b")}


def test_keys_as_words_are_in_the_order_of_the_keys() -> None:
    keys = sorted(key(str(number)) for number in range(100))
    words = [tuple(pair) for pair in key_words(pa.array(keys)).tolist()]
    assert words == sorted(words)
    assert [f"{high:016x}{low:016x}" for high, low in words] == keys


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_pairs_are_found_over_parts_in_one_job_or_in_one_for_each_band(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(repost_pairs, "_ENTRIES_AT_ONCE", at_once)
    monkeypatch.setattr(repost_pairs, "_SLICE_HASHES", 3)
    near = CODES.copy()
    near[:, 31] ^= 0xFF  # In the last band alone.
    job = Job(tmp_path, "kinetics", Options(run=RunOptions(workers=2)))
    for part, row in enumerate((video("a", CODES), video("b", near), video("c", ~CODES))):
        write_rows(job.path("videos", f"part-{part}.parquet"), [row], VideoRow)
    folder = tmp_path / "pairs"
    assert find_candidates(job, str(folder), 24) == 0
    assert pairs_in(folder) == {pair("a", "b")}
    assert len(list(folder.glob("counts-*.json"))) == (18 if at_once == 1 else 1)


def test_what_too_many_share_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.bands.WINDOW", 1)
    job = Job(tmp_path, "kinetics", Options(run=RunOptions(workers=1)))
    rows = [video(name, CODES[:1]) for name in "abc"]
    write_rows(job.path("videos", "part-0.parquet"), rows, VideoRow)
    assert find_candidates(job, str(tmp_path / "pairs"), 24) == bands(2)
    assert len(pairs_in(tmp_path / "pairs")) == 2
