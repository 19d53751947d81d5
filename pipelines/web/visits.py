"""How a row gets to ask a host: robots.txt first, then its turn, then the exchange itself.

What is remembered of the hosts belongs to a run and a process. Beam's threads come and go, so it is
found by the run's name; a download that belongs to no run keeps to the manners on its own.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace

from urllib3.response import BaseHTTPResponse

from pipelines.fetch_options import FetchOptions
from pipelines.web.addresses import read_guard
from pipelines.web.connections import exchange, place_of
from pipelines.web.hosts import Hosts, Pause
from pipelines.web.robots import Robots

_MAX_RUNS = 16


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Visit:
    """One row's way to its hosts."""

    options: FetchOptions
    hosts: Hosts
    robots: Robots
    pause: Pause = nullcontext
    """Entered while the row only waits, so that another may go on."""
    moved: Callable[[], None] = _nothing
    """Called whenever bytes have come."""

    @contextmanager
    def get(
        self, uri: str, headers: Mapping[str, str], deadline: float
    ) -> Iterator[BaseHTTPResponse]:
        """Ask for a URI when its host allows it; the body is unread, the line is cut at the end.

        Raises:
            HttpTrouble: as `exchange`; `robots_disallowed`, `host_failing`, `busy`.
        """
        self._ask_robots(uri, deadline)
        with self._send(uri, headers, deadline) as response:
            yield response

    @contextmanager
    def turn(self, uri: str, deadline: float) -> Iterator[None]:
        """The block asks for a URI in another way; it begins when the host allows it.

        Raises:
            HttpTrouble: `robots_disallowed`, `host_failing`, `busy` ..., and nothing was asked.
        """
        self._ask_robots(uri, deadline)
        with self.hosts.turn(place_of(uri), deadline, self.pause):
            yield

    def _ask_robots(self, uri: str, deadline: float) -> None:
        if self.options.robots_txt:
            self.robots.check(uri, deadline, (self._send_for_robots, self.hosts, self.pause))

    @contextmanager
    def _send(
        self, uri: str, headers: Mapping[str, str], deadline: float
    ) -> Iterator[BaseHTTPResponse]:
        guard = read_guard(self.options.allow_addresses, self.options.connect_to)
        with (
            self.hosts.turn(place_of(uri), deadline, self.pause),
            exchange(
                uri, headers, guard=guard, deadline=deadline, idle_s=self.options.idle_s
            ) as response,
        ):
            yield response

    @contextmanager
    def _send_for_robots(self, uri: str, deadline: float) -> Iterator[BaseHTTPResponse]:
        headers = {"User-Agent": self.options.user_agent, "Accept-Encoding": "identity"}
        with self._send(uri, headers, deadline) as response:
            yield response


_current: ContextVar[Visit | None] = ContextVar("visit", default=None)
_runs: OrderedDict[tuple[str, FetchOptions], tuple[Hosts, Robots]] = OrderedDict()
_lock = threading.Lock()


def visit_of(run: str, options: FetchOptions) -> Visit:
    """The way to what this process remembers of a run's hosts; it keeps that of 16 runs."""
    with _lock:
        known = _runs.get((run, options))
        if known is None:
            known = _runs[run, options] = Hosts(options), Robots(options)
        _runs.move_to_end((run, options))
        while len(_runs) > _MAX_RUNS:
            _runs.popitem(last=False)
    return Visit(options, *known)


@contextmanager
def visiting(visit: Visit) -> Iterator[None]:
    """Let the downloads of this thread go by a visit while the block runs."""
    token = _current.set(visit)
    try:
        yield
    finally:
        _current.reset(token)


def current_visit(options: FetchOptions) -> Visit:
    """The visit of the block around, with a download's own options; else one of its own."""
    visit = _current.get()
    if visit is None:
        return Visit(options, Hosts(options), Robots(options))
    return replace(visit, options=options)
