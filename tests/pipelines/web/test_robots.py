import itertools
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from urllib3.response import HTTPResponse

from formats.tables import Reason
from pipelines.sources import FetchError, fetch_source
from pipelines.web import robots
from pipelines.web.connections import HttpTrouble
from pipelines.web.visits import visit_of, visiting
from tests.pipelines.faulty_server import (
    BODY,
    Server,
    fetch,
    options,
    refused,
    running_server,
    send,
    sized,
    whole,
)

pytestmark = pytest.mark.usefixtures("short_waits")

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def behave(server: Server, robots_txt: Behaviour) -> None:
    server.answer = lambda handler, _: (
        robots_txt(handler) if handler.path == "/robots.txt" else whole(handler)
    )


def says(text: bytes, **headers: str) -> Behaviour:
    return lambda handler: whole(handler, text, **headers)


def paths(server: Server) -> list[str]:
    return [path for path, _ in server.requests]


def outcome(server: Server, tmp_path: Path, path: str = "/video.mp4", **more: object) -> str:
    """The reason, or `fetched`."""
    uri = f"http://127.0.0.1:{server.port}{path}"
    target = tmp_path / "got"
    try:
        fetch_source(uri, str(target), options=options(robots_txt=True, **more), folder=None)
    except FetchError as error:
        return f"{'later' if error.retry_later else 'never'}: {error}"
    return "fetched"


DISALLOWED = "never: robots_disallowed: robots.txt does not allow it to us"


def test_what_is_disallowed_is_not_asked_for(server, tmp_path):
    behave(server, says(b"User-agent: tagreel\nDisallow: /private/\n"))
    assert outcome(server, tmp_path, "/private/1.mp4") == DISALLOWED
    assert paths(server) == ["/robots.txt"]
    assert server.requests[0][1]["User-Agent"].startswith("Tagreel/")
    assert outcome(server, tmp_path, "/public.mp4") == "fetched"
    assert "/private/1.mp4" not in paths(server)


def test_a_switch_turns_it_off(server, tmp_path):
    behave(server, says(b"User-agent: *\nDisallow: /\n"))
    assert fetch(server.uri, tmp_path).tries == 1
    assert paths(server) == ["/video.mp4"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 451])
def test_no_robots_txt_allows_everything(server, tmp_path, status):
    behave(server, lambda handler: send(handler, status, Content_Length="0"))
    assert outcome(server, tmp_path) == "fetched"
    assert paths(server) == ["/robots.txt", "/video.mp4"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda handler: send(handler, 429, Content_Length="0"), "busy: robots.txt: HTTP 429"),
        (lambda handler: send(handler, 503, Content_Length="0"), "busy: robots.txt: HTTP 503"),
        (lambda h: send(h, 500, Content_Length="0"), "broken_server: robots.txt: HTTP 500"),
        (lambda handler: sized(handler, 999, b"User"), "broken_server: robots.txt: "),
        (lambda handler: time.sleep(4), "timeout: robots.txt: "),
    ],
)
def test_a_robots_txt_that_cannot_be_had_puts_the_video_off(server, tmp_path, answer, reason):
    behave(server, answer)
    said = outcome(server, tmp_path, max_tries=2, idle_s=0.3)
    assert said.startswith(f"later: {reason}")
    assert paths(server) == ["/robots.txt"] * 2


def test_a_server_that_is_not_there_puts_the_video_off(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}/"
    found = refused(uri, tmp_path, robots_txt=True, max_tries=2)
    assert found == (Reason.UNREACHABLE, 2, True)


@pytest.mark.parametrize(
    ("number", "wanted"),
    [
        # A name that does not exist does not for the video either; else the resolver is ill.
        (socket.EAI_NONAME, (Reason.UNREACHABLE, 1, False)),
        (socket.EAI_AGAIN, (Reason.UNREACHABLE, 2, True)),
    ],
)
def test_a_dead_name_is_final_and_a_dead_resolver_is_not(tmp_path, monkeypatch, number, wanted):
    def getaddrinfo(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert refused("http://host.example/", tmp_path, robots_txt=True, max_tries=2) == wanted


def test_a_host_without_tls_is_final(server, tmp_path):
    uri = server.uri.replace("http:", "https:")
    assert refused(uri, tmp_path, robots_txt=True) == (Reason.UNREACHABLE, 1, False)


def test_a_busy_robots_txt_that_recovers_is_obeyed(server, tmp_path):
    answers = iter([503, 503])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        status = next(answers, None)
        if status:
            send(handler, status, Content_Length="0")
        else:
            whole(handler, b"User-agent: *\nDisallow: /video")

    behave(server, answer)
    assert outcome(server, tmp_path) == DISALLOWED
    assert paths(server) == ["/robots.txt"] * 3


def test_a_retry_after_beyond_the_budget_is_asked_once(server, tmp_path):
    behave(server, lambda handler: send(handler, 503, Retry_After="3600", Content_Length="0"))
    assert outcome(server, tmp_path) == "later: busy: robots.txt: HTTP 503"
    assert paths(server) == ["/robots.txt"]


@pytest.mark.parametrize(
    "answer",
    [
        says(b"<html><body>Not here</body></html>", Content_Type="text/html"),
        says(b"User-agent: *\nDisallow: /private\n" + b"# filling\n" * 500_000),
        says(bytes(1_000_000)),
        says(BODY * 10),
        says(b""),
    ],
)
def test_whatever_is_served_as_robots_txt_does_not_stall(server, tmp_path, answer):
    behave(server, answer)
    started = time.monotonic()
    assert outcome(server, tmp_path) == "fetched"
    assert time.monotonic() - started < 4


def test_an_endless_robots_txt_is_read_up_to_its_cap(server, tmp_path):
    sent = []

    def answer(handler: BaseHTTPRequestHandler) -> None:
        send(handler, 200, b"User-agent: *\nDisallow: /video\n")
        while True:
            handler.wfile.write(b"# more\n" * 9000)
            sent.append(63_000)

    behave(server, answer)
    assert outcome(server, tmp_path) == DISALLOWED
    assert sum(sent) < 16 << 20  # The cap, and what lay in socket buffers.


def test_redirects_of_robots_txt_are_followed_five_times(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        number = handler.path.removeprefix("/hop")
        if handler.path == "/robots.txt":
            send(handler, 301, Location="/hop1", Content_Length="0")
        elif number == "5":
            whole(handler, b"User-agent: *\nDisallow: /video\n")
        elif number.isdigit():
            send(handler, 302, Location=f"/hop{int(number) + 1}", Content_Length="0")
        else:
            whole(handler)

    server.answer = answer
    assert outcome(server, tmp_path) == DISALLOWED
    behave(server, lambda handler: send(handler, 302, Location="/robots.txt", Content_Length="0"))
    server.requests.clear()
    assert outcome(server, tmp_path) == "fetched"
    assert paths(server) == ["/robots.txt"] * 6 + ["/video.mp4"]


@pytest.mark.parametrize("location", ["http://169.254.169.254/", "file:///etc/passwd", "http://[/"])
def test_a_robots_txt_that_leads_astray_counts_as_none(server, tmp_path, location):
    behave(server, lambda handler: send(handler, 302, Location=location, Content_Length="0"))
    assert outcome(server, tmp_path) == "fetched"


@pytest.mark.parametrize("hop", [0, 1])
def test_a_host_whose_robots_txt_leads_to_one_that_is_not_asked_was_asked_itself(hop):
    @contextmanager
    def asking(uri: str, _deadline: float) -> Iterator[HTTPResponse]:
        if uri == f"http://host{hop}.example/robots.txt":
            raise HttpTrouble(Reason.BUSY, "left alone", asked=False)
        there = "http://host1.example/robots.txt"
        yield HTTPResponse(status=302, headers={"Location": there})

    with pytest.raises(HttpTrouble, match="left alone") as caught:
        robots.read_robots("http://host0.example/robots.txt", 0.0, asking)
    assert caught.value.asked == (hop == 1)


def test_a_private_address_is_denied_before_its_robots_txt(server, tmp_path):
    found = refused(server.uri, tmp_path, robots_txt=True, allow_addresses=())
    assert found == (Reason.DENIED_ADDRESS, 0, False)
    assert server.requests == []


def test_the_host_that_a_redirect_leads_to_is_asked_as_well(server, tmp_path):
    with running_server() as other:
        behave(other, says(b"User-agent: *\nDisallow: /private"))
        there = f"http://127.0.0.1:{other.port}/private.mp4"
        server.answer = lambda handler, _: (
            send(handler, 404)
            if handler.path == "/robots.txt"
            else send(handler, 302, Location=there, Content_Length="0")
        )
        assert outcome(server, tmp_path) == DISALLOWED
        assert paths(other) == ["/robots.txt"]


def test_many_threads_of_a_run_ask_for_it_once(server, tmp_path):
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.2)
        whole(handler, b"User-agent: *\nDisallow: /private")

    behave(server, slowly)
    chosen = options(robots_txt=True, downloads_per_host=8)

    def one(number: int) -> None:
        with visiting(visit_of("one run", chosen)):
            fetch_source(server.uri, str(tmp_path / f"{number}"), options=chosen, folder=None)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(16)))
    assert sorted(paths(server)) == ["/robots.txt"] + ["/video.mp4"] * 16


def test_after_max_tries_it_is_left_alone_for_a_while(server, tmp_path, monkeypatch):
    monkeypatch.setattr(robots, "_CLOSED_S", 3.0)
    behave(server, lambda handler: send(handler, 500, Content_Length="0"))
    chosen = options(robots_txt=True, max_tries=2)
    found = []
    with visiting(visit_of("another run", chosen)):
        for number in range(5):
            with pytest.raises(FetchError) as caught:
                fetch_source(server.uri, str(tmp_path / f"{number}"), options=chosen, folder=None)
            error = caught.value
            found.append((error.reason, error.detail, error.retry_later, error.tries))
        said = (Reason.BROKEN_SERVER, "robots.txt: HTTP 500", True)
        assert found == [(*said, 2)] + [(*said, 0)] * 4
        assert paths(server) == ["/robots.txt"] * 2
        time.sleep(3.0)
        behave(server, says(b""))
        fetch_source(server.uri, str(tmp_path / "later"), options=chosen, folder=None)


def test_only_so_much_is_remembered(server, tmp_path, monkeypatch):
    monkeypatch.setattr(robots, "KNOWN_HOSTS", 1)
    behave(server, says(b""))
    with running_server() as other:
        behave(other, says(b""))
        chosen = options(robots_txt=True)
        with visiting(visit_of("a third run", chosen)):
            for number, uri in enumerate([server.uri, server.uri, other.uri, server.uri]):
                fetch_source(uri, str(tmp_path / f"{number}"), options=chosen, folder=None)
    assert paths(server).count("/robots.txt") == 2
    assert paths(other).count("/robots.txt") == 1


def test_a_crawl_delay_spaces_the_videos_of_a_host(server, tmp_path):
    behave(server, says(b"User-agent: *\nCrawl-delay: 0.4"))
    chosen = options(robots_txt=True)
    with visiting(visit_of("a fourth run", chosen)):
        for number in range(3):
            fetch_source(server.uri, str(tmp_path / f"{number}"), options=chosen, folder=None)
    assert len(server.times) == 4
    assert all(b - a > 0.3 for a, b in itertools.pairwise(server.times))
