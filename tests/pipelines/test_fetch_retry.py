"""Rejected videos tried again, and hosts that fail too often, on several host names."""

import json
from pathlib import Path

import pytest

from formats.tables import MatchRow, VideoRow, part_files, read_rows, write_rows
from pipelines.__main__ import main
from pipelines.batches import read_part
from pipelines.fetch import plan_units, run
from pipelines.joins import FetchedVideo, latest_videos
from pipelines.run import Job, JobError
from pipelines.units import Workplace, fetch_unit
from tests.pipelines.faulty_server import running_server, send
from tests.pipelines.hosted_videos import answers, behave, gives, hosted_job, small_video, tables_of


def matches_of(job: Job) -> str:
    return job.path("matches", "part-00000-of-00001.parquet")


def place_of(job: Job) -> Workplace:
    return Workplace(job.path("videos"), None, job.options.fetch)


def latest(job: Job) -> dict[str, tuple[str, str | None, int]]:
    batches = [b for part in part_files(job.path("videos")) for b in read_part(part, FetchedVideo)]
    videos = latest_videos(batches)
    assert latest_videos(batches[::-1]) == videos
    return {v.video_id[7:]: (v.status, v.reason, v.tries) for v in videos.values()}


def test_a_rejected_video_is_tried_once_more_for_each_run_that_asks(tmp_path: Path) -> None:
    hosts = {"back.test": 1, "denies.test": 1, "gone.test": 1, "busy.test": 1, "page.test": 1}
    video = gives(small_video(tmp_path))
    with running_server() as server:
        behave(server, {**dict.fromkeys(hosts, answers(404)), "page.test": gives(b"<html>")})
        job = hosted_job(tmp_path, server, hosts)
        run(job)
        gone = ("rejected", "gone", 1)
        page = ("rejected", "not_video", 1)
        assert latest(job) == {
            f"{host}/0.mp4": page if host == "page.test" else gone for host in hosts
        }
        first = {p.name: p.read_bytes() for p in tmp_path.glob("videos/part-*")}
        # Without being asked nothing is tried again; a reason that was not named neither.
        run(job)
        assert len(server.requests) == 5
        run(hosted_job(tmp_path, server, hosts, retry=("timeout",)))
        assert len(server.requests) == 5
        again = hosted_job(tmp_path, server, hosts, retry=("gone", "denied"))
        behave(
            server,
            {
                "back.test": video,
                "denies.test": answers(403),
                "gone.test": answers(410),
                "busy.test": lambda handler: send(handler, 503, Retry_After="3600"),
            },
        )
        counts = run(again).counts
        assert latest(job) == {
            "back.test/0.mp4": ("stored", None, 2),
            "denies.test/0.mp4": ("rejected", "denied", 2),
            "gone.test/0.mp4": gone,
            "busy.test/0.mp4": gone,
            "page.test/0.mp4": page,
        }
        assert counts == {
            "stored": 1,
            "rejected": 4,
            "rejected:gone": 2,
            "rejected:denied": 1,
            "rejected:not_video": 1,
        }
        # What stood there stands there still, and holds.
        kept = {p.name: p.read_bytes() for p in tmp_path.glob("videos/part-*")}
        assert {name: kept[name] for name in first} == first
        assert len(server.requests) == 5 + 4
        run(again)
        assert len(server.requests) == 5 + 4 + 3
        assert {p.name: p.read_bytes() for p in tmp_path.glob("videos/part-*")} == kept


def test_a_retry_that_is_killed_before_its_commit_loses_nothing(tmp_path: Path) -> None:
    hosts = {"back.test": 3}
    with running_server() as server:
        behave(server, {"back.test": answers(404)})
        run(hosted_job(tmp_path, server, hosts))
        behave(server, {"back.test": gives(small_video(tmp_path))})
        again = hosted_job(tmp_path, server, hosts, retry=("gone",))
        (unit,) = plan_units(0, tables_of(again), again.options.fetch)
        assert list(fetch_unit(unit, place_of(again))) == [
            again.path("videos", f"{unit.part}.parquet")
        ]
        stored = Path(again.path("videos", f"{unit.part}.tar")).read_bytes()
        Path(again.path("videos", f"{unit.part}.parquet")).unlink()
        assert {status for status, _, _ in latest(again).values()} == {"rejected"}
        assert run(again).counts == {"stored": 3}
        assert Path(again.path("videos", f"{unit.part}.tar")).read_bytes() == stored


def test_a_video_with_a_final_outcome_is_not_planned_in_whatever_part_that_stands(
    tmp_path: Path,
) -> None:
    with running_server() as server:
        job = hosted_job(tmp_path, server, {"a.test": 2})
        one, other = read_rows(matches_of(job), MatchRow)
        done = [VideoRow(one.row_key, "1", "stored"), VideoRow(other.row_key, "2", "rejected")]
        later = [VideoRow(v.row_key, v.video_id, "retry_later", tries=9) for v in done]
        for first, second in ((done, later), (later, done)):
            write_rows(job.path("videos", "part-a.parquet"), first, VideoRow)
            write_rows(job.path("videos", "part-b.parquet"), second, VideoRow)
            assert list(plan_units(0, tables_of(job), job.options.fetch)) == []


def test_a_host_that_fails_too_often_ends_the_job_which_keeps_what_was_fetched(
    tmp_path: Path,
) -> None:
    hosts = {"rotten.test": 24, "well.test": 6, "small.test": 19, "files.test:81": 2}
    with running_server() as server:
        well = gives(small_video(tmp_path))
        rotten = {"rotten.test": answers(404), "small.test": answers(404)}
        behave(server, {**rotten, "well.test": well, "files.test:81": well})
        names = {name.partition(":")[0]: count for name, count in hosts.items()}
        more = {"connect_to": tuple(f"{name}=127.0.0.1:{server.port}" for name in names)}
        job = hosted_job(tmp_path, server, hosts, max_host_failed_fraction=0.9, **more)
        with pytest.raises(JobError) as caught:
            run(job)
        assert str(caught.value) == (
            "1 host failed more than fetch.max_host_failed_fraction = 0.9 allows; the worst: "
            "rotten.test 24 of 24 (gone 24; link rot). What was fetched is kept; look at "
            f"{tmp_path}/yield.json, then run again (RETRY=reason,reason tries rejected videos "
            "once more) or raise the limit"
        )
        asked = len(server.requests)
        content = json.loads((tmp_path / "yield.json").read_text())
        assert [(one["host"], one["stored"], one["reasons"]) for one in content["worst_hosts"]] == [
            ("rotten.test", 0, {"gone": 24}),
            ("small.test", 0, {"gone": 19}),
            ("files.test:81", 2, {}),
            ("well.test", 6, {}),
        ]
        raised = hosted_job(tmp_path, server, hosts, max_host_failed_fraction=1.0, **more)
        assert run(raised).counts == {"stored": 8, "rejected": 43, "rejected:gone": 43}
        assert len(server.requests) == asked == 51


def test_many_silent_hosts_send_one_to_ones_own_network(tmp_path: Path) -> None:
    hosts = {f"h{n}.test": 2 for n in range(4)}
    with running_server() as server:
        job = hosted_job(tmp_path, server, hosts, max_failed_fraction=0.5)
    # The server is closed: nothing answers there any more.
    with pytest.raises(JobError, match=r"8 of 8 videos .*unreachable 8 \(own network\).*network"):
        run(job)
    content = json.loads((tmp_path / "yield.json").read_text())
    assert content["verdict"] == "own network" and content["hosts_unreached"] == 4


def test_a_retry_never_counts_as_done_and_what_follows_is_redone_only_for_news(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"{n},http://a.test/{n}.mp4,yoga\n" for n in range(3))
    (tmp_path / "posts.csv").write_text(f"video_id,uri,hashtags\n{rows}")
    out = tmp_path / "out"

    def stage(name: str, port: int, *words: str) -> tuple[str, str]:
        settings = (
            f"fetch.connect_to=a.test=127.0.0.1:{port} fetch.max_tries=1 fetch.robots_txt=false "
            "fetch.host_gap_s=0 fetch.max_failed_fraction=1"
        )
        catalog = str(tmp_path / "posts.csv")
        given = ["--catalog", catalog, "--out", str(out), "--set", settings, *words]
        assert main([name, *given]) == 0
        said = capsys.readouterr().out
        digest = json.loads((out / "stages" / f"{name}.json").read_text())["result_digest"]
        return said, digest

    with running_server() as server:
        behave(server, {"a.test": answers(404)})
        for name in ("expand", "match", "targets"):
            stage(name, server.port)
        said, digest = stage("fetch", server.port)
        assert "0 of 3 videos stored (0.0 %)" in said and "link rot: 3 of 3" in said
        stage("deduplicate", server.port)
        for _ in range(2):
            said, again = stage("fetch", server.port, "--retry", "gone,timeout")
            assert "done before" not in said and again == digest
        assert len(server.requests) == 9
        assert "done before" in stage("fetch", server.port)[0]
        assert "done before" in stage("deduplicate", server.port, "--retry", "gone")[0]
        behave(server, {"a.test": gives(small_video(tmp_path))})
        said, news = stage("fetch", server.port, "--retry", "gone")
        assert "stored 3" in said and news != digest
        assert stage("fetch", server.port) == (said_done(said), news)
        assert "done before" not in stage("deduplicate", server.port)[0]
        assert len(server.requests) == 12


def said_done(said: str) -> str:
    """The line of a stage that ran, as it reads when it is done already."""
    line = said.splitlines()[0]
    return f"{line[:13]}{'done before':>11}{line[24:]}\n"
