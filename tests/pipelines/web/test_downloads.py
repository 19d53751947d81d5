import email.utils
import gzip
import socket
import time
from http.server import BaseHTTPRequestHandler

import pytest

from formats.tables import Reason
from pipelines.sources import Fetched
from pipelines.web.visits import visit_of, visiting
from tests.pipelines.faulty_server import (
    BODY,
    SHA256,
    fetch,
    options,
    refused,
    reset,
    running_server,
    send,
    sized,
    whole,
)

pytestmark = pytest.mark.usefixtures("short_waits")


def test_a_whole_body(server, tmp_path):
    assert fetch(server.uri, tmp_path) == Fetched(len(BODY), SHA256, 1, server.uri, True)
    path, headers = server.requests[0]
    assert path == "/video.mp4"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["User-Agent"].startswith("Tagreel/")
    assert "Range" not in headers


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/twice//a///b?x=1&x=2", "/twice//a///b?x=1&x=2"),
        ("/uni/\u00fc", "/uni/%C3%BC"),
        ("/a?signature=%2Fx%3D%20", "/a?signature=%2Fx%3D%20"),
    ],
)
def test_the_path_reaches_the_server_as_it_is(server, tmp_path, path, sent):
    fetch(f"http://127.0.0.1:{server.port}{path}", tmp_path)
    assert server.requests[0][0] == sent


def test_a_wrong_content_type_does_not_matter(server, tmp_path):
    server.answer = lambda handler, _: whole(handler, Content_Type="text/html")
    assert fetch(server.uri, tmp_path).sha256 == SHA256


def test_a_chunked_body_is_verified_and_one_without_length_is_not(server, tmp_path):
    chunk = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    server.answer = lambda handler, _: send(handler, 200, chunk, Transfer_Encoding="chunked")
    assert fetch(server.uri, tmp_path) == Fetched(len(BODY), SHA256, 1, server.uri, True)
    server.answer = lambda handler, _: send(handler, 200, BODY)
    assert fetch(server.uri, tmp_path) == Fetched(len(BODY), SHA256, 1, server.uri, False)


def test_redirects_are_followed_and_the_last_uri_kept(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number < 4:
            send(handler, 302, Location=f"/hop{number}?a=b", Content_Length="0")
        else:
            whole(handler)

    server.answer = answer
    fetched = fetch(server.uri, tmp_path)
    assert fetched.final_uri == f"http://127.0.0.1:{server.port}/hop3?a=b"
    assert (fetched.tries, len(server.requests)) == (1, 4)


def test_a_redirect_to_a_host_that_may_not_be_asked_is_a_try(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
        code = 404 if handler.path == "/robots.txt" else 302
        send(handler, code, Location=other.uri, Content_Length="0")

    server.answer = answer
    chosen = {"robots_txt": True, "max_tries": 2}
    with running_server() as other, visiting(visit_of("led away", options(**chosen))):
        other.answer = lambda handler, _: send(handler, 500, Content_Length="0")
        found = [refused(server.uri, tmp_path, **chosen) for _ in range(2)]
    # The second time the other host is known not to say what it allows, and is left alone.
    assert found == [(Reason.BROKEN_SERVER, tries, True) for tries in (2, 1)]
    asked = [path for path, _ in server.requests]
    assert asked == ["/robots.txt"] + ["/video.mp4"] * (2 + 1)
    assert len(other.requests) == 2


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (404, Reason.GONE),
        (410, Reason.GONE),
        (451, Reason.GONE),
        (400, Reason.DENIED),
        (401, Reason.DENIED),
        (403, Reason.DENIED),
        (206, Reason.BROKEN_SERVER),
        (416, Reason.BROKEN_SERVER),
        (304, Reason.BROKEN_SERVER),
    ],
)
def test_final_answers_are_asked_for_once(server, tmp_path, status, reason):
    server.answer = lambda handler, _: send(handler, status, Content_Length="0")
    assert refused(server.uri, tmp_path) == (reason, 1, False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_a_broken_server_is_tried_again_up_to_the_limit(server, tmp_path, status):
    server.answer = lambda handler, _: send(handler, status, Content_Length="0")
    assert refused(server.uri, tmp_path, max_tries=3) == (Reason.BROKEN_SERVER, 3, False)
    assert len(server.requests) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_recovers_is_no_failure(server, tmp_path, status):
    server.answer = lambda handler, number: (
        whole(handler) if number == 3 else send(handler, status, Content_Length="0")
    )
    assert fetch(server.uri, tmp_path) == Fetched(len(BODY), SHA256, 3, server.uri, True)


def test_retry_after_seconds_are_waited(server, tmp_path):
    server.answer = lambda handler, number: (
        whole(handler) if number == 2 else send(handler, 503, Retry_After="1", Content_Length="0")
    )
    fetch(server.uri, tmp_path)
    assert server.times[1] - server.times[0] >= 1.0


@pytest.mark.parametrize("value", ["3600", "99999999999999999999", "date"])
def test_a_wait_beyond_the_budget_is_put_off_at_once(server, tmp_path, value):
    if value == "date":
        value = email.utils.formatdate(time.time() + 3600, usegmt=True)
    server.answer = lambda handler, _: send(handler, 429, Retry_After=value, Content_Length="0")
    started = time.monotonic()
    assert refused(server.uri, tmp_path) == (Reason.BUSY, 1, True)
    assert time.monotonic() - started < 1


def test_a_server_that_stays_busy_is_put_off(server, tmp_path):
    server.answer = lambda handler, _: send(handler, 503, Content_Length="0")
    assert refused(server.uri, tmp_path) == (Reason.BUSY, 4, True)


@pytest.mark.parametrize(
    "value", ["noai", "NoAI, noimageai", "nofollow, noindex", "tagreel: noimageindex", "none"]
)
def test_publishers_can_opt_out(server, tmp_path, value):
    server.answer = lambda handler, _: whole(handler, X_Robots_Tag=value)
    assert refused(server.uri, tmp_path) == (Reason.OPTED_OUT, 1, False)


@pytest.mark.parametrize("value", ["nofollow", "otherbot: noindex, noai", "unavailable_after: x"])
def test_what_is_no_opt_out_from_us(server, tmp_path, value):
    server.answer = lambda handler, _: whole(handler, X_Robots_Tag=value)
    assert fetch(server.uri, tmp_path).sha256 == SHA256


def test_a_compressed_body_is_refused_unread(server, tmp_path):
    bomb = gzip.compress(bytes(10_000_000))
    server.answer = lambda handler, _: whole(handler, bomb, Content_Encoding="gzip")
    assert refused(server.uri, tmp_path) == (Reason.ENCODED, 1, False)


def test_a_broken_body_is_resumed_where_the_server_proves_it_is_the_same(server, tmp_path):
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        if number == 1:
            sized(handler, len(BODY), BODY[:1000], ETag='"v1"')
        elif number == 2:
            rest = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
            length = str(len(BODY) - start)
            send(handler, 206, BODY[start:5000], Content_Range=rest, Content_Length=length)
        else:
            rest = f"bytes {start}-{len(BODY) - 1}/{len(BODY)}"
            length = str(len(BODY) - start)
            body = BODY[start:]
            send(handler, 206, body, Content_Range=rest, Content_Length=length, ETag='"v1"')

    server.answer = answer
    assert fetch(server.uri, tmp_path) == Fetched(len(BODY), SHA256, 3, server.uri, True)
    asked = [(h.get("Range"), h.get("If-Range")) for _, h in server.requests]
    assert asked == [(None, None), ("bytes=1000-", '"v1"'), ("bytes=5000-", '"v1"')]


@pytest.mark.parametrize("validators", [{}, {"ETag": 'W/"v1"'}])
def test_without_proof_a_broken_body_is_fetched_anew(server, tmp_path, validators):
    server.answer = lambda handler, number: (
        whole(handler) if number == 2 else sized(handler, len(BODY), BODY[:1000], **validators)
    )
    assert fetch(server.uri, tmp_path).sha256 == SHA256
    assert "Range" not in server.requests[1][1]


def test_a_changed_body_replaces_what_came_of_the_old_one(server, tmp_path):
    server.answer = lambda handler, number: (
        whole(handler, ETag='"v2"')
        if number == 2
        else sized(handler, 9999, b"old" * 100, ETag='"v1"')
    )
    assert fetch(server.uri, tmp_path).sha256 == SHA256
    assert server.requests[1][1]["If-Range"] == '"v1"'


@pytest.mark.parametrize(
    ("status", "content_range", "etag"),
    [
        (206, "bytes 7-99/100", '"v1"'),
        (206, "", '"v1"'),
        (206, "bytes 300-9998/9999", '"v2"'),
        (416, "bytes */300", '"v1"'),
    ],
)
def test_a_part_that_does_not_fit_starts_over(server, tmp_path, status, content_range, etag):
    def answer(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 1:
            sized(handler, 9999, b"old" * 100, ETag='"v1"')
        elif number == 2:
            body = b"x" * 93
            send(handler, status, body, Content_Range=content_range, ETag=etag, Content_Length="93")
        else:
            whole(handler)

    server.answer = answer
    assert fetch(server.uri, tmp_path).sha256 == SHA256
    assert [("Range" in headers) for _, headers in server.requests] == [False, True, False]


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    sized(handler, len(BODY), BODY[:1000])


def cut_chunk(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"1000\r\nabc", Transfer_Encoding="chunked")


def bad_chunk(handler: BaseHTTPRequestHandler) -> None:
    send(handler, 200, b"zz\r\nabc\r\n0\r\n\r\n", Transfer_Encoding="chunked")


def reset_body(handler: BaseHTTPRequestHandler) -> None:
    cut_short(handler)
    reset(handler)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("answer", [cut_short, cut_chunk, bad_chunk, reset_body, reset, hang_up])
def test_what_always_breaks_is_truncated(server, tmp_path, answer):
    server.answer = lambda handler, _: answer(handler)
    assert refused(server.uri, tmp_path, max_tries=3) == (Reason.TRUNCATED, 3, False)
    assert len(server.requests) == 3


def test_contradicting_lengths_are_a_broken_server(server, tmp_path):
    server.answer = lambda handler, _: send(handler, 200, b"abc", Content_Length="3, 4")
    assert refused(server.uri, tmp_path) == (Reason.BROKEN_SERVER, 1, False)


def test_an_announced_size_above_the_cap_is_refused_unread(server, tmp_path):
    server.answer = lambda handler, _: sized(handler, 10**10, b"")
    assert refused(server.uri, tmp_path) == (Reason.TOO_LARGE, 1, False)


def test_an_endless_body_is_cut_at_the_cap(server, tmp_path):
    sent = []

    def endless(handler: BaseHTTPRequestHandler, _: int) -> None:
        send(handler, 200)
        while True:
            handler.wfile.write(bytes(1 << 16))
            sent.append(1 << 16)

    server.answer = endless
    assert refused(server.uri, tmp_path, max_bytes=1 << 20) == (Reason.TOO_LARGE, 1, False)
    assert sum(sent) < 16 << 20  # The cap, and what lay in socket buffers.


def test_a_loop_of_redirects_ends(server, tmp_path):
    server.answer = lambda handler, _: send(handler, 302, Location="/again", Content_Length="0")
    assert refused(server.uri, tmp_path) == (Reason.REDIRECTS, 1, False)
    assert len(server.requests) == 6
