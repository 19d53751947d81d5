"""The sample world's web server: a small host with the moods of the web.

It serves the files that the world's truth names and nothing else, so no path can lead outside.
"""

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from pipelines.world.posts import Kind
from pipelines.world.truth import read_truth

_BLOCK = 1 << 16
_TYPES: Mapping[str, str] = {".mp4": "video/mp4", ".webm": "video/webm"}
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class WorldServer:
    """Serves WORLD/videos on a free port of 127.0.0.1 while the `with` block runs.

    What a post's kind says happens to its requests; a first try is counted per server.

    Raises:
        WorldError: the folder holds no complete world.
    """

    def __init__(self, folder: str) -> None:
        kinds = {row.path: row.kind for row in read_truth(folder) if row.kind is not Kind.SAME_URI}
        self._server = _Server(Path(folder), kinds)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def address(self) -> str:
        """`127.0.0.1:PORT`."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def __enter__(self) -> "WorldServer":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def serve_world(folder: str) -> Iterator[str]:
    """Serve a built world while the block runs; gives the address, `127.0.0.1:PORT`.

    Raises:
        WorldError: the folder holds no complete world.
    """
    with WorldServer(folder) as server:
        yield server.address


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, folder: Path, kinds: Mapping[str, Kind]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder
        self.kinds = kinds
        self._tries: Counter[str] = Counter()
        self._lock = threading.Lock()

    def is_first_try(self, path: str) -> bool:
        """True once per path and server."""
        with self._lock:
            self._tries[path] += 1
            return self._tries[path] == 1


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "SampleWorld"
    sys_version = ""
    timeout = 30
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Stay silent: a job's own log tells what it fetched."""

    def _answer(self) -> None:
        path = self.path.removeprefix("/")
        kind = self.server.kinds.get(path)
        if kind is None or kind is Kind.DEAD:
            return self._refuse(HTTPStatus.NOT_FOUND)
        if kind is Kind.DENIED:
            return self._refuse(HTTPStatus.FORBIDDEN)
        first = self.command == "GET" and self.server.is_first_try(path)
        if kind is Kind.FLAKY and first:
            return self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, ("Retry-After", "1"))
        try:
            file = open(self.server.folder / path, "rb")  # noqa: SIM115
        except FileNotFoundError:
            return self._refuse(HTTPStatus.NOT_FOUND)
        with file:
            self._send_file(file, kind, breaks_off=kind is Kind.CUT and first)
        return None

    def _refuse(self, status: HTTPStatus, *headers: tuple[str, str]) -> None:
        body = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        self._send_headers(("Content-Type", "text/plain"), *headers, length=len(body))
        if self.command == "GET":
            self.wfile.write(body)

    def _send_file(self, file: BinaryIO, kind: Kind, *, breaks_off: bool) -> None:
        size = os.fstat(file.fileno()).st_size
        tag = f'"{Path(file.name).stem}-{size}"'
        media_type = "text/html" if kind is Kind.HTML else _TYPES[Path(file.name).suffix]
        headers = [("Content-Type", media_type), ("Accept-Ranges", "bytes"), ("ETag", tag)]
        span = self._span(size, tag)
        if span is None:
            span = range(size)
            self.send_response(HTTPStatus.OK)
        elif not span:
            limit = ("Content-Range", f"bytes */{size}")
            return self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, limit)
        else:
            self.send_response(HTTPStatus.PARTIAL_CONTENT)
            headers.append(("Content-Range", f"bytes {span[0]}-{span[-1]}/{size}"))
        self._send_headers(*headers, length=len(span))
        if self.command == "GET":
            self._send_bytes(file, span[: len(span) // 2] if breaks_off else span)
        self.close_connection |= breaks_off
        return None

    def _send_headers(self, *headers: tuple[str, str], length: int) -> None:
        for name, value in (*headers, ("Content-Length", str(length))):
            self.send_header(name, value)
        self.end_headers()

    def _span(self, size: int, tag: str) -> range | None:
        """The bytes that one `Range` asks for, empty if there are none; None = the whole file."""
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if not asked or self.headers.get("If-Range", tag) != tag:
            return None
        first, last = asked.groups()
        if first:
            return range(int(first), min(int(last) + 1, size) if last else size)
        return range(max(0, size - int(last)), size) if last else None

    def _send_bytes(self, file: BinaryIO, span: range) -> None:
        if not span:
            return
        file.seek(span[0])
        left = len(span)
        try:
            while left and (block := file.read(min(_BLOCK, left))):
                self.wfile.write(block)
                left -= len(block)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
