"""A forecast from a sample that is really fetched, and that leaves no trace."""

import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from formats.storage import StorageError
from formats.tables import MatchRow, read_rows, write_rows
from pipelines.__main__ import main
from pipelines.match import TABLE
from pipelines.preflight import (
    Sample,
    busiest_host,
    lines,
    make_forecast,
    preflight,
    sample_matches,
)
from pipelines.run import JobError, exclusive
from pipelines.tallies import Tally
from pipelines.yields import WorstHosts, Yields
from tests.pipelines.faulty_server import Server, running_server
from tests.pipelines.hosted_videos import answers, behave, gives, hosted_job, small_video


def tree(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in files
        if path.name not in ("preflight.json", ".lock")
    }


def yields_of(hosts: dict[str, Tally]) -> Yields:
    combine = WorstHosts(1.0)
    found = combine.create_accumulator()
    for pair in hosts.items():
        found = combine.add_input(found, pair)
    return combine.extract_output(found)


def test_the_sample_is_fetched_judged_and_thrown_away(tmp_path: Path) -> None:
    hosts = {"well.test": 6, "gone.test": 3, "page.test": 3}
    video = small_video(tmp_path)
    out = tmp_path / "out"
    with running_server() as server:
        behave(
            server,
            {"well.test": gives(video), "gone.test": answers(404), "page.test": gives(b"<html>")},
        )
        job = hosted_job(out, server, hosts, max_failed_fraction=0.0, max_host_failed_fraction=0.0)
        before = tree(out)
        found = preflight(job, 1000)
        assert len(server.requests) == 12
    assert (found.matches, found.sampled, found.stored, found.videos) == (12, 12, 6, 6)
    assert (found.yield_low, found.yield_share, found.yield_high) == (0.5, 0.5, 0.5)
    assert found.reasons == {"gone": 3, "not_video": 3}
    assert found.bytes_in == 6 * len(video) + 3 * len(b"<html>")
    assert found.bytes_in_mean == pytest.approx(found.bytes_in / 12)
    assert found.bytes_disk > 6 * 1024 and found.hours * 3600 == pytest.approx(
        found.seconds_sampled, abs=0.001
    )
    assert (found.largest_host, found.hours_largest_host) == ("well.test", 0.0)
    content = json.loads((out / "preflight.json").read_text())
    assert content == {**found.__dict__}
    # Neither videos/ nor anything else is there that was not there before.
    assert tree(out) == before and not (out / ".preflight").exists()


def test_a_killed_preflight_leaves_nothing_that_the_next_one_takes_for_its_own(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        behave(server, {"a.test": answers(404)})
        job = hosted_job(tmp_path / "out", server, {"a.test": 2})
        expected = preflight(job, 2)
        left = hosted_job(tmp_path / "out" / ".preflight", server, {"other.test": 5})
        write_rows(left.path(TABLE, "part-00003-of-00004.parquet"), [], MatchRow)
        again = preflight(job, 2)
    timeless = {"seconds_sampled": 0.0, "hours": 0.0}
    assert replace(again, **timeless) == replace(expected, **timeless)
    assert not (tmp_path / "out" / ".preflight").exists()


def test_a_full_disk_ends_it_and_leaves_no_scratch_either(tmp_path: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with running_server() as server:
        behave(server, {"a.test": gives(bytes(2 << 20))})
        job = hosted_job(tmp_path, server, {"a.test": 2})
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
        try:
            with pytest.raises(StorageError, match="cannot be written: File too large"):
                preflight(job, 2)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / ".preflight").exists() and not (tmp_path / "preflight.json").exists()


def test_the_sample_is_the_same_however_the_matches_are_cut_and_grows_with_n(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        job = hosted_job(tmp_path, server, {"a.test": 50})
    (whole,) = (tmp_path / "matches").glob("*.parquet")
    rows = list(read_rows(str(whole), MatchRow))
    parts = []
    for number in range(3):
        parts.append(str(tmp_path / "cut" / f"part-{number}.parquet"))
        write_rows(parts[-1], [row for row in rows if int(row.row_key, 16) % 3 == number], MatchRow)
    assert sample_matches([str(whole)], 10) == sample_matches(parts[::-1], 10) == rows[:10]
    assert sample_matches(parts, 20)[:10] == rows[:10]
    assert sample_matches(parts, 1000) == rows
    # What was taken down is neither fetched nor counted.
    struck = [replace(row, uri="", taken_down="uri") for row in rows[:9]]
    write_rows(job.path(TABLE, whole.name), [*struck, *rows[9:]], MatchRow)
    assert sample_matches([str(whole)], 10) == rows[9:19]


def test_pieces_of_one_source_are_one_download() -> None:
    pieces = [f"http://long.test/1.mp4#t={second},{second + 1}" for second in range(5)]
    assert busiest_host([*pieces, "http://b.test/1.mp4", "http://b.test/2.mp4"]) == ("b.test", 2)


def test_a_sample_is_scaled_to_all_matches(tmp_path: Path) -> None:
    with running_server() as server:
        job = hosted_job(tmp_path, server, {"a.test": 1}, host_gap_s=0.5)
    job = replace(job, options=replace(job.options, run=replace(job.options.run, workers=3)))
    tally = Tally({"stored": 80, "rejected:gone": 20}, 120, 20, 50_000_000, 9_000_000)
    found = Sample(yields_of({"a.test": tally}), 50.0, 10_000_000, "a.test", 0.75)
    forecast = make_forecast(job, 1_000_000, found)
    assert (forecast.videos, forecast.videos_low, forecast.videos_high) == (
        800_000,
        711_170,
        866_634,
    )
    assert (forecast.bytes_in, forecast.bytes_disk) == (500_000_000_000, 100_000_000_000)
    assert forecast.hours == pytest.approx(500_000 / 3600)
    assert forecast.hours_largest_host == pytest.approx(375_000 / 3600)
    assert list(lines(forecast)) == [
        "100 of 1,000,000 matches fetched in 50.0 s",
        "yield                80.0%  71.1% to 86.7% (95 %)",
        "videos             800,000  711,170 to 866,634",
        "download          500.0 GB  500.0 KB a match",
        "disk              100.0 GB  100.0 KB a match, in videos/",
        "time               138.9 h  at the rate of this sample, 3 workers",
        "largest host       104.2 h  a.test, at the least, by fetch.host_gap_s",
        "not stored: gone 20",
        "80 of 100 videos stored (80.0 %), 50.0 MB from 1 host; link rot: 20 of 20 failures gone "
        "or denied; nothing to do about it",
        "The forecast takes all matches to be like these, on the same network and machine, and the "
        "limits per host as they are; shards/ will hold the chosen clips once more.",
    ]


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_are_refused(tmp_path: Path, rows: int) -> None:
    with running_server() as server:
        job = hosted_job(tmp_path, server, {"a.test": 1})
    with pytest.raises(JobError, match=f"at least 1 row, not {rows}; N says how many"):
        preflight(job, rows)


def test_a_catalog_without_a_match_is_one_sentence(tmp_path: Path) -> None:
    with running_server() as server:
        job = hosted_job(tmp_path, server, {})
    with pytest.raises(JobError, match=r"matches: no row of the catalog matches a label"):
        preflight(job, 5)


def words(folder: Path, server: Server, *more: str) -> list[str]:
    settings = (
        f"fetch.connect_to=a.test=127.0.0.1:{server.port} fetch.robots_txt=false "
        "fetch.host_gap_s=0 fetch.max_tries=1 fetch.max_failed_fraction=1"
    )
    catalog = str(folder / "posts.csv")
    return ["--catalog", catalog, "--out", str(folder / "out"), "--set", settings, *more]


def test_stages_that_were_done_stay_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{n},http://a.test/{n}.mp4,yoga\n" for n in range(4))
    (tmp_path / "posts.csv").write_text(f"video_id,uri,hashtags\n{rows}")
    with running_server() as server:
        behave(server, {"a.test": gives(small_video(tmp_path))})
        # It runs the stages that it needs.
        assert main(["preflight", *words(tmp_path, server, "--rows", "2")]) == 0
        said = capsys.readouterr().out
        assert "2 of 4 matches fetched" in said and "yield               100.0%" in said
        assert not (tmp_path / "out" / "videos").exists()
        assert main(["fetch", *words(tmp_path, server)]) == 0
        before = tree(tmp_path / "out")
        assert main(["preflight", *words(tmp_path, server, "--rows", "3")]) == 0
        changed = {
            name for name, found in tree(tmp_path / "out").items() if found != before.get(name)
        }
        assert changed == {"config.toml"}
        asked = len(server.requests)
        capsys.readouterr()
        for stage in ("expand", "match", "fetch"):
            assert main([stage, *words(tmp_path, server)]) == 0
        assert capsys.readouterr().out.count("done before") == 3
        assert len(server.requests) == asked == 2 + 4 + 3
    assert before["config.toml"][1] == (tmp_path / "out" / "config.toml").read_bytes()


def test_another_job_in_the_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with running_server() as server, exclusive(tmp_path / "out"):
        assert main(["preflight", *words(tmp_path, server)]) == 1
    assert "another job is writing here" in capsys.readouterr().err
    assert os.listdir(tmp_path / "out") == [".lock"]
