"""What a finished dataset tells of itself after a takedown."""

import json
from pathlib import Path

import pytest

from formats.shards import read_manifest
from formats.tables import ClipRow, LedgerRow, MatchRow, part_files, read_rows, write_rows
from pipelines.__main__ import main
from pipelines.identity import row_key
from pipelines.removal.restate import clean_shards, current_stages, restate_record
from pipelines.run import STAGES, StageRecord, read_record
from pipelines.takedown import offline_job
from tests.pipelines.takedown_world import build, contents, copy, write_world

AFTER_MATCH = ("fetch", "deduplicate", "label", "split", "shard")
IDS = ("yoga-1", "surf-0", "leak-0", "page-0")
KEYS = {row_key(name) for name in ("yoga1.mp4", "surf0.mp4", "leak.mp4", "page.mp4")}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    (folder / "ids.txt").write_text("\n".join(IDS))
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, out) == 0
    return out


@pytest.fixture
def out(whole: Path, tmp_path: Path) -> Path:
    return copy(whole, tmp_path / "out")


def take_down(out: Path, world: Path) -> int:
    return main(["takedown", "--out", str(out), "--ids", str(world / "ids.txt")])


def record(stage: str, out: Path) -> StageRecord:
    found = read_record(stage, out)
    assert found is not None
    return found


def clips_by_split(out: Path) -> dict[str, int]:
    return {f.name: read_manifest(str(f)).clips for f in sorted((out / "shards").iterdir())}


@pytest.mark.slow
def test_stages_are_current_up_to_the_first_whose_options_changed(world: Path, out: Path) -> None:
    assert current_stages(offline_job(out)) == AFTER_MATCH
    config = out / "config.toml"
    config.write_text(config.read_text().replace("clips_per_shard = 3", "clips_per_shard = 4"))
    assert current_stages(offline_job(out)) == AFTER_MATCH[:-1]
    (out / "stages" / "label.json").unlink()
    assert current_stages(offline_job(out)) == ("fetch", "deduplicate")


@pytest.mark.slow
def test_a_record_is_restated_at_the_time_that_it_had(out: Path) -> None:
    job, before = offline_job(out), record("split", out)
    (part, *_) = part_files(str(out / "clips" / "all"))
    write_rows(part, list(read_rows(part, ClipRow))[1:], ClipRow)
    restate_record("split", job, {"all": 1}, current=True)
    after = record("split", out)
    assert (after.seconds, after.config_digest) == (before.seconds, before.config_digest)
    assert (after.key, after.counts) == (before.key, {"all": 1})
    assert after.result_digest != before.result_digest
    assert after.bytes == sum(after.files.values()) != before.bytes
    restate_record("split", job, None, current=False)
    assert (record("split", out).key, record("split", out).counts) == ("", {"all": 1})
    (out / "stages" / "split.json").unlink()
    restate_record("split", job, None, current=True)
    assert read_record("split", out) is None


@pytest.mark.slow
def test_after_a_takedown_every_record_tells_of_its_output_as_it_is(
    world: Path, whole: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert take_down(out, world) == 0
    for stage in STAGES:
        now, before = record(stage, out), record(stage, whole)
        assert now.seconds == before.seconds
        files = {name: (out / name).stat().st_size for name in now.files}
        assert files == now.files and now.bytes == sum(files.values())
    stored = record("fetch", whole).counts["stored"] - record("fetch", out).counts["stored"]
    assert stored == 3
    # The only one of its reason: with it goes the reason.
    assert "rejected:not_video" not in record("fetch", out).counts
    assert record("deduplicate", out).counts["evidence_rows"] == 0
    labels = record("label", out).counts
    assert labels["videos"] == record("label", whole).counts["videos"] - 2
    counts = {name: record("shard", out).counts[f"{name}_clips"] for name in clips_by_split(out)}
    assert counts == clips_by_split(out)
    assert current_stages(offline_job(out)) == AFTER_MATCH
    capsys.readouterr()
    assert build(world, out) == 0
    assert capsys.readouterr().out.count("done before") == len(STAGES)
    assert main(["verify", "--out", str(out)]) == 0


@pytest.mark.slow
def test_shards_are_found_by_table_and_by_reading_alike(whole: Path, out: Path) -> None:
    by_table, by_reading = copy(out, out.parent / "table"), copy(out, out.parent / "reading")
    clean_shards(offline_job(by_table), KEYS, AFTER_MATCH)
    clean_shards(offline_job(by_reading), KEYS, ())
    both = [
        {n: c for n, c in contents(o).items() if n.startswith("shards/")}
        for o in (by_table, by_reading)
    ]
    assert both[0].keys() == both[1].keys()
    assert {n for n in both[0] if both[0][n] != both[1][n]} == set()
    assert clips_by_split(by_table)["all"] == clips_by_split(whole)["all"] - 2
    clean_shards(offline_job(by_table), KEYS, AFTER_MATCH)
    again = {n: c for n, c in contents(by_table).items() if n.startswith("shards/")}
    assert again == both[0]


@pytest.mark.slow
def test_a_dataset_with_a_stage_out_of_date_is_cleaned_too(world: Path, out: Path) -> None:
    # The clips are chosen anew, the shards are still those of the choice before.
    words = ["--seed", "kinetics", "--catalog", str(world / "catalog.csv"), "--out", str(out)]
    words += ["--set", "split.splits=all fetch.max_failed_fraction=0.9"]
    before = read_manifest(str(out / "shards" / "frames"))
    assert main(["split", *words]) == 0
    assert take_down(out, world) == 0
    for path, content in contents(out).items():
        assert not [name for name in IDS if name.encode() in content], path
    left = read_manifest(str(out / "shards" / "frames"))
    assert (left.clips, left.videos) == (before.clips - 2 * 2, before.videos - 2)
    assert build(world, out) == 0
    assert main(["verify", "--out", str(out)]) == 0


@pytest.mark.slow
def test_a_split_that_was_never_finished_loses_its_tars(out: Path) -> None:
    (out / "shards" / "all" / "MANIFEST.json").unlink()
    short = clips_by_split_of(out, "short")
    clean_shards(offline_job(out), frozenset(), AFTER_MATCH)
    assert not list((out / "shards" / "all").glob("*.tar"))
    assert clips_by_split_of(out, "short") == short > 0


def clips_by_split_of(out: Path, split: str) -> int:
    return read_manifest(str(out / "shards" / split)).clips


@pytest.mark.slow
def test_what_was_never_fetched_is_not_counted(world: Path, out: Path) -> None:
    before = record("fetch", out)
    (part, *_) = part_files(str(out / "matches"))
    (row, *rows) = read_rows(part, MatchRow)
    new = MatchRow("0" * 32, "new", "new.mp4", row.labels, row.hashtags)
    write_rows(part, sorted([new, row, *rows], key=lambda r: r.row_key), MatchRow)
    assert take_down(out, world) == 0
    assert record("fetch", out).counts == before.counts


@pytest.mark.slow
def test_the_ledger_says_how_each_was_named_and_the_report_goes_with_an_unfinished_job(
    world: Path, out: Path
) -> None:
    (out / "stages" / "shard.json").unlink()
    assert take_down(out, world) == 0
    rows = {row.row_key: row for row in read_rows(str(out / "ledger.parquet"), LedgerRow)}
    gone = {(rows[key].fate, rows[key].reason, rows[key].video_id) for key in KEYS}
    assert gone == {("taken_down", "id", "")}
    assert not (out / "report").exists() and not (out / "DATASET_CARD.md").exists()
    assert build(world, out) == 0
    summary = json.loads((out / "report" / "summary.json").read_text())
    assert summary["fates"]["taken_down"] == len(KEYS)


@pytest.mark.slow
def test_a_damaged_shard_or_video_is_named_and_not_copied(
    world: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copy(whole, tmp_path / "out")
    for tar in out.glob("videos/*.tar"):
        content = bytearray(tar.read_bytes())
        content[600] ^= 1
        tar.write_bytes(content)
    assert take_down(out, world) == 1
    said = capsys.readouterr().err
    assert "is damaged, so the part cannot be written" in said and "Traceback" not in said
    out = copy(whole, tmp_path / "other")
    for tar in out.glob("shards/all/*.tar"):
        tar.write_bytes(tar.read_bytes()[:-512])
    assert take_down(out, world) == 1
    assert "bytes, the manifest says" in capsys.readouterr().err
