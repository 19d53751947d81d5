import json
from dataclasses import replace
from pathlib import Path

import pytest

from formats.shards import ShardError, digest_of
from formats.tables import DuplicateRow, LedgerRow, TableError, read_rows, write_rows
from pipelines.reporting.summary import AccountingError, summarise, write_summary
from pipelines.run import STAGES, JobError
from tests.pipelines.finished_dataset import Post, write_finished

POSTS = [
    Post("a", "tai chi"),
    Post("b", "tai chi", seconds=2),
    Post("c", "push up"),
    Post("d", "push up", "duplicate"),
    Post("e", "push up", "rejected", "gone"),
    Post("f", "push up", "rejected", "gone"),
    Post("g", "push up", "rejected", "empty"),
    Post("h", "tai chi", "retry_later", "busy"),
    Post("i", "yoga", "label_too_small"),
]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    write_finished(tmp_path / "out", POSTS, settings=("split.splits=all,long",))
    return tmp_path / "out"


def test_every_count_of_a_finished_dataset(out):
    summary = json.loads(_written(out))
    ids = {name: split.pop("dataset_id") for name, split in summary["splits"].items()}
    assert summary.pop("dataset_id") == digest_of(ids)
    assert summary == {
        "catalog_rows": 19,
        "fates": {
            "clip": 3,
            "duplicate": 1,
            "rejected": 3,
            "retry_later": 1,
            "label_too_small": 1,
            "not_sampled": 0,
            "taken_down": 0,
            "unmatched": 7,
            "filtered": 0,
            "merged": 2,
            "unreadable": 1,
        },
        "filtered": {},
        "rejected": {"gone": 2, "empty": 1},
        "retry_later": {"busy": 1},
        "duplicates": {
            "count": 1,
            "by_target": {"benchmark": 1},
            "compared": 5,
            "decoy_hits": 1,
            "reposts": None,
            "target_sets": {"benchmark": {"videos": 1, "hashed": 1}},
        },
        "splits": {
            "all": {"videos": 3, "clips": 3, "minutes": 4 / 60, "labels": 2},
            "long": {"videos": 0, "clips": 0, "minutes": 0, "labels": 0},
        },
        "labels_matched": 3,
        "labels_kept": 2,
        "labels_dropped": 1,
        "stages": {s: {"seconds": 0.5 + i, "bytes": 1000 * i} for i, s in enumerate(STAGES)},
        "seconds": 32.0,
    }


def test_a_video_in_two_targets_counts_in_both_but_once_in_each(out):
    evidence = [(target, video) for target in ("one", "two") for video in ("x", "y")]
    rows = [DuplicateRow("00", "d", target, video, 1, 0.0, 3, "raw") for target, video in evidence]
    for path in (out / "duplicates").glob("*.parquet"):
        path.unlink()
    write_rows(str(out / "duplicates" / "part-00000-of-00001.parquet"), rows, DuplicateRow)
    assert summarise(str(out)).duplicates.by_target == {"one": 1, "two": 1}


def test_a_row_without_a_fate_is_an_error_that_shows_the_numbers(out):
    write_rows(
        str(out / "ledger.parquet"), [LedgerRow("00", "a", "clip", None, "shard")], LedgerRow
    )
    with pytest.raises(AccountingError) as caught:
        summarise(str(out))
    assert str(caught.value) == (
        "the catalog has 19 rows, their fates add up to 11: clip 1 + duplicate 0 + rejected 0 + "
        "retry_later 0 + label_too_small 0 + not_sampled 0 + taken_down 0 + unmatched 7 + "
        "filtered 0 + merged 2 + unreadable 1"
    )


def test_a_fate_outside_the_list_is_an_error(out):
    write_rows(str(out / "ledger.parquet"), [LedgerRow("00", "a", "lost", None, "x")], LedgerRow)
    with pytest.raises(AccountingError, match="1 rows with the unknown fate 'lost'"):
        summarise(str(out))


def test_clips_that_are_in_no_shard_are_an_error(out):
    manifest = out / "shards" / "all" / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace('"clips": 3', '"clips": 4'))
    with pytest.raises(AccountingError, match="split all: 3 clips were chosen, its shards hold 4"):
        summarise(str(out))


def test_an_unfinished_stage_is_named(out):
    (out / "stages" / "split.json").unlink()
    with pytest.raises(JobError, match="the stage split is not done"):
        summarise(str(out))


def test_a_missing_table_or_manifest_is_named(out):
    (out / "shards" / "long" / "MANIFEST.json").unlink()
    with pytest.raises(ShardError, match="long/MANIFEST.json: not there"):
        summarise(str(out))
    (out / "ledger.parquet").unlink()
    with pytest.raises(TableError, match=r"ledger\.parquet"):
        summarise(str(out))


def _written(out: Path) -> str:
    write_summary(str(out), summarise(str(out)))
    return (out / "report" / "summary.json").read_text()


def test_the_decoys_say_how_many_videos_go_by_chance(out):
    found = summarise(str(out)).duplicates
    assert found.by_chance().startswith("Upside down, 1 of 5 videos matched a target (20.00%)")
    assert replace(found, decoy_hits=None).by_chance() is None
    assert replace(found, compared=0).by_chance() is None


def test_reposts_are_counted_together_and_apart_from_the_targets_duplicates(tmp_path):
    out, posts = tmp_path / "out", [*POSTS, Post("r", "push up", "duplicate")]
    settings = ("split.splits=all,long", "deduplicate.reposts=true")
    write_finished(out, posts, settings=settings)
    found = summarise(str(out)).duplicates
    assert (found.count, found.reposts) == (2, 0)
    rows = [
        replace(row, reason=f"repost of {row.row_key}") if row.video_id in "dr" else row
        for row in read_rows(str(out / "ledger.parquet"), LedgerRow)
    ]
    write_rows(str(out / "ledger.parquet"), rows, LedgerRow)
    summary = summarise(str(out))
    assert (summary.duplicates.count, summary.duplicates.reposts) == (0, 2)
    assert summary.fates["duplicate"] == 2
    assert summary.duplicates.inside_source().startswith("Re-posts inside the source removed: 2;")
    assert "not looked for" in replace(found, reposts=None).inside_source()
