import gzip
import json
import os
from pathlib import Path

import pytest

from formats.tables import (
    CatalogRow,
    HashtagRow,
    MatchRow,
    UnreadableRow,
    from_batch,
    part_files,
    to_batch,
)
from formats.tables import read_rows as read_table
from labelspace.matching import LabelMatcher
from pipelines.match import filter_matches, row_key
from pipelines.options import MatchOptions, Options, RunOptions
from pipelines.readers.columns import CatalogError
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
    said = (
        r"1 of 2 rows cannot be read; .*unreadable lists them .*\(such as .*c\.jsonl, line 2: .+\)"
        r'.*SET="match\.max_bad_fraction=0\.5"'
    )
    with pytest.raises(JobError, match=said):
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


CSV = "video_id,uri,hashtags\na,http://h/a,yoga\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"uploader": "uploadr", "exclude_uploaders": ("evil",)}, "'uploadr' of match.uploader"),
        ({"max_duration_s": 60}, "'duration_s', which match.max_duration_s needs"),
    ],
)
def test_a_column_that_is_asked_for_and_in_no_table_ends_the_job_before_it_starts(
    tmp_path: Path, options: dict[str, object], said: str
) -> None:
    catalog = tmp_path / "c.csv"
    catalog.write_text(CSV)
    made = job(tmp_path / "out", catalog, **options)
    with pytest.raises(CatalogError, match=f"no file has the column {said}"):
        run_stage("match", made)
    assert not (tmp_path / "out/matches").exists()


@pytest.mark.parametrize("wrong", ["none.csv", "text.csv", "cut.parquet", "empty"])
def test_a_wrong_catalog_leaves_what_another_one_gave(tmp_path: Path, wrong: str) -> None:
    (tmp_path / "c.csv").write_text(CSV)
    (tmp_path / "text.csv").write_text("dear diary\n")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1")
    (tmp_path / "empty").mkdir()
    made = job(tmp_path / "out", tmp_path / "c.csv")
    record, _ = run_stage("match", made)
    with pytest.raises(CatalogError, match=wrong):
        run_stage("match", job(tmp_path / "out", tmp_path / wrong))
    assert all((tmp_path / "out" / name).exists() for name in record.files)
    assert run_stage("match", made) == (record, True)


def test_a_key_that_is_asked_for_and_in_no_object_ends_the_job_when_all_are_read(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "a.csv").write_text(CSV)
    post = {"video_id": "b", "uri": "http://h/b", "hashtags": ["yoga"]}
    lines = [json.dumps(post)] * 200
    (folder / "b.jsonl").write_text("\n".join(lines))
    made = job(tmp_path / "out", folder, exclude_uploaders=("evil",))
    with pytest.raises(JobError, match=r"'uploader', which match\.exclude_uploaders needs; found"):
        run_stage("match", made)
    (folder / "b.jsonl").write_text("\n".join([*lines, json.dumps(post | {"uploader": "evil"})]))
    record, _ = run_stage("match", made)
    assert (record.counts["matched"], record.counts["filtered_uploader"]) == (2, 1)


def test_a_filter_whose_column_only_some_files_have_goes_by_what_is_stated(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "a.csv").write_text(CSV)
    (folder / "b.csv").write_text(
        "video_id,uri,hashtags,duration_s\nb,http://h/b,yoga,0:01:30\nc,http://h/c,yoga,\n"
    )
    record, _ = run_stage("match", job(tmp_path / "out", folder, max_duration_s=60))
    assert (record.counts["matched"], record.counts["filtered_duration"]) == (2, 1)


def test_a_duration_that_cannot_be_read_does_not_pass_a_filter(tmp_path: Path) -> None:
    catalog = tmp_path / "c.csv"
    catalog.write_text(
        "video_id,uri,hashtags,duration_s\na,http://h/a,yoga,600 s\nb,http://h/b,yoga,soon\n"
        "c,http://h/c,yoga,5\n"
    )
    made = job(tmp_path / "out", catalog, max_duration_s=60, max_bad_fraction=0.5)
    record, _ = run_stage("match", made)
    counts = {name: record.counts[name] for name in ("matched", "unreadable", "filtered")}
    assert counts == {"matched": 1, "unreadable": 1, "filtered": 1}
    (part,) = part_files(made.path("unreadable"))
    assert list(read_table(part, UnreadableRow)) == [
        UnreadableRow(str(catalog), 3, "duration is no length")
    ]


@pytest.mark.parametrize("names", [("a.csv",), ("a.csv", "b.jsonl", "c.tsv")])
def test_a_catalog_of_empty_files_is_told_in_one_sentence(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    for name in names:
        (folder / name).write_text("\n" * len(name))
    with pytest.raises(JobError, match=r"catalog: holds no row; every file of it is empty$"):
        run_stage("match", job(tmp_path / "out", folder))
    (folder / "good.csv").write_text(CSV)
    record, _ = run_stage("match", job(tmp_path / "out", folder))
    assert record.counts["catalog_rows"] == 1


def test_files_whose_names_are_not_utf8_are_matched_and_listed(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    base = os.fsencode(folder)
    line = json.dumps({"video_id": "a", "uri": "http://h/a", "hashtags": ["yoga"]})
    Path(os.fsdecode(base + b"/caf\xe9.jsonl")).write_text(f"{line}\nbad\n")
    Path(os.fsdecode(base + b"/x\xe9.info.json")).write_text("bad")
    Path(os.fsdecode(base + b"/cut\xe9.csv.gz")).write_bytes(gzip.compress(CSV.encode())[:-9])
    made = job(tmp_path / "out", folder, max_bad_fraction=0.9, max_bad_files=1)
    record, _ = run_stage("match", made)
    assert (record.counts["unreadable"], record.counts["unreadable_files"]) == (2, 1)
    listed = [
        row
        for part in part_files(made.path("unreadable"))
        for row in read_table(part, UnreadableRow)
    ]
    names = {row.path.removeprefix(f"{folder}/"): row.line for row in listed}
    assert names == {"caf\\xe9.jsonl": 2, "x\\xe9.info.json": None, "cut\\xe9.csv.gz": None}


def test_posts_are_one_by_their_uri_whatever_white_space_is_around_it(tmp_path: Path) -> None:
    catalog = tmp_path / "c.csv"
    catalog.write_text("video_id,uri,hashtags\na, http://h/a , yoga\nb,http://h/a,yoga\n")
    record, _ = run_stage("match", job(tmp_path / "out", catalog))
    assert (record.counts["matched"], record.counts["merged"]) == (1, 1)
