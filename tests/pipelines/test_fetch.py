"""Units of real video, committed, killed and resumed."""

import json
from pathlib import Path

import numpy as np
import pytest

from formats.tables import MatchRow, VideoRow, read_rows, write_rows
from formats.video import encode_frames
from pipelines.fetch import plan_units, run
from pipelines.fetch_options import FetchOptions
from pipelines.identity import split_piece
from pipelines.joins import latest_videos
from pipelines.match import row_key
from pipelines.options import Options, RunOptions
from pipelines.run import Job, JobError
from pipelines.units import Workplace, fetch_unit
from tests.pipelines.faulty_server import running_server, send
from tests.pipelines.hosted_videos import behave, gives, hosted_job, small_video, tables_of

NAMES = ("good0.mp4", "good1.mp4", "page.mp4", "none.mp4")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    for number in range(2):
        rng = np.random.default_rng(number)
        still = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
        frames = (np.roll(still, shift, axis=1) for shift in range(15))
        encode_frames(str(folder / f"good{number}.mp4"), frames, fps=10)
    (folder / "page.mp4").write_text("<html>")
    (folder / "catalog.csv").write_text("video_id,uri,hashtags\n")
    return folder


def make_job(catalog: Path, out: Path, **fetch: object) -> Job:
    rows = sorted(
        (MatchRow(row_key(name), name, name, ("yoga",), ("yoga",)) for name in NAMES),
        key=lambda row: row.row_key,
    )
    write_rows(str(out / "matches" / "part-00000-of-00001.parquet"), rows, MatchRow)
    options = FetchOptions(**{"videos_per_part": 2, **fetch})  # type: ignore[arg-type]
    settings = Options(run=RunOptions(buckets=1), fetch=options)
    return Job(out, "kinetics", settings, catalog=str(catalog / "catalog.csv"))


def outcomes(out: Path) -> dict[str, tuple[str, str | None]]:
    rows = [row for part in out.glob("videos/*.parquet") for row in read_rows(str(part), VideoRow)]
    assert len({row.row_key for row in rows}) == len(rows)
    return {row.video_id: (row.status, row.reason) for row in rows}


WANTED = {
    "good0.mp4": ("stored", None),
    "good1.mp4": ("stored", None),
    "page.mp4": ("rejected", "not_video"),
    "none.mp4": ("rejected", "gone"),
}


def test_every_match_is_stored_or_rejected_with_its_reason(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    counts = run(job).counts
    assert outcomes(tmp_path) == WANTED
    assert counts == {"rejected": 2, "rejected:gone": 1, "rejected:not_video": 1, "stored": 2}
    for part in tmp_path.glob("videos/*.parquet"):
        for row in read_rows(str(part), VideoRow):
            if row.part is not None and row.offset is not None and row.size_bytes is not None:
                tar = (tmp_path / "videos" / row.part).read_bytes()
                assert tar[row.offset + 4 : row.offset + 8] == b"ftyp"
                assert row.fingerprint and len(row.fingerprint) == len(row.seconds)


def test_a_killed_run_goes_on_with_what_is_missing(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    run(job)
    parts = sorted(tmp_path.glob("videos/*.parquet"))
    assert len(parts) == 2
    kept, lost = parts
    before = kept.stat().st_mtime_ns
    # A kill between the tar and its table, and one in the middle of a tar.
    lost.unlink()
    (tmp_path / "videos" / ".part-x.tar.abc.tmp").write_text("half a tar")
    run(job)
    assert outcomes(tmp_path) == WANTED
    assert kept.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("videos/.*"))


def test_nothing_is_planned_for_what_is_done(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    run(job)
    assert list(plan_units(0, tables_of(job), job.options.fetch)) == []


@pytest.mark.parametrize(
    ("pieces", "sizes"),
    [
        ((1, 1, 1, 1, 1), [1, 2, 2]),
        ((2, 2, 2), [2, 2, 2]),
        ((5, 3), [3, 5]),
        ((8, 8), [8, 8]),
        ((19,), [3, 8, 8]),
    ],
)
def test_pieces_of_one_source_stay_together(
    tmp_path: Path, pieces: tuple[int, ...], sizes: list[int]
) -> None:
    uris = [
        f"{source}.mp4#t={second},{second + 1}"
        for source, count in enumerate(pieces)
        for second in range(count)
    ]
    rows = [MatchRow(row_key(uri), uri, uri, ("yoga",), ("yoga",)) for uri in reversed(uris)]
    write_rows(str(tmp_path / "matches" / "part-00000-of-00001.parquet"), rows, MatchRow)
    options = FetchOptions(videos_per_part=2)
    job = Job(tmp_path, "kinetics", Options(run=RunOptions(buckets=1), fetch=options))
    units = list(plan_units(0, tables_of(job), options))
    assert sorted(row.uri for unit in units for row in unit.matches) == sorted(uris)
    assert sorted(len(unit.matches) for unit in units) == sizes
    sources = [{split_piece(row.uri)[0] for row in unit.matches} for unit in units]
    assert sum(map(len, sources)) == sum(-(-count // 8) for count in pieces)


def test_a_unit_fetched_twice_leaves_the_same_bytes(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    place = Workplace(job.path("videos"), str(catalog), job.options.fetch)
    (tmp_path / "videos").mkdir()
    unit = next(plan_units(0, tables_of(job), job.options.fetch))
    table, found = f"{place.videos}/{unit.part}.parquet", []
    for _ in range(2):
        Path(table).unlink(missing_ok=True)
        assert list(fetch_unit(unit, place)) == [table]
        found.append({p.name: p.read_bytes() for p in tmp_path.glob("videos/*")})
    assert found[0] == found[1]


def test_a_unit_that_an_earlier_try_of_its_bundle_committed_is_not_fetched_again(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        behave(server, {"a.test": gives(small_video(tmp_path))})
        job = hosted_job(tmp_path, server, {"a.test": 3})
        place = Workplace(job.path("videos"), None, job.options.fetch)
        (unit,) = plan_units(0, tables_of(job), job.options.fetch)
        first = list(fetch_unit(unit, place))
        before = Path(first[0]).stat().st_mtime_ns
        assert list(fetch_unit(unit, place)) == first
        assert len(server.requests) == 3
        assert Path(first[0]).stat().st_mtime_ns == before


def test_a_busy_server_is_tried_again_by_the_next_run_and_leaves_no_part_if_still_busy(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        server.answer = lambda handler, _: send(handler, 503, Retry_After="3600")
        row = MatchRow(row_key(server.uri), "v", server.uri, ("yoga",), ("yoga",))
        write_rows(str(tmp_path / "matches" / "part-0.parquet"), [row], MatchRow)
        fetch = FetchOptions(allow_addresses=("127.0.0.1",), max_failed_fraction=1.0)
        job = Job(tmp_path, "kinetics", Options(fetch=fetch))
        first = run(job)
        assert first.unfinished and first.counts == {"retry_later": 1, "retry_later:busy": 1}
        before = {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("videos/part-*")}
        assert run(job).unfinished
        assert {p.name: p.stat().st_mtime_ns for p in tmp_path.glob("videos/part-*")} == before
        assert len(server.requests) == 2


def test_other_options_do_not_mix_with_what_was_stored(catalog: Path, tmp_path: Path) -> None:
    run(make_job(catalog, tmp_path))
    with pytest.raises(JobError, match="crf was 24, is 30"):
        run(make_job(catalog, tmp_path, crf=30))
    assert run(make_job(catalog, tmp_path, deadline_s=60.0)).counts["stored"] == 2


def test_too_many_failures_stop_the_job(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"2 of 4 videos could not be stored.*gone 1"):
        run(make_job(catalog, tmp_path, max_failed_fraction=0.25))


def test_what_a_run_counts_is_no_part_of_what_it_leaves(catalog: Path, tmp_path: Path) -> None:
    run(make_job(catalog, tmp_path))
    assert "yield.json" not in {path.name for path in (tmp_path / "videos").iterdir()}
    content = json.loads((tmp_path / "yield.json").read_text())
    (host,) = content["worst_hosts"]
    assert (host["host"], host["videos"], host["stored"]) == ("files", 4, 2)
    sizes = [(catalog / name).stat().st_size for name in NAMES[:3]]
    assert content["source_bytes"] == sum(sizes) and content["stored_bytes"] > 0


def test_a_kind_of_source_that_is_allowed_later_is_followed_by_the_next_run(
    catalog: Path, tmp_path: Path
) -> None:
    run(make_job(catalog, tmp_path, sources=("http",), max_failed_fraction=1.0))
    assert {row[0] for row in outcomes(tmp_path).values()} == {"rejected"}
    run(make_job(catalog, tmp_path))
    latest = latest_videos(tables_of(make_job(catalog, tmp_path))["videos"]).values()
    assert {row.video_id: (row.status, row.reason) for row in latest} == WANTED
