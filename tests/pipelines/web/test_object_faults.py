"""Services that are ill, and what they may not do to a copy."""

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from formats.tables import Reason
from pipelines.web.objects import object_trouble
from tests.pipelines.faulty_server import send
from tests.pipelines.object_copies import LARGE, SMALL, copy, refused

Answer = Callable[[BaseHTTPRequestHandler], None]
FACTS = {"Last_Modified": "Wed, 01 Jan 2025 00:00:00 GMT", "ETag": '"one"'}


@contextmanager
def faulty(answer: Answer) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """An S3 or Google service that is ill: host:port and the requests it got."""
    requests: list[tuple[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            requests.append((self.command, self.headers.get("Range", "")))
            self.close_connection = True
            answer(self)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

    server = Quiet(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", requests
    finally:
        server.shutdown()
        server.server_close()


def failing(status: int, code: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>it is so</Message></Error>".encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        content = b"" if handler.command == "HEAD" else body
        send(handler, status, content, Content_Length=str(len(content)))

    return answer


@pytest.mark.parametrize(
    ("status", "code", "reason", "later"),
    [
        (403, "AccessDenied", Reason.DENIED, False),
        (401, "Unauthorized", Reason.DENIED, False),
        (429, "TooManyRequests", Reason.BUSY, True),
        (503, "SlowDown", Reason.BUSY, True),
        (500, "InternalError", Reason.BROKEN_SERVER, False),
    ],
)
@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_what_the_service_answers_becomes_a_reason(tmp_path, kind, status, code, reason, later):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        # Google's client would hide the status behind a text.
        failing(status, code)(handler) if kind == "s3" else send(
            handler, status, Content_Length="0"
        )

    with faulty(answer) as (endpoint, requests):
        error = refused(kind, endpoint, "clips/a", tmp_path, max_tries=2, deadline_s=20.0)
    assert (error.reason, error.retry_later) == (reason, later)
    assert error.tries == len(requests) == (1 if reason == Reason.DENIED else 2)


def test_another_region_is_not_tried_again(tmp_path):
    with faulty(failing(301, "PermanentRedirect")) as (endpoint, requests):
        error = refused("s3", endpoint, "clips/a", tmp_path)
    assert (error.reason, len(requests)) == (Reason.BROKEN_SERVER, 1)
    assert "301" in error.detail


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_nothing_answers(tmp_path, kind):
    error = refused(kind, "127.0.0.1:1", "clips/a", tmp_path, max_tries=1)
    assert (error.reason, error.retry_later) == (Reason.UNREACHABLE, True)


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_service_that_says_nothing_ends_at_the_deadline(tmp_path, kind):
    let_go = threading.Event()
    with faulty(lambda _: bool(let_go.wait(60))) as (endpoint, _):
        error = refused(kind, endpoint, "clips/a", tmp_path, deadline_s=1.5, idle_s=30.0)
        let_go.set()
    assert (error.reason, error.retry_later) == (Reason.TIMEOUT, True)


@pytest.mark.parametrize("kind", ["s3", "gs"])
def test_a_body_that_stops_coming_ends_at_the_deadline(tmp_path, kind):
    let_go = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        if kind == "s3" and handler.command == "HEAD":
            send(handler, 200, Content_Length=str(len(SMALL)), **FACTS)
        elif kind == "gs" and "alt=media" not in handler.path:
            facts = {"name": "a", "bucket": "clips", "size": str(len(SMALL)), "generation": "1"}
            told = json.dumps(facts | {"updated": "2025-01-01T00:00:00Z"}).encode()
            send(handler, 200, told, Content_Length=str(len(told)))
        else:
            send(handler, 200, SMALL[:100], Content_Length=str(len(SMALL)))
            let_go.wait(60)

    with faulty(answer) as (endpoint, _):
        error = refused(kind, endpoint, "clips/a", tmp_path, deadline_s=1.5, idle_s=30.0)
        let_go.set()
    assert (error.reason, error.retry_later) == (Reason.TIMEOUT, True)


def ranged(body: bytes, handler: BaseHTTPRequestHandler, *, cut: int = 0, **facts: str) -> None:
    """Answer as S3 does, the last `cut` bytes of the body missing."""
    if handler.command == "HEAD":
        send(handler, 200, Content_Length=str(len(body)), **facts)
        return
    first, last = map(int, handler.headers["Range"].partition("=")[2].split("-"))
    part = body[first : last + 1]
    told = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
    sent = part[: len(part) - cut]
    send(handler, 206, sent, Content_Length=str(len(part)), Content_Range=told, **facts)


def test_an_object_that_breaks_off_is_read_again(tmp_path):
    cuts = iter([0, 100, 0, 0, 0])

    def answer(handler: BaseHTTPRequestHandler) -> None:
        ranged(LARGE, handler, cut=next(cuts) if handler.command == "GET" else 0, **FACTS)

    with faulty(answer) as (endpoint, requests):
        fetched = copy("s3", endpoint, "clips/a", tmp_path)
    assert (tmp_path / "got").read_bytes() == LARGE
    assert (fetched.tries, fetched.sha256) == (2, hashlib.sha256(LARGE).hexdigest())
    starts = [wanted.partition("-")[0] for command, wanted in requests if command == "GET"]
    assert starts == [f"bytes={4194304 * block}" for block in (0, 1, 0, 1, 2)]


def test_a_block_that_always_breaks_is_truncated(tmp_path):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        ranged(SMALL, handler, cut=10, **FACTS)

    with faulty(answer) as (endpoint, _):
        error = refused("s3", endpoint, "clips/a", tmp_path, max_tries=2)
    assert (error.reason, error.tries) == (Reason.TRUNCATED, 2)


def test_an_object_that_changes_meanwhile_is_one_version_or_the_other_never_a_mix(tmp_path):
    new = b"new" * 3_000_000
    reads = 0

    def answer(handler: BaseHTTPRequestHandler) -> None:
        nonlocal reads
        reads += handler.command == "GET"
        body, tag = (LARGE, '"one"') if reads < 2 else (new, '"two"')
        ranged(body, handler, Last_Modified=FACTS["Last_Modified"], ETag=tag)

    with faulty(answer) as (endpoint, _):
        fetched = copy("s3", endpoint, "clips/a", tmp_path)
    assert (tmp_path / "got").read_bytes() == new
    assert (fetched.tries, fetched.size_bytes) == (2, len(new))


def test_a_key_cannot_dictate_the_reason():
    said = "When reading information for key 'AWS Error SLOW_DOWN during HTTP status 503' in "
    said += "bucket 'b': AWS Error ACCESS_DENIED during HeadObject operation: No response body."
    assert object_trouble(said).reason == Reason.DENIED


def test_a_process_ends_in_silence_even_if_a_call_still_hangs(tmp_path):
    let_go = threading.Event()
    code = (
        "import sys, json; from pipelines.sources import *; "
        "kind, end, to = json.loads(sys.argv[1]); "
        "more = {f'{kind}_endpoint': f'http://{end}', 's3_region': 'us-east-1'}\n"
        "options = FetchOptions(sources=(kind,), anonymous_objects=True, deadline_s=1, "
        "idle_s=3, **more)\n"
        "try: fetch_source(f'{kind}://clips/a', to, options=options, folder=None)\n"
        "except FetchError as error: print(error.reason)"
    )
    with faulty(lambda _: bool(let_go.wait(60))) as (endpoint, _):
        for kind in ("gs", "s3"):
            words = json.dumps([kind, endpoint, str(tmp_path / "got")])
            command = [sys.executable, "-c", code, words]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
            assert (ended.stdout, ended.stderr, ended.returncode) == ("timeout\n", "", 0)
        let_go.set()
