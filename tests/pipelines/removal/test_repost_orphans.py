from pathlib import Path

from formats.tables import RepostRow, part_files, read_rows, write_rows
from pipelines.removal.repost_orphans import read_orphans
from pipelines.removal.strikes import drop_duplicates
from pipelines.reposting.repost_votes import SameRow
from pipelines.reposts import find_reposts

KEYS = {name: f"{number:032x}" for number, name in enumerate("abcdex")}


def repost(name: str, kept: str) -> RepostRow:
    key, kept_key = KEYS[name], KEYS[kept]
    return RepostRow(key, name, kept_key, kept_key, 3, 0.5, 7, "raw", 1.0, 0.5, "raw", "frames")


def same(one: str, other: str) -> SameRow:
    facts = (2.0, 0.0, 9.0, 9.0)
    names = KEYS[one], KEYS[other], one, other
    return SameRow(*names, facts, facts, "frames", 3, 7, 1.0, 0.5, "raw", "raw")


def write_table(out: Path, *rows: RepostRow) -> None:
    write_rows(str(out / "reposts" / "part-0.parquet"), rows, RepostRow)


def table(out: Path) -> list[RepostRow]:
    return [row for f in part_files(str(out / "reposts")) for row in read_rows(f, RepostRow)]


def test_evidence_against_what_is_taken_down_goes_and_against_its_reposts_stays(
    tmp_path: Path,
) -> None:
    write_table(tmp_path, repost("b", "a"), repost("c", "a"), repost("e", "d"))
    for _again in range(2):
        drop_duplicates(tmp_path, {KEYS["a"], KEYS["c"]})
        assert table(tmp_path) == [repost("b", "a"), repost("e", "d")]
        assert list(read_orphans(tmp_path).values()) == [repost("b", "a")]
    # What the next takedown names is forgotten here, too.
    drop_duplicates(tmp_path, {KEYS["b"], KEYS["d"]})
    assert table(tmp_path) == list(read_orphans(tmp_path).values()) == [repost("e", "d")]


def test_a_dataset_without_reposts_gets_no_file(tmp_path: Path) -> None:
    write_table(tmp_path, repost("e", "d"))
    drop_duplicates(tmp_path, {KEYS["a"]})
    assert read_orphans(tmp_path) == {} and not (tmp_path / "reposts" / ".orphans.parquet").exists()


def test_a_run_anew_leaves_them_out_with_all_that_shows_the_same(tmp_path: Path) -> None:
    path = str(tmp_path / "part-0.parquet")
    orphans = {row.row_key: row for row in (repost("b", "a"), repost("c", "a"))}
    write_rows(path, [same("b", "c"), same("c", "x"), same("d", "e")], SameRow)
    found = {row.video_id: row.kept_key for row in find_reposts([path], orphans)}
    assert found == {"b": KEYS["a"], "c": KEYS["a"], "x": KEYS["a"], "e": KEYS["d"]}
    assert find_reposts([], orphans) == list(orphans.values())
