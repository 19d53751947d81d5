import hashlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from formats.tables import Reason
from formats.video import encode_frames
from pipelines.pages import is_page, page_trouble
from pipelines.sources import FetchError, fetch_source
from tests.formats.generated_video import bars
from tests.pipelines.faulty_server import Server, options, running_server, send

SOURCES = ("http", "file", "ytdlp")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("page") / "clip.mp4"
    encode_frames(str(path), bars(20), fps=10)
    return path.read_bytes()


@pytest.fixture
def site(video: bytes) -> Iterator[Server]:
    """A page with a video on it, and one whose video is in the private network."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        pages = {
            "/watch": '<video src="/clip.mp4"></video>',
            "/inside": '<video src="http://127.0.0.1:9/clip.mp4"></video>',
            "/nothing": "<p>no video here</p>",
        }
        if handler.path == "/clip.mp4":
            send(handler, 200, video, Content_Type="video/mp4")
        elif handler.path in pages:
            page = f"<html><title>A page</title><body>{pages[handler.path]}</body></html>"
            send(handler, 200, page.encode(), Content_Type="text/html")
        else:
            send(handler, 404)

    with running_server() as server:
        server.answer = answer
        yield server


def fetch_page_of(server: Server, path: str, tmp_path: Path, **more: object) -> bytes:
    place = f"127.0.0.1:{server.port}"
    given = options(
        sources=SOURCES,
        ytdlp_hosts=("videos.example",),
        allow_addresses=(),
        connect_to=(f"videos.example={place}",),
        **{"deadline_s": 60.0, "max_tries": 1, **more},
    )
    got = tmp_path / "got"
    fetch_source(f"http://videos.example{path}", str(got), options=given, folder=None)
    return got.read_bytes()


def failure_of(server: Server, path: str, tmp_path: Path, **more: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch_page_of(server, path, tmp_path, **more)
    assert not list(tmp_path.iterdir())
    return caught.value


@pytest.mark.slow
def test_the_video_of_a_page_comes_through_the_proxy(
    site: Server, video: bytes, tmp_path: Path
) -> None:
    content = fetch_page_of(site, "/watch", tmp_path)
    assert hashlib.sha256(content).digest() == hashlib.sha256(video).digest()
    assert [path.name for path in tmp_path.iterdir()] == ["got"]
    agents = {headers["User-Agent"] for _, headers in site.requests}
    assert agents == {options().user_agent}


@pytest.mark.slow
def test_a_page_does_not_lead_into_the_private_network(site: Server, tmp_path: Path) -> None:
    error = failure_of(site, "/inside", tmp_path)
    assert error.reason == Reason.DENIED_ADDRESS


@pytest.mark.slow
def test_a_page_that_is_gone_or_has_no_video_says_so(site: Server, tmp_path: Path) -> None:
    gone = failure_of(site, "/gone", tmp_path)
    assert (gone.reason, gone.retry_later) == (Reason.GONE, False)
    assert "404" in gone.detail
    assert failure_of(site, "/nothing", tmp_path).reason == Reason.NOT_VIDEO


@pytest.mark.slow
def test_a_video_with_too_many_bytes_is_not_kept(site: Server, tmp_path: Path) -> None:
    assert failure_of(site, "/watch", tmp_path, max_bytes=1000).reason == Reason.TOO_LARGE


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://videos.example/x", True),
        ("https://www.Videos.Example./x", True),
        ("http://videos.example.evil/x", False),
        ("http://notvideos.example/x", False),
        ("http://videos.example@evil/x", False),
        ("http://[::1/x", False),
    ],
)
def test_only_the_named_hosts_are_pages(uri: str, expected: bool) -> None:
    assert is_page(uri, ("videos.example",)) is expected


@pytest.mark.parametrize(
    ("said", "reason", "later"),
    [
        ("ERROR: [youtube] 429: Video unavailable", Reason.GONE, False),
        ("ERROR: [site] a: HTTP Error 429: Too Many Requests", Reason.BUSY, True),
        ("ERROR: [site] a: Sign in to confirm you are not a bot", Reason.DENIED, False),
        ("ERROR: [generic] Unsupported URL: http://x", Reason.NOT_VIDEO, False),
        ("ERROR: something new", Reason.BROKEN_SERVER, False),
        ("\x1b[0;31mERROR:\x1b[0m [s] a: This video has been removed", Reason.GONE, False),
    ],
)
def test_what_the_program_says_becomes_a_reason(said: str, reason: Reason, later: bool) -> None:
    trouble = page_trouble(said, False, False)
    assert (trouble.reason, trouble.later) == (reason, later)
    assert "\x1b" not in trouble.detail
