import gzip
import json
from pathlib import Path

import pytest

from formats.tables import CatalogRow, HashtagRow, MatchRow, UnreadableRow, from_batch, to_batch
from formats.tables import read_rows as read_table
from labelspace.matching import LabelMatcher
from pipelines.batches import part_files
from pipelines.match import filter_matches, row_key
from pipelines.options import MatchOptions, Options, RunOptions
from pipelines.run import Job, JobError, run_stage

MATCHER = LabelMatcher([HashtagRow("yoga", "yoga"), HashtagRow("catchfish", "catching a fish")])


def matches(
    *rows: CatalogRow, options: MatchOptions | None = None
) -> tuple[list[MatchRow], dict[str, int]]:
    batch = to_batch(rows, CatalogRow)
    found, left_out = filter_matches(batch, MATCHER, options or MatchOptions())
    return list(from_batch(found, MatchRow)), dict(left_out)


def job(out: Path, catalog: Path, *, buckets: int = 2, **options: object) -> Job:
    labels = out.parent / "labels.txt"
    labels.write_text("yoga\ncatching a fish\n")
    settings = Options(run=RunOptions(buckets=buckets), match=MatchOptions(**options))  # type: ignore[arg-type]
    out.mkdir(exist_ok=True)
    made = Job(out, str(labels), settings, str(catalog))
    run_stage("expand", made)
    return made


def test_hashtags_are_found_in_lists_and_captions() -> None:
    found, left_out = matches(
        CatalogRow("listed", "u1", ("Yoga", "fyp")),
        CatalogRow("crowded", "u2", ("#x #catch_fish",)),
        CatalogRow("phrase", "u3", ("Catch fish",), "", "", ""),
        CatalogRow("both", "u4", ("yoga",), "morning #YOGA and \uff03CatchFish!", "up", "CC0"),
        CatalogRow("none", "u5", ("nature",), "no yoga without a sign"),
    )
    fish = ("catching a fish",), ("catchfish",)
    both = ("catching a fish", "yoga"), ("catchfish", "yoga")
    assert found == [
        MatchRow(row_key("u1"), "listed", "u1", ("yoga",), ("yoga",)),
        MatchRow(row_key("u2"), "crowded", "u2", *fish),
        MatchRow(row_key("u3"), "phrase", "u3", *fish),
        MatchRow(row_key("u4"), "both", "u4", *both, "up", "CC0"),
    ]
    assert left_out == {}


def test_a_batch_without_a_match_gives_no_rows() -> None:
    assert matches(CatalogRow("a", "u", ("x",)), CatalogRow("b", "v")) == ([], {})


def test_a_row_is_counted_by_the_first_filter_that_leaves_it_out() -> None:
    def row(name: str, uploader: str | None, licence: str | None, seconds: float | None) -> object:
        return CatalogRow(name, name, ("yoga",), None, uploader, licence, seconds)

    rows = [
        row("stays", "ann", " CC BY 4.0 ", 9),
        row("no length", None, "cc by 4.0", None),
        row("long", "bob", "CC0", 90),
        row("short", "ann", "CC BY 4.0", 0.5),
        row("no licence", "ann", None, 9),
        row("bob", "bob", "CC BY 4.0", 9),
    ]
    options = MatchOptions(
        min_duration_s=1, max_duration_s=60, licences=("CC BY 4.0",), exclude_uploaders=("bob",)
    )
    found, left_out = matches(*rows, options=options)  # type: ignore[arg-type]
    assert [match.video_id for match in found] == ["stays", "no length"]
    assert left_out == {"duration": 2, "licence": 1, "uploader": 1}


def test_the_same_rows_give_the_same_bytes_in_any_order_and_files(tmp_path: Path) -> None:
    posts = [
        {"video_id": f"v{n % 900}", "uri": f"http://h/{n % 700}", "hashtags": tags, "uploader": who}
        for n in range(2000)
        for tags, who in [(["yoga", "x"], "a") if n % 3 else (["catchfish"], None)]
    ]
    one = tmp_path / "one.jsonl"
    one.write_text("".join(json.dumps(post) + "\n" for post in posts))
    several = tmp_path / "several"
    several.mkdir()
    for k in range(3):
        lines = "".join(json.dumps(post) + "\n" for post in posts[::-1][k::3])
        (several / f"{k}.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    written = []
    for name, catalog in (("a", one), ("b", several)):
        made = job(tmp_path / name, catalog)
        record, _ = run_stage("match", made)
        assert record.counts["matched"] == 700
        assert record.counts["merged"] == 1300
        written.append([Path(part).read_bytes() for part in part_files(made.path("matches"))])
    assert written[0] == written[1]
    assert len(written[0]) == 2
    rows = [
        row
        for part in part_files(str(tmp_path / "a/matches"))
        for row in read_table(part, MatchRow)
    ]
    by_uri = {row.uri: row for row in rows}
    # Posts 1 and 701 share a URI; both their labels stay, and the smaller of v1 and v701.
    assert by_uri["http://h/1"].video_id == "v1"
    assert by_uri["http://h/0"].labels == ("catching a fish", "yoga")


def test_rows_that_cannot_be_read_are_listed_with_file_line_and_reason(tmp_path: Path) -> None:
    catalog = tmp_path / "c.csv"
    catalog.write_text("video_id,uri,hashtags\na,http://h/a,yoga\n,http://h/b,yoga\nc,d\n")
    made = job(tmp_path / "out", catalog, max_bad_fraction=0.7)
    record, _ = run_stage("match", made)
    assert (record.counts["catalog_rows"], record.counts["unreadable"]) == (3, 2)
    (part,) = part_files(made.path("unreadable"))
    assert [(row.path, row.line) for row in read_table(part, UnreadableRow)] == [
        (str(catalog), 3),
        (str(catalog), 4),
    ]


def test_too_many_unreadable_rows_end_the_job_and_say_where_they_are_listed(tmp_path: Path) -> None:
    catalog = tmp_path / "c.jsonl"
    catalog.write_text('{"video_id": "a", "uri": "u", "hashtags": ["yoga"]}\nno json\n')
    made = job(tmp_path / "out", catalog)
    with pytest.raises(JobError, match=r"1 of 2 rows cannot be read; .*unreadable lists them"):
        run_stage("match", made)


def test_a_file_that_breaks_off_ends_the_job_unless_it_is_allowed(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    line = '{"video_id": "a", "uri": "u", "hashtags": ["yoga"]}\n'
    (folder / "good.jsonl").write_text(line)
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(line.encode() * 1000)[:-20])
    with pytest.raises(JobError, match=r"cut\.jsonl\.gz"):
        run_stage("match", job(tmp_path / "strict", folder))
    made = job(tmp_path / "out", folder, max_bad_files=1, max_bad_fraction=1)
    record, _ = run_stage("match", made)
    assert record.counts["unreadable_files"] == 1
    assert record.counts["matched"] == 1
    assert not (tmp_path / "out/matches/.runs").exists()
