"""When each host may be asked again: the manners of one worker process.

Every request to a host passes here, so that all threads of a process together keep to so many at
once and so far apart, heed what a host that is overloaded asks for, and leave alone one that fails
all the time. Another process knows nothing of it: on a cluster the limits hold per worker.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble

KNOWN_HOSTS = 4096
_BRAKE_S = 1.0
_MAX_BRAKE_S = 60.0
_PROBE_S = 60.0
_DENIALS = 3
# What says that something is wrong with the host, not with one video.
_FAILURES = frozenset(
    {
        Reason.BUSY,
        Reason.UNREACHABLE,
        Reason.TIMEOUT,
        Reason.BROKEN_SERVER,
        Reason.TRUNCATED,
    }
)

Pause = Callable[[], AbstractContextManager[None]]


@dataclass
class _Host:
    """What is known of one host; moments are those of the monotonic clock."""

    gap_s: float
    rows: int = 0
    requests: int = 0
    is_met: bool = False
    """A request came to its end, whatever end."""
    next_row: float = 0.0
    next_request: float = 0.0
    braked_until: float = 0.0
    brakes: int = 0
    denials: int = 0
    failures: int = 0
    sick_since: float | None = None
    last_reason: str = ""
    closed_until: float | None = None
    """Set once it failed too often, until it has answered a probe."""

    def recover(self) -> None:
        self.failures = self.denials = self.brakes = 0
        self.sick_since = self.closed_until = None

    def brake(self, now: float, asked_s: float) -> None:
        if now >= self.braked_until:  # Else: an answer to a request of before the brake.
            self.brakes += 1
        wait_s = asked_s or min(_MAX_BRAKE_S, _BRAKE_S * 2 ** min(self.brakes - 1, 16))
        self.braked_until = max(self.braked_until, now + wait_s)


class Hosts:
    """The hosts of one run, as this process knows them.

    Safe to use from any thread. Remembers the 4,096 hosts that were asked last, and forgets the
    state of those before them.
    """

    def __init__(self, options: FetchOptions) -> None:
        self.changed = threading.Condition()
        """Held while anything is looked up; told of everything that may let somebody go on."""
        self._options = options
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    def enter(self, place: str, patience_s: float) -> float:
        """Begin a row of a host if it may begin now: then 0, and `leave` must follow.

        Otherwise the seconds after which to ask again; infinite if that is when `changed` tells.
        The first row of a host goes ahead alone, for what it learns there may slow down the rest.

        Raises:
            HttpTrouble: `busy` or `host_failing`: its rows are not to be waited with.
        """
        with self.changed:
            host, now = self._host(place), time.monotonic()
            if host.closed_until is not None and now < host.closed_until:
                raise self._failing(host)
            sick_s = host.braked_until - (now if host.sick_since is None else host.sick_since)
            if host.braked_until > now and sick_s > patience_s:
                raise _put_off()
            wait_s = self.wait_s(place)
            if self.is_full(place):
                return math.inf
            if wait_s > 0:
                return wait_s
            host.rows += 1
            host.next_row = now + host.gap_s
            return 0.0

    def is_full(self, place: str) -> bool:
        """Whether no row of a host may begin before one of them leaves it."""
        with self.changed:
            host = self._host(place)
            return host.rows >= (self._options.downloads_per_host if host.is_met else 1)

    def leave(self, place: str) -> None:
        """End a row that was begun, as far as its host is concerned."""
        with self.changed:
            self._host(place).rows -= 1
            self.changed.notify_all()

    @contextmanager
    def turn(self, place: str, deadline: float, pause: Pause) -> Iterator[None]:
        """Wait until a request to a host may be made, and learn from how the block goes.

        Waits inside of `pause`, so that the caller can give others its place meanwhile.

        Raises:
            HttpTrouble: `host_failing`, `busy` or `timeout`, and then no request was made.
        """
        while (wait_s := self._begin(place, deadline)) > 0:
            with pause(), self.changed:
                if self._begin_wait_s(place) > 0:
                    self.changed.wait(min(wait_s, max(0.0, deadline - time.monotonic())))
        try:
            yield
        except HttpTrouble as trouble:
            self._end(place, trouble)
            raise
        except BaseException:
            self._end(place, None, learn=False)
            raise
        else:
            self._end(place, None)

    def brake_s(self, place: str) -> float:
        """How long a host is still to be left alone."""
        with self.changed:
            return max(0.0, self._host(place).braked_until - time.monotonic())

    def wait_s(self, place: str) -> float:
        """How long no row of a host may begin, were there no others."""
        with self.changed:
            host = self._host(place)
            soonest = max(host.next_row, host.next_request, host.braked_until)
            return soonest - time.monotonic()

    def slow_down(self, place: str, gap_s: float) -> None:
        """Keep a host's requests further apart than the options ask for."""
        with self.changed:
            host = self._host(place)
            longer_s = max(host.gap_s, gap_s) - host.gap_s
            host.gap_s += longer_s
            host.next_request += longer_s
            host.next_row += longer_s

    def _begin(self, place: str, deadline: float) -> float:
        """Take the turn (0), or say how long there is none."""
        with self.changed:
            host, now = self._host(place), time.monotonic()
            if host.closed_until is not None and now < host.closed_until:
                raise self._failing(host)
            if now >= deadline:
                raise _unasked(Reason.TIMEOUT, "the host's other videos left it no time")
            if host.braked_until >= deadline:
                raise _put_off()
            wait_s = self._begin_wait_s(place)
            if wait_s > 0:
                return wait_s
            if host.closed_until is not None:
                host.closed_until = now + _PROBE_S
            host.requests += 1
            host.next_request = now + host.gap_s
            return 0.0

    def _begin_wait_s(self, place: str) -> float:
        host = self._host(place)
        if host.requests >= self._options.downloads_per_host:
            return math.inf
        return max(host.next_request, host.braked_until) - time.monotonic()

    def _end(self, place: str, trouble: HttpTrouble | None, *, learn: bool = True) -> None:
        with self.changed:
            host = self._host(place)
            host.requests -= 1
            if learn:
                host.is_met = True
                self._learn(host, trouble)
            self.changed.notify_all()

    def _learn(self, host: _Host, trouble: HttpTrouble | None) -> None:
        if trouble is not None and not trouble.asked:
            return
        denied = trouble is not None and trouble.status == 403
        if trouble is None or not (denied or trouble.reason in _FAILURES):
            host.recover()
            return
        host.denials += denied
        if denied and host.denials < _DENIALS:
            return
        now = time.monotonic()
        host.failures += 1
        host.last_reason = trouble.reason
        if host.sick_since is None:
            host.sick_since = now
        if denied or trouble.reason == Reason.BUSY:
            host.brake(now, trouble.after_s)
        if host.failures >= self._options.host_failures:
            host.closed_until = now + _PROBE_S

    def _failing(self, host: _Host) -> HttpTrouble:
        times = self._options.host_failures
        said = f"its host failed {times} times or more in a row; the last time: {host.last_reason}"
        return _unasked(Reason.HOST_FAILING, said)

    def _host(self, place: str) -> _Host:
        host = self._hosts.get(place)
        if host is None:
            self._forget()
            host = self._hosts[place] = _Host(self._options.host_gap_s)
        self._hosts.move_to_end(place)
        return host

    def _forget(self) -> None:
        """Make room for one more, if there is a host that nothing is under way to."""
        if len(self._hosts) < KNOWN_HOSTS:
            return
        idle = (name for name, host in self._hosts.items() if not host.rows + host.requests)
        name = next(idle, None)
        if name is not None:
            del self._hosts[name]


def _put_off() -> HttpTrouble:
    return _unasked(Reason.BUSY, "its host is to be left alone for longer than fetch.deadline_s")


def _unasked(reason: Reason, said: str) -> HttpTrouble:
    return HttpTrouble(reason, said, later=True, asked=False)
