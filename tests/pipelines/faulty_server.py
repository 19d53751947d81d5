"""A loopback server that answers as badly as it is told to, and a fetch from it."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.sources import Fetched, FetchError, fetch_source

BODY = bytes(range(256)) * 800
SHA256 = hashlib.sha256(BODY).hexdigest()
Answer = Callable[[BaseHTTPRequestHandler, int], None]


class Server:
    """A loopback server; `answer(handler, n)` answers the nth request, counted from 1."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.times: list[float] = []
        self.answer: Answer = lambda handler, _: whole(handler)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outer.requests.append((self.path, dict(self.headers)))
                outer.times.append(time.monotonic())
                self.close_connection = True
                outer.answer(self, len(outer.requests))

            def log_message(self, *_: object) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass  # Clients hang up in the middle here.

        self.http = Quiet((address, 0), Handler)
        self.port = self.http.server_address[1]
        self.uri = f"http://{address}:{self.port}/video.mp4"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def whole(handler: BaseHTTPRequestHandler, body: bytes = BODY, **headers: str) -> None:
    send(handler, 200, body, Content_Length=str(len(body)), **headers)


def sized(handler: BaseHTTPRequestHandler, length: int, body: bytes, **headers: str) -> None:
    send(handler, 200, body, Content_Length=str(length), **headers)


def reset(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.flush()
    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    handler.connection.close()


@contextmanager
def running_server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


def options(**more: object) -> FetchOptions:
    given = {"allow_addresses": ("127.0.0.1",), "deadline_s": 5.0, "idle_s": 2.0}
    given |= {"robots_txt": False, "host_gap_s": 0.0, **more}
    return FetchOptions(**given)  # type: ignore[arg-type]


def fetch(uri: str, tmp_path: Path, **more: object) -> Fetched:
    path = tmp_path / "got"
    fetched = fetch_source(uri, str(path), options=options(**more), folder=None)
    assert fetched.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert fetched.size_bytes == path.stat().st_size
    return fetched


def failure(uri: str, tmp_path: Path, **more: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        fetch(uri, tmp_path, **more)
    assert not (tmp_path / "got").exists()
    assert "\n" not in caught.value.detail
    return caught.value


def refused(uri: str, tmp_path: Path, **more: object) -> tuple[Reason, int, bool]:
    error = failure(uri, tmp_path, **more)
    return error.reason, error.tries, error.retry_later
