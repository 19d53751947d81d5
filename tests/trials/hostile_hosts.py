"""Hosts on loopback addresses of their own, which take down who asked for what, when, how many."""

import contextlib
import select
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.pipelines.faulty_server import Server, send, whole

Answer = Callable[[BaseHTTPRequestHandler, int], None]
"""Answers the nth request for a path, counted from 1."""


@dataclass(frozen=True)
class Case:
    """What one path of a host answers, and what must come of a row that names it."""

    path: str
    answer: Answer
    outcome: str = "clip"
    """A fate, or `fate:reason`."""
    requests: int | None = 1
    """How often it is asked for; None: that depends on what came first, and the row tells."""
    source: bytes | None = None
    """The bytes that must have been received, where they are not the good video."""


@dataclass
class Request:
    """One request as the server saw it."""

    path: str
    headers: dict[str, str]
    begin: float
    """Monotonic clock, once the request was read: a little later than it was sent."""
    at_once: int = 1
    """Requests of the host that were open when this one came, itself included."""
    end: float = 0.0
    """When the server had sent its answer."""
    status: int = 0
    connection: socket.socket | None = field(default=None, repr=False)
    """None once the client has hung up."""

    def is_open(self) -> bool:
        """Whether the client has not hung up yet; what the server has done does not matter."""
        connection = self.connection
        if connection is None:
            return False
        try:
            return connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False


class Host:
    """A host with a behaviour for each path; `/robots.txt` is a case like any other."""

    def __init__(self, address: str, cases: Sequence[Case] = ()) -> None:
        self.server = Server(address)
        self.place = f"{address}:{self.server.port}"
        self.cases: list[Case] = []
        self.log: list[Request] = []
        self._answers: dict[str, Answer] = {"/robots.txt": status(404)}
        self._asked: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.server.answer = self._answer
        self.add(*cases)

    def add(self, *cases: Case) -> None:
        """Rows of the catalog."""
        self.cases += cases
        self.route({case.path: case.answer for case in cases})

    def route(self, answers: dict[str, Answer]) -> None:
        """Paths that are no rows."""
        self._answers |= answers

    def heal(self, video: bytes) -> None:
        """From now on every path is the video, and nothing is disallowed."""
        self._answers = dict.fromkeys(self._answers, good(video)) | {"/robots.txt": status(404)}
        self.log = []

    def uri(self, path: str) -> str:
        return f"http://{self.place}{path}"

    def requests(self, path: str) -> list[Request]:
        return [request for request in self.log if request.path == path]

    def begins(self) -> list[float]:
        return sorted(request.begin for request in self.log)

    def _answer(self, handler: BaseHTTPRequestHandler, _: int) -> None:
        path = handler.requestline.split()[1]  # Of `handler.path`, two slashes are made one.
        request = Request(path, dict(handler.headers), time.monotonic())
        _note_status(handler, request)
        request.connection = handler.connection
        with self._lock:
            earlier = [one for one in self.log if one.connection is not None]
            self.log.append(request)
            self._asked[path] += 1
            count = self._asked[path]
        # Those in the list that are open now were open when it was made: no count too high.
        request.at_once = 1 + sum(one.is_open() for one in earlier)
        try:
            self._answers[path](handler, count)
            handler.wfile.flush()
            request.end = time.monotonic()
            _await_end(handler)
        finally:
            request.connection = None


def _note_status(handler: BaseHTTPRequestHandler, request: Request) -> None:
    """Have the status taken down that the handler will send."""
    told = handler.send_response

    def send_response(code: int, message: str | None = None) -> None:
        request.status = code
        told(code, message)

    handler.send_response = send_response  # type: ignore[method-assign]


def _await_end(handler: BaseHTTPRequestHandler) -> None:
    """Say that this was all, and let the client hang up first."""
    with contextlib.suppress(OSError):
        handler.connection.shutdown(socket.SHUT_WR)
    hung_up(handler, 60.0)


def hung_up(handler: BaseHTTPRequestHandler, within_s: float) -> bool:
    """Whether the client hangs up within that time."""
    try:
        ready, _, _ = select.select([handler.connection], [], [], within_s)
        return bool(ready) and not handler.connection.recv(1)
    except (OSError, ValueError):  # ValueError: it was closed by ourselves.
        return True


def status(code: int, **headers: str) -> Answer:
    """An empty answer."""
    return lambda handler, _: send(handler, code, **{"Content_Length": "0", **headers})


def good(body: bytes, **headers: str) -> Answer:
    """A whole, honest answer."""
    return lambda handler, _: whole(handler, body, **headers)


def in_turn(*answers: Answer) -> Answer:
    """One after the other; the last for all that follow."""
    return lambda handler, number: answers[min(number, len(answers)) - 1](handler, number)


class Watcher:
    """Listens where nobody may ever connect to."""

    def __init__(self) -> None:
        self.connections = 0
        self._sockets = [socket.create_server(("127.0.0.1", 0))]
        self.port = self._sockets[0].getsockname()[1]
        if socket.has_ipv6:
            v6 = socket.create_server(("::1", self.port), family=socket.AF_INET6)
            self._sockets.append(v6)

    def count(self) -> int:
        """Connections that were opened so far."""
        for listener in self._sockets:
            listener.settimeout(0)
            with contextlib.suppress(BlockingIOError):
                while True:
                    listener.accept()[0].close()
                    self.connections += 1
        return self.connections

    def close(self) -> None:
        for listener in self._sockets:
            listener.close()


@contextlib.contextmanager
def full_listener(address: str) -> Iterator[int]:
    """The port of a host that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server((address, 0), backlog=0))
        port: int = listener.getsockname()[1]
        stack.enter_context(socket.create_connection((address, port)))
        yield port


@contextlib.contextmanager
def closed_port(address: str) -> Iterator[int]:
    """A port where nobody listens, and nobody else can either."""
    with socket.socket() as taken:
        taken.bind((address, 0))
        yield taken.getsockname()[1]
