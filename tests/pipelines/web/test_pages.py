import json
import os
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from formats.storage import sha256_file
from formats.tables import Reason
from formats.video import decode_rgb, encode_frames
from pipelines.sources import Fetched, FetchError, fetch_source
from pipelines.web.pages import is_page, page_trouble
from tests.formats.generated_video import bars
from tests.pipelines.faulty_server import Server, failure, options, running_server, send, whole

HOST = "pages.example"


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mp4"
    encode_frames(str(path), bars(30), fps=15)
    return path


def site(server: Server, files: dict[str, bytes | str]) -> None:
    """Serve texts as HTML and bytes as video; anything else is not there."""

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        found = files.get(handler.path)
        if found is None:
            send(handler, 404, Content_Length="0")
        elif isinstance(found, str):
            whole(handler, found.encode(), Content_Type="text/html; charset=utf-8")
        else:
            whole(handler, found, Content_Type="video/mp4")

    server.answer = answer


def page(*sources: str) -> str:
    tags = "".join(f'<video src="{source}"></video>' for source in sources)
    return f"<html><head><title>Fishing</title></head><body>{tags}</body></html>"


def fetch_from(server: Server, path: str, tmp_path: Path, **more: object) -> Fetched:
    given: dict[str, object] = {
        "sources": ("http", "ytdlp"),
        "ytdlp_hosts": (HOST,),
        "allow_addresses": (),
        "connect_to": (f"{HOST}=127.0.0.1:{server.port}",),
        "deadline_s": 60.0,
        "idle_s": 10.0,
        "max_tries": 1,
        "robots_txt": True,
        **more,
    }
    got = str(tmp_path / "got")
    return fetch_source(f"http://{HOST}{path}", got, options=options(**given), folder=None)


def refused(server: Server, path: str, tmp_path: Path, **more: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch_from(server, path, tmp_path, **more)
    assert list(tmp_path.iterdir()) == []
    assert "\n" not in caught.value.detail and "\x1b" not in caught.value.detail
    return caught.value


def test_the_video_of_a_page_is_found_and_fetched(server, tmp_path, video):
    site(server, {"/watch?v=1": page("/files/clip.mp4"), "/files/clip.mp4": video.read_bytes()})
    uri = f"http://{HOST}/watch?v=1"
    size, digest = video.stat().st_size, sha256_file(str(video))
    assert fetch_from(server, "/watch?v=1", tmp_path) == Fetched(size, digest, 1, uri, False)
    assert [path.name for path in tmp_path.iterdir()] == ["got"]
    frames_THWC = decode_rgb(str(tmp_path / "got"), fps=None, height=96, width=160)
    assert len(frames_THWC) == 30
    asked = [path for path, _ in server.requests]
    assert asked[0] == "/robots.txt" and "/files/clip.mp4" in asked
    agents = {headers["User-Agent"] for _, headers in server.requests}
    assert agents == {options().user_agent}
    assert {headers["Host"] for _, headers in server.requests} == {HOST}


def test_of_several_videos_the_first_is_taken(server, tmp_path, video):
    first, second = video.read_bytes(), b"another"
    files = {"/p": page("/1.mp4", "/2.mp4"), "/1.mp4": first, "/2.mp4": second}
    site(server, files)
    assert fetch_from(server, "/p", tmp_path).size_bytes == len(first)
    assert "/2.mp4" not in [path for path, _ in server.requests]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, Reason.GONE),
        ({"/p": "<html><body>only words</body></html>"}, Reason.NOT_VIDEO),
        ({"/p": page("/none.mp4")}, Reason.GONE),
    ],
)
def test_pages_without_a_video(server, tmp_path, files, reason):
    site(server, files)
    error = refused(server, "/p", tmp_path)
    assert (error.reason, error.tries, error.retry_later) == (reason, 1, False)
    assert error.detail.startswith("ERROR: ")


@pytest.mark.parametrize(
    ("status", "reason", "later"),
    [
        (403, Reason.DENIED, False),
        (429, Reason.BUSY, True),
        (500, Reason.BROKEN_SERVER, False),
    ],
)
def test_what_the_site_answers_becomes_a_reason(server, tmp_path, status, reason, later):
    server.answer = lambda handler, _: send(handler, status, Content_Length="0")
    error = refused(server, "/p", tmp_path, robots_txt=False)
    assert (error.reason, error.retry_later) == (reason, later)
    assert str(status) in error.detail


def test_nothing_answers_at_the_host(server, tmp_path):
    more = {"connect_to": (f"{HOST}=127.0.0.1:1",), "robots_txt": False}
    error = refused(server, "/p", tmp_path, **more)
    assert (error.reason, error.retry_later) == (Reason.UNREACHABLE, True)


def test_robots_txt_is_asked_before_the_page(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        whole(handler, b"User-agent: *\nDisallow: /watch\n", Content_Type="text/plain")

    server.answer = answer
    error = refused(server, "/watch", tmp_path)
    assert (error.reason, error.tries) == (Reason.ROBOTS, 0)
    assert [path for path, _ in server.requests] == ["/robots.txt"]


def test_a_playlist_with_a_hole_is_no_video(server, tmp_path, video):
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:5", "#EXTINF:5,", "/1.ts", "#EXTINF:5,", "/2.ts")
    listed = "\n".join((*lines, "#EXT-X-ENDLIST", ""))
    site(server, {"/p": page("/list.m3u8"), "/list.m3u8": listed, "/1.ts": video.read_bytes()})
    assert refused(server, "/p", tmp_path).reason == Reason.BROKEN_SERVER


@pytest.mark.parametrize("way", ["video", "redirect", "hls"])
def test_a_page_cannot_lead_to_a_private_address(server, tmp_path, way):
    with running_server() as inner:
        secret = f"http://127.0.0.1:{inner.port}/secret.mp4"

        def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
            if way == "redirect":
                send(handler, 302, Location=secret, Content_Length="0")
            elif way == "hls" and handler.path == "/list.m3u8":
                lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:5", "#EXTINF:5,", secret)
                text = "\n".join((*lines, "#EXT-X-ENDLIST", "")).encode()
                whole(handler, text, Content_Type="application/vnd.apple.mpegurl")
            else:
                target = "/list.m3u8" if way == "hls" else secret
                whole(handler, page(target).encode(), Content_Type="text/html")

        server.answer = answer
        error = refused(server, "/p", tmp_path, robots_txt=False)
        assert (error.reason, error.tries) == (Reason.DENIED_ADDRESS, 1), error.detail
        assert inner.requests == []


def test_a_page_at_a_private_address_is_refused_before_the_first_try(server, tmp_path):
    given = {"sources": ("http", "ytdlp"), "ytdlp_hosts": ("127.0.0.1",), "allow_addresses": ()}
    error = failure(server.uri, tmp_path, **given)
    assert (error.reason, error.tries) == (Reason.DENIED_ADDRESS, 0), error.detail
    assert server.requests == []


def test_a_local_file_in_a_page_is_not_read(server, tmp_path):
    secret = tmp_path.parent / "secret.mp4"
    secret.write_bytes(b"secret")
    site(server, {"/p": page(f"file://{secret}")})
    error = refused(server, "/p", tmp_path)
    assert error.reason in (Reason.NOT_VIDEO, Reason.BROKEN_SERVER)


def test_what_is_larger_than_the_limit_is_not_kept(server, tmp_path, video):
    site(server, {"/p": page("/clip.mp4"), "/clip.mp4": video.read_bytes()})
    assert refused(server, "/p", tmp_path, max_bytes=1000).reason == Reason.TOO_LARGE


def test_an_endless_body_is_cut(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        if handler.path != "/clip.mp4":
            whole(handler, page("/clip.mp4").encode(), Content_Type="text/html")
            return
        send(handler, 200, Content_Type="video/mp4")
        while True:  # Until the other side hangs up.
            handler.wfile.write(bytes(1 << 16))

    server.answer = answer
    error = refused(server, "/p", tmp_path, max_bytes=1 << 20, robots_txt=False)
    assert error.reason == Reason.TOO_LARGE


def test_a_site_that_drips_ends_at_the_deadline_and_leaves_no_process(server, tmp_path):
    let_go = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, 200, Content_Type="text/html", Content_Length="1000000")
        while not let_go.wait(0.2):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    server.answer = answer
    started = time.monotonic()
    error = refused(server, "/p", tmp_path, deadline_s=5.0, robots_txt=False)
    let_go.set()
    assert (error.reason, error.retry_later) == (Reason.TIMEOUT, True)
    assert time.monotonic() - started < 30
    listed = subprocess.run(["ps", "-eo", "ppid,args"], capture_output=True, text=True, check=True)
    assert not [line for line in listed.stdout.splitlines() if f"{os.getpid()} " in line[:9]
                and "yt_dlp" in line]  # fmt: skip


def test_a_video_that_its_page_calls_longer_than_wanted_is_not_kept(server, tmp_path, video):
    facts = {"@context": "https://schema.org", "@type": "VideoObject", "name": "x"}
    facts |= {"duration": "PT2H", "contentUrl": f"http://{HOST}/clip.mp4"}
    told = f'<script type="application/ld+json">{json.dumps(facts)}</script>'
    site(server, {"/p": f"<html><body>{told}</body></html>", "/clip.mp4": video.read_bytes()})
    error = refused(server, "/p", tmp_path)
    assert error.reason == Reason.TOO_LONG, error.detail
    assert "duration" in error.detail


def test_a_file_of_another_kind_is_not_kept(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        whole(handler, b"ID3" + bytes(2000), Content_Type="audio/mpeg")

    server.answer = answer
    assert refused(server, "/song.mp3", tmp_path, robots_txt=False).reason == Reason.NOT_VIDEO


def test_only_the_hosts_that_were_named_are_pages(server, tmp_path, video):
    server.answer = lambda handler, _: whole(handler, video.read_bytes())
    fetched = fetch_from(server, "/clip.mp4", tmp_path, ytdlp_hosts=("other.example",))
    assert fetched.length_verified  # Ours, not yt-dlp's.
    (tmp_path / "got").unlink()
    error = refused(server, "/p", tmp_path, sources=("ytdlp",), ytdlp_hosts=("other.example",))
    assert error.reason == Reason.SOURCE_NOT_ALLOWED


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
def test_a_page_is_known_by_its_host_alone(uri, expected):
    assert is_page(uri, ("videos.example",)) is expected


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("ERROR: [youtube] a503: Video unavailable. It was removed", Reason.GONE),
        ("ERROR: [youtube] x: Private video. Sign in if you've been granted access", Reason.GONE),
        ("ERROR: [x] y: Sign in to confirm your age", Reason.DENIED),
        ("ERROR: [x] y: Unable to download webpage: HTTP Error 429: Too Many", Reason.BUSY),
        ("ERROR: unable to download video data: timed out", Reason.TIMEOUT),
        ("ERROR: [x] y: Failed to parse JSON", Reason.BROKEN_SERVER),
        ("ERROR: [youtube] 429: Video unavailable", Reason.GONE),
        ("ERROR: [site] a: Sign in to confirm you are not a bot", Reason.DENIED),
        ("ERROR: [generic] Unsupported URL: http://x", Reason.NOT_VIDEO),
        ("\x1b[0;31mERROR:\x1b[0m [s] a: This video has been removed", Reason.GONE),
        ("[download] clip does not pass filter (!is_live), skipping ..", Reason.NOT_VIDEO),
        ("[download] File is larger than max-filesize (9 bytes > 1). Aborting.", Reason.TOO_LARGE),
        ("", Reason.NOT_VIDEO),
    ],
)
def test_the_words_of_yt_dlp_become_a_reason(said, reason):
    assert page_trouble(said, False, False).reason == reason


def test_the_own_words_of_yt_dlp_are_the_detail():
    said = "[generic] x: Downloading\n\x1b[0;31mERROR:\x1b[0m [generic] x:  it\x1b[1m broke\n"
    assert page_trouble(said, False, False).detail == "ERROR: [generic] x: it broke"
