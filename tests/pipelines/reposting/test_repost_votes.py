from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from formats.tables import VideoRow, from_batch, to_batch, write_rows
from pipelines.joins import RowKey
from pipelines.reposting.repost_pairs import CandidateRow
from pipelines.reposting.repost_votes import (
    ComparedVideo,
    SameRow,
    bucket_wanted,
    compare,
    take_first,
    vote,
    write_wanted,
)
from tests.pipelines.reposting.test_repost_pairs import CODES, key, pair, video

OTHER = np.random.default_rng(9).integers(0, 256, (4, 32), dtype=np.uint8)


def compared(row: VideoRow) -> ComparedVideo:
    (found,) = from_batch(to_batch([replace(row, duration_s=2.0)], ComparedVideo), ComparedVideo)
    return found


def tables(videos: list[VideoRow], removed: list[str] = (), **more: object) -> dict:  # type: ignore[assignment]
    rows = [replace(row, duration_s=2.0) for row in videos]
    return {
        "videos": [to_batch(rows, ComparedVideo)],
        "removed": [to_batch([RowKey(key(name)) for name in removed], RowKey)],
        **more,
    }


def test_only_stored_videos_in_a_pair_are_shuffled(tmp_path: Path) -> None:
    for part, found in enumerate(([pair("a", "b")], [pair("b", "c"), pair("a", "b")])):
        write_rows(str(tmp_path / f"part-{part}.parquet"), found, CandidateRow)
    wanted = str(tmp_path / "wanted.npy")
    write_wanted([str(tmp_path / f"part-{part}.parquet") for part in (0, 1)], wanted)
    videos = [video(name, CODES) for name in "abd"] + [video("c", CODES, status="rejected")]
    batch = to_batch(videos, ComparedVideo)
    buckets = {
        row["row_key"]: number
        for number, part in bucket_wanted(batch, wanted, 3)
        for row in part.to_pylist()
    }
    assert buckets == {key(name): int(key(name)[:8], 16) % 3 for name in ("a", "b")}


def test_a_pair_that_was_found_in_several_bands_goes_on_once_and_one_with_a_removed_video_not() -> (
    None
):
    videos = [video(name, CODES) for name in ("a", "b")]
    found = [pair("a", "b"), pair("a", "b"), pair("b", "gone")]
    given = {"pairs": [to_batch(found, CandidateRow)]}
    halves = list(take_first(0, tables(videos, **given), 4))
    first, second = sorted((key("a"), key("b")))
    taken = [(other, one.row_key) for _, (other, one) in halves if one.row_key == first]
    assert taken.count((second, first)) == 1
    assert all(number == int(other[:8], 16) % 4 for number, (other, _) in halves)
    assert list(take_first(0, tables(videos, ["a", "b"], **given), 4)) == []


def test_pairs_that_show_the_same_hold_unless_the_other_was_removed() -> None:
    near, far = video("near", CODES), video("far", OTHER)
    one = compared(video("one", CODES))
    halves = [(key("near"), one), (key("far"), one), (key("not there"), one)]
    found = list(vote(0, tables([near, far], halves=halves), 24))
    assert [(row.video_id, row.other_video_id, row.tier) for row in found] == [
        ("one", "near", "frames")
    ]
    assert list(vote(0, tables([near, far], ["near"], halves=halves), 24)) == []


@pytest.mark.parametrize(
    ("mark", "tier"), [("source_sha256", "sha256"), ("packets_sha256", "packets")]
)
def test_the_same_bytes_need_no_frames(mark: str, tier: str) -> None:
    one, other = (video(name, CODES[:0], **{mark: "ab" * 32}) for name in "ab")
    (row,) = compare(compared(one), compared(other), 24)
    assert (row.tier, row.matched_frames, row.version) == (tier, 0, "")
    assert list(compare(compared(one), compared(video("c", CODES[:0])), 24)) == []


def test_what_decides_who_is_kept_comes_with_the_pair() -> None:
    bars = video("bars", np.concatenate([CODES, OTHER]))
    bars = replace(bars, seconds=bars.seconds[:4] * 2, versions=("raw",) * 4 + ("stripped",) * 4)
    one = replace(compared(bars), width=100, height=50, source_bytes=7)
    (row,) = compare(one, compared(video("plain", OTHER)), 24)
    assert isinstance(row, SameRow)
    assert row.facts == (2.0, 1.0, 5000.0, 7.0)
    assert row.other_facts == (2.0, 0.0, 0.0, 0.0)
    assert (row.version, row.other_version, row.min_distance) == ("stripped", "raw", 0)
