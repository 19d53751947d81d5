"""Units against one loopback server that answers for many hosts and takes down who asked when."""

import itertools
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from formats.storage import StorageError
from formats.tables import MatchRow, VideoRow, read_rows
from pipelines.identity import row_key
from pipelines.units import FetchUnit, FetchUnits, Workplace, fetch_unit, fetch_videos
from pipelines.web import hosts
from tests.pipelines.faulty_server import Server, send, whole
from tests.pipelines.hosted_videos import Behaviour, hosted_options, small_video, uris

WELL = {f"well{n}.test": 6 for n in range(7)}


@dataclass
class Request:
    host: str
    path: str
    begin: float
    end: float


class World:
    """Hosts with a behaviour each; without one, `/robots.txt` is none and all else a video."""

    def __init__(self, server: Server, video: bytes, places: dict[str, int]) -> None:
        self.server = server
        self.places = places
        self.video = video
        self.behaviours: dict[str, Behaviour] = {}
        self.log: list[Request] = []
        server.answer = self._answer

    def _answer(self, handler: BaseHTTPRequestHandler, _: int) -> None:
        now, host = time.monotonic(), handler.headers["Host"]
        request = Request(host, handler.path, now, now)
        self.log.append(request)
        try:
            self.behaviours.get(host, self.plain)(handler)
        finally:
            request.end = time.monotonic()

    def plain(self, handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/robots.txt":
            send(handler, 404, Content_Length="0")
        else:
            whole(handler, self.video)

    def fetch(self, scratch: Path, **more: object) -> list[VideoRow]:
        place = self.workplace(scratch, **more)
        return [video for video, _ in fetch_videos(self.matches(), place, str(scratch))]

    def workplace(self, scratch: Path, **more: object) -> Workplace:
        given = {"robots_txt": True, "host_failures": 20, "deadline_s": 30.0, **more}
        chosen = hosted_options(self.server, self.places, **given)
        return Workplace(str(scratch / "videos"), None, chosen)

    def matches(self) -> tuple[MatchRow, ...]:
        found = [MatchRow(row_key(u), u, u, ("yoga",), ("yoga",)) for u in uris(self.places)]
        return tuple(sorted(found, key=lambda row: row.row_key))

    def requests(self, host: str, *, robots: bool = True) -> list[Request]:
        found = [one for one in self.log if one.host == host]
        found = [one for one in found if robots or one.path != "/robots.txt"]
        return sorted(found, key=lambda one: one.begin)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return small_video(tmp_path_factory.mktemp("video"))


def outcomes(rows: list[VideoRow], host: str) -> list[tuple[str, str | None]]:
    return [(row.status, row.reason) for row in rows if row.video_id.startswith(f"http://{host}/")]


def most_at_once(requests: list[Request]) -> int:
    moments = sorted([(r.begin, 1) for r in requests] + [(r.end, -1) for r in requests])
    return max(itertools.accumulate(change for _, change in moments))


def test_limits_hold_for_all_units_of_a_process_together(server, video, tmp_path):
    world = World(server, video, {"a.test": 12, "b.test": 12})

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.1)
        world.plain(handler)

    world.behaviours = dict.fromkeys(world.places, slowly)
    place = world.workplace(tmp_path, host_gap_s=0.15)
    rows = world.matches()
    threads = []
    for number in range(3):
        folder = tmp_path / f"scratch{number}"
        folder.mkdir()
        given = (rows[number::3], place, str(folder))
        threads.append(threading.Thread(target=fetch_videos, args=given))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for host in world.places:
        requests = world.requests(host)
        assert [one.path for one in requests].count("/robots.txt") == 1
        assert len({one.path for one in requests}) == len(requests) == 13
        assert most_at_once(requests) <= 2
        begins = [one.begin for one in requests]
        # Taken down by the server, a little later than sent, by more or by less.
        assert all(b - begins[0] >= number * 0.15 - 0.3 for number, b in enumerate(begins))


def test_what_robots_txt_disallows_is_never_asked_for(server, video, tmp_path):
    world = World(server, video, {"a.test": 5, "b.test": 5})

    def closed(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/robots.txt":
            whole(handler, b"User-agent: Tagreel\nDisallow: /\nAllow: /3.mp4\n")
        else:
            world.plain(handler)

    world.behaviours = {"a.test": closed}
    rows = world.fetch(tmp_path)
    assert sorted(one.path for one in world.requests("a.test")) == ["/3.mp4", "/robots.txt"]
    assert sorted(outcomes(rows, "a.test")) == [
        *[("rejected", "robots_disallowed")] * 4,
        ("stored", None),
    ]
    assert outcomes(rows, "b.test") == [("stored", None)] * 5


def test_a_busy_host_is_left_alone_while_the_others_finish(server, video, tmp_path):
    world = World(server, video, {"sick.test": 20, **WELL})
    world.behaviours = {"sick.test": lambda handler: send(handler, 503, Retry_After="2")}
    started = time.monotonic()
    rows = world.fetch(tmp_path, max_tries=4, robots_txt=False, deadline_s=8.0)
    done = {host: world.requests(host)[-1].end for host in world.places}
    assert max(done[host] for host in WELL) < done["sick.test"]
    for host in WELL:
        assert outcomes(rows, host) == [("stored", None)] * 6
    assert {status for status, _ in outcomes(rows, "sick.test")} == {"retry_later"}
    sick = [one.begin for one in world.requests("sick.test")]
    # No more than what was under way when the first 503 came; then at least 2 s of silence.
    rounds = [[sick[0]]]
    for begin in sick[1:]:
        if begin - rounds[-1][0] < 1.5:
            rounds[-1].append(begin)
        else:
            rounds.append([begin])
    assert all(len(one) <= 2 for one in rounds) and len(rounds) >= 2
    for one, following in itertools.pairwise(rounds):
        assert following[0] - one[-1] >= 1.9
    assert time.monotonic() - started < 30


def test_a_host_that_fails_all_the_time_is_given_up(server, video, tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "_BRAKE_S", 0.01)
    world = World(server, video, {"rotten.test": 40, "well0.test": 4})
    world.behaviours = {"rotten.test": lambda handler: send(handler, 500)}
    rows = world.fetch(tmp_path, host_failures=6, robots_txt=False)
    found = outcomes(rows, "rotten.test")
    assert 6 <= len(world.requests("rotten.test")) <= 6 + 2
    rejected = found.count(("rejected", "broken_server"))
    assert rejected >= 5
    assert found.count(("retry_later", "host_failing")) == 40 - rejected
    assert outcomes(rows, "well0.test") == [("stored", None)] * 4


def test_dead_links_are_no_failures_of_their_host(server, video, tmp_path):
    world = World(server, video, {"a.test": 30})
    world.behaviours = {"a.test": lambda handler: send(handler, 404)}
    rows = world.fetch(tmp_path, host_failures=3)
    assert outcomes(rows, "a.test") == [("rejected", "gone")] * 30


def test_an_hour_to_wait_is_one_try_and_the_rest_is_put_off_unasked(server, video, tmp_path):
    world = World(server, video, {"sick.test": 9, "well0.test": 2})
    world.behaviours = {"sick.test": lambda handler: send(handler, 429, Retry_After="3600")}
    started = time.monotonic()
    rows = world.fetch(tmp_path, max_tries=4, robots_txt=False)
    assert time.monotonic() - started < 20
    assert outcomes(rows, "sick.test") == [("retry_later", "busy")] * 9
    assert len(world.requests("sick.test")) == 1  # The first row goes ahead alone.
    assert sorted(row.tries for row in rows if "sick" in row.video_id) == [0] * 8 + [1]
    assert outcomes(rows, "well0.test") == [("stored", None)] * 2


def test_without_its_robots_txt_a_host_is_put_off(server, video, tmp_path):
    world = World(server, video, {"sick.test": 9, "well0.test": 2})
    world.behaviours = {"sick.test": lambda handler: send(handler, 500)}
    rows = world.fetch(tmp_path, max_tries=2)
    assert [one.path for one in world.requests("sick.test")] == ["/robots.txt"] * 2
    assert outcomes(rows, "sick.test") == [("retry_later", "broken_server")] * 9
    details = {row.detail for row in rows if "sick" in row.video_id}
    assert details == {"robots.txt: HTTP 500"}


def test_refusals_in_a_row_slow_down_what_is_asked(server, video, tmp_path):
    world = World(server, video, {"a.test": 5})
    world.behaviours = {"a.test": lambda handler: send(handler, 403)}
    rows = world.fetch(tmp_path, robots_txt=False, downloads_per_host=1)
    assert outcomes(rows, "a.test") == [("rejected", "denied")] * 5
    begins = [one.begin for one in world.requests("a.test")]
    gaps = [b - a for a, b in itertools.pairwise(begins)]
    assert gaps[2] > 0.9 and gaps[3] > 1.9


def test_files_and_what_is_no_uri_wait_for_nobody(server, video, tmp_path):
    (tmp_path / "a.mp4").write_bytes(video)
    rows = [MatchRow(row_key(u), u, u, (), ()) for u in ("a.mp4", "ftp://a/b", "", "http://[/")]
    place = Workplace(str(tmp_path), str(tmp_path), hosted_options(server, {}))
    found = [(row.status, row.reason) for row, _ in fetch_videos(rows, place, str(tmp_path))]
    assert found == [
        ("stored", None),
        ("rejected", "source_not_allowed"),
        ("rejected", "bad_uri"),
        ("rejected", "bad_uri"),
    ]


def test_a_source_and_its_pieces_are_downloaded_once_and_each_has_its_own_end(
    server, video, tmp_path
):
    world = World(server, video, {"a.test": 2})
    pieces = ("", "#t=0,0.7", "#t=0.7,1.4", "#t=70,80")
    wanted = [f"{uri}{piece}" for uri in uris(world.places) for piece in pieces]
    rows = sorted((MatchRow(row_key(u), u, u, (), ()) for u in wanted), key=lambda r: r.row_key)
    place = world.workplace(tmp_path, robots_txt=False, min_duration_s=0.2)
    found = fetch_videos(rows, place, str(tmp_path))
    assert sorted(one.path for one in world.log) == ["/0.mp4", "/1.mp4"]
    assert [video.row_key for video, _ in found] == [row.row_key for row in rows]
    lengths = {v.video_id[13:]: v.duration_s for v, _ in found if v.status == "stored"}
    for name in ("/0.mp4", "/1.mp4"):
        ours = {uri: length for uri, length in lengths.items() if uri.startswith(name)}
        assert ours == pytest.approx(
            {name: 1.5, f"{name}#t=0,0.7": 0.7, f"{name}#t=0.7,1.4": 0.7}, abs=0.05
        )
    refused = {v.video_id[19:]: v.reason for v, _ in found if v.status != "stored"}
    assert refused == {"#t=70,80": "too_few_frames"}
    assert len({v.source_sha256 for v, _ in found} - {None}) == 1
    assert not list(tmp_path.glob("*.source"))


def test_the_same_unit_leaves_the_same_bytes_however_its_hosts_are_waited_for(
    server, video, tmp_path
):
    world = World(server, video, {"a.test": 4, "b.test": 4, "c.test": 1})
    world.behaviours = {"c.test": lambda handler: send(handler, 429, Retry_After="3600")}
    found = []
    for more in ({"downloads_per_unit": 1}, {"downloads_per_unit": 9, "host_gap_s": 0.05}):
        place = world.workplace(tmp_path, robots_txt=False, **more)
        (tmp_path / "videos").mkdir(exist_ok=True)
        (table,) = fetch_unit(FetchUnit("part-x", world.matches()), place)
        found.append([Path(table).read_bytes(), Path(table).with_suffix(".tar").read_bytes()])
    assert found[0] == found[1]


def bundle(place: Workplace, rows: tuple[MatchRow, ...], size: int) -> list[str]:
    """The tables that one bundle of units leaves."""
    units = FetchUnits(place)
    units.start_bundle()
    for start in range(0, len(rows), size):
        units.process(FetchUnit(f"part-{start}", rows[start : start + size]))
    return [value.value for value in units.finish_bundle()]


def test_a_unit_that_only_waits_lets_the_next_one_begin(server, video, tmp_path):
    world = World(server, video, {"sick.test": 10, "well0.test": 10, "well1.test": 10})
    world.behaviours = {"sick.test": lambda handler: send(handler, 503, Retry_After="2")}
    place = world.workplace(tmp_path, robots_txt=False, host_failures=4)
    (tmp_path / "videos").mkdir()
    tables = bundle(place, world.matches(), 6)
    rows = [row for table in tables for row in read_rows(table, VideoRow)]
    assert len(tables) == 5 and len({row.row_key for row in rows}) == len(rows) == 30
    sick, well = world.requests("sick.test"), world.requests("well0.test")
    assert sick[-1].begin - sick[0].begin > 3.5
    assert well[-1].end < sick[-1].begin
    assert outcomes(rows, "well1.test") == [("stored", None)] * 10
    assert {status for status, _ in outcomes(rows, "sick.test")} == {"retry_later"}


def test_units_come_one_after_the_other_while_there_is_something_to_do(server, video, tmp_path):
    world = World(server, video, {"a.test": 12})
    (tmp_path / "videos").mkdir()
    place = world.workplace(tmp_path, robots_txt=False, downloads_per_host=1)
    bundle(place, world.matches(), 4)
    order = [row.uri.removeprefix("http://a.test") for row in world.matches()]
    asked = [one.path for one in world.requests("a.test")]
    assert [set(asked[n : n + 4]) for n in (0, 4, 8)] == [set(order[n : n + 4]) for n in (0, 4, 8)]


def test_an_error_of_one_unit_is_the_bundles(server, video, tmp_path):
    world = World(server, video, {"a.test": 4})
    place = world.workplace(tmp_path, robots_txt=False)
    (tmp_path / "videos" / "part-0.tar").mkdir(parents=True)
    with pytest.raises(StorageError, match="part-0.tar"):
        bundle(place, world.matches(), 2)
