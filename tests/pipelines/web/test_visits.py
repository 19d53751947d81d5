from dataclasses import replace
from pathlib import Path

from pipelines.sources import fetch_source
from pipelines.web.visits import current_visit, visit_of, visiting
from tests.pipelines.faulty_server import options, running_server, whole


def test_a_run_is_remembered_and_others_know_nothing_of_it():
    chosen = options()
    first = visit_of("x", chosen)
    assert visit_of("x", chosen).hosts is first.hosts
    assert visit_of("x", chosen).robots is first.robots
    assert visit_of("y", chosen).hosts is not first.hosts
    assert visit_of("x", options(host_gap_s=1.0)).hosts is not first.hosts


def test_only_the_last_runs_are_remembered():
    first = visit_of("first", options())
    for number in range(16):
        visit_of(f"run {number}", options())
    assert visit_of("first", options()).hosts is not first.hosts


def test_downloads_inside_of_a_visit_share_it():
    chosen = options()
    visit = visit_of("z", chosen)
    with visiting(visit):
        assert current_visit(chosen) == visit
        other = options(idle_s=1.0)
        assert current_visit(other).hosts is visit.hosts
        assert current_visit(other).options is other
    assert current_visit(chosen).hosts is not visit.hosts


def test_a_download_of_no_run_asks_for_robots_txt_itself(tmp_path: Path):
    with running_server() as server:
        server.answer = lambda handler, _: whole(handler, b"")
        for number in range(2):
            target = str(tmp_path / f"{number}")
            fetch_source(server.uri, target, options=options(robots_txt=True), folder=None)
        assert [path for path, _ in server.requests] == ["/robots.txt", "/video.mp4"] * 2


def test_a_download_tells_its_visit_whenever_bytes_come(tmp_path: Path):
    chosen, times = options(), []
    visit = replace(visit_of("bytes", chosen), moved=lambda: times.append(1))
    with running_server() as server, visiting(visit):
        server.answer = lambda handler, _: whole(handler, bytes(200_000))
        fetch_source(server.uri, str(tmp_path / "got"), options=chosen, folder=None)
        assert len(times) == 4  # Blocks of 64 KiB.
