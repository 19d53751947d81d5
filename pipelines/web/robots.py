"""What the robots.txt of each host allows us (RFC 9309), asked for once.

The file is written by strangers, like everything else: it may be of any size, a web page, or noise.
At most its first 500 KiB are read, as the RFC has it. Lines that are no rules mean nothing.
"""

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from protego import Protego
from urllib3.response import BaseHTTPResponse

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.answers import product_token, status_trouble
from pipelines.web.connections import HttpTrouble, place_of, read_redirect, read_url
from pipelines.web.hosts import KNOWN_HOSTS, Hosts, Pause

_MAX_BYTES = 500 * 1024
_MAX_REDIRECTS = 5
_MAX_DELAY_S = 30.0
_PATIENCE_S = 30.0
_VALID_S = 24 * 3600.0
_CLOSED_S = 60.0
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING = frozenset(
    {
        Reason.BUSY,
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.BROKEN_SERVER,
        Reason.TRUNCATED,
    }
)
# Text of all rules that are remembered; parsed, they take up to fifty times as much.
_MAX_REMEMBERED = 8 * 1024 * 1024
_AGENT = re.compile(r"\s*user[\s-]*agent[\s:]*(?P<name>[\w*-]*)", re.IGNORECASE)

Send = Callable[[str, float], AbstractContextManager[BaseHTTPResponse]]
"""Asks for a URI before a deadline, in turn."""


@dataclass(frozen=True)
class Rules:
    """What one robots.txt says to one agent."""

    delay_s: float = 0.0
    """Least time between two requests that the host asks for, at most 30 s."""
    size: int = 0
    """Characters they were read from."""
    _parsed: Protego | None = None

    def allow(self, path: str) -> bool:
        """Whether a path of the host, with its query, may be asked for."""
        return self._parsed is None or bool(self._parsed.can_fetch(path, "us"))


def read_rules(body: bytes, agent: str) -> Rules:
    r"""The rules for an agent, by its name in lower case; the longest matching rule wins.

    >>> rules = read_rules(b"User-agent: *\nDisallow: /a/\nAllow: /a/b", "tagreel")
    >>> rules.allow("/a/1.mp4"), rules.allow("/a/b.mp4")
    (False, True)
    """
    text = body[:_MAX_BYTES].decode("utf-8-sig", "replace")
    if len(body) >= _MAX_BYTES:
        text = text[: text.rfind("\n") + 1]  # Half a rule would forbid more than the whole.
    # A file with many agents and many rules is their product once parsed; only two of them matter.
    ours = "\n".join(_rename(line, agent) for line in text.splitlines())
    parsed = Protego.parse(ours)
    delay_s = min(parsed.crawl_delay("us") or 0.0, _MAX_DELAY_S)
    return Rules(delay_s, len(ours), parsed)


def _rename(line: str, agent: str) -> str:
    found = _AGENT.match(line)
    if found is None:
        return line
    name = found["name"].lower()
    return f"User-agent: {'us' if name == agent else '*' if name == '*' else 'others'}"


@dataclass
class _Entry:
    """What is known of one origin; the lock is held by the thread that asks."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    rules: Rules | None = None
    until: float = 0.0
    failures: int = 0
    trouble: HttpTrouble | None = None


class Robots:
    """The robots.txt of the hosts of one run, as this process knows them.

    Remembers the 4,096 that were asked for last, fewer if they are large, each for a day. One that
    cannot be had forbids everything for the time being; after `max_tries` failures in a row it is
    asked for once a minute.
    """

    def __init__(self, options: FetchOptions) -> None:
        self._agent = product_token(options.user_agent)
        self._max_failures = options.max_tries
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = threading.Lock()

    def check(self, uri: str, deadline: float, visit: tuple[Send, Hosts, Pause]) -> None:
        """Return if the host of a URI allows it to us; ask its robots.txt if that is not known.

        Raises:
            HttpTrouble: `robots_disallowed`, or robots.txt itself could not be had.
        """
        send, hosts, pause = visit
        url, place = read_url(uri), place_of(uri)
        rules = self._rules(f"{url.scheme}://{place}", deadline, (send, pause))
        if rules.delay_s:
            hosts.slow_down(place, rules.delay_s)
        if not rules.allow(url.request_uri):
            raise _unasked(Reason.ROBOTS, "robots.txt does not allow it to us")

    def _rules(self, origin: str, deadline: float, visit: tuple[Send, Pause]) -> Rules:
        send, pause = visit
        entry = self._entry(origin)
        if entry.rules is not None and time.monotonic() < entry.until:
            return entry.rules
        with _held(entry.lock, deadline, pause):
            now = time.monotonic()
            if now < entry.until:  # Another thread has asked meanwhile.
                if entry.trouble is not None:
                    raise _known(entry.trouble)
                if entry.rules is not None:
                    return entry.rules
            return self._ask(entry, origin, min(deadline, now + _PATIENCE_S), send)

    def _ask(self, entry: _Entry, origin: str, deadline: float, send: Send) -> Rules:
        try:
            body = read_robots(f"{origin}/robots.txt", deadline, send)
        except HttpTrouble as trouble:
            raise self._failed(entry, trouble) from trouble
        entry.failures, entry.trouble = 0, None
        entry.until = time.monotonic() + _VALID_S
        entry.rules = Rules() if body is None else read_rules(body, self._agent)
        self._forget()
        return entry.rules

    def _failed(self, entry: _Entry, trouble: HttpTrouble) -> HttpTrouble:
        """The trouble as that of a video that waits for robots.txt."""
        if trouble.reason not in _PASSING:
            return trouble
        reason = Reason.BROKEN_SERVER if trouble.reason == Reason.TRUNCATED else trouble.reason
        # A name that does not exist will not do so for the video either: no need to try again.
        later = trouble.again or trouble.later or reason != Reason.UNREACHABLE
        said = HttpTrouble(
            reason, f"robots.txt: {trouble.detail}", again=trouble.again, later=later
        )
        said.after_s, said.asked = trouble.after_s, trouble.asked
        if not trouble.asked:
            return said
        entry.rules = None
        entry.failures += 1
        if entry.failures >= self._max_failures or not later:
            said.again = False
            entry.trouble = said
            entry.until = time.monotonic() + max(_CLOSED_S, said.after_s)
        return said

    def _entry(self, origin: str) -> _Entry:
        with self._lock:
            entry = self._entries.setdefault(origin, _Entry())
            self._entries.move_to_end(origin)
            return entry

    def _forget(self) -> None:
        """Make room for more."""
        with self._lock:
            sizes = [entry.rules.size if entry.rules else 0 for entry in self._entries.values()]
            left, total = len(sizes), sum(sizes)
            for size in sizes[:-1]:
                if left <= KNOWN_HOSTS and total <= _MAX_REMEMBERED:
                    break
                self._entries.popitem(last=False)
                left, total = left - 1, total - size


def read_robots(uri: str, deadline: float, send: Send) -> bytes | None:
    """The first 500 KiB of a robots.txt; None if there is none, which allows everything.

    Raises:
        HttpTrouble: the host does not say: `busy`, `broken_server`, `unreachable`, `timeout`, or
            `truncated`; or the first address is not one to ask.
    """
    here = uri
    for hop in range(_MAX_REDIRECTS + 1):
        try:
            with send(here, deadline) as response:
                location = response.headers.get("Location")
                if response.status not in _REDIRECTS or location is None:
                    return _body(response)
        except HttpTrouble as trouble:
            if hop and trouble.reason == Reason.DENIED_ADDRESS:
                return None
            trouble.asked |= hop > 0
            raise
        try:
            here = read_redirect(here, location)
        except HttpTrouble:
            return None  # It leads nowhere: as good as none.
    return None


def _body(response: BaseHTTPResponse) -> bytes | None:
    status = response.status
    if 200 <= status < 300:
        # Never more than asked for, whatever it was compressed from.
        return bytes(response.read(_MAX_BYTES, decode_content=True))
    if status == 429 or status >= 500:
        raise status_trouble(status, response.headers)
    return None


@contextmanager
def _held(lock: threading.Lock, deadline: float, pause: Pause) -> Iterator[None]:
    if not lock.acquire(blocking=False):
        with pause():
            held = lock.acquire(timeout=max(0.0, deadline - time.monotonic()))
        if not held:
            raise _unasked(Reason.TIMEOUT, "robots.txt: not there in time")
    try:
        yield
    finally:
        lock.release()


def _known(trouble: HttpTrouble) -> HttpTrouble:
    """The trouble that another thread met."""
    return HttpTrouble(trouble.reason, trouble.detail, later=trouble.later, asked=False)


def _unasked(reason: Reason, said: str) -> HttpTrouble:
    return HttpTrouble(reason, said, later=reason != Reason.ROBOTS, asked=False)
