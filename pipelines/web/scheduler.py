"""Which row is fetched next: one whose host may be asked now, so that no host holds up another.

Within a unit the rows of other hosts go first; a unit that has none left lets the next unit begin.
What waits for a host that is slow counts like what waits for one that is braked: much of the web
answers late, or never, and a unit would else be nothing but that after a while.
"""

import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, Generic, TypeVar

from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble
from pipelines.web.hosts import Hosts

Result = TypeVar("Result")
_NO_HOST = ""
MAX_UNITS = 8
# An engine works at one bundle a core, and a decoder has one thread: a second one fills the core
# while the first waits for the disk, and more would only take memory.
_DECODERS = 2
_LONG_S = 0.2
# Without a block (64 KiB) for so long, a download takes next to nothing of the machine's own line.
_SLOW_S = 2.0


class Lane:
    """What one bundle works through: units one after the other, but for those that only wait.

    At most eight are begun at once: a kill costs what is begun. They share the machine.
    """

    def __init__(self, options: FetchOptions) -> None:
        self.options = options
        self.machine = threading.Semaphore(min(options.downloads_per_unit, _DECODERS))
        self._changed = threading.Condition()
        self._begun = 0
        self._busy = 0
        self._schedules: list[Schedule[Any]] = []

    @contextmanager
    def unit(self) -> Iterator[None]:
        """The block is a unit that has entered."""
        try:
            yield
        finally:
            self._count(-1, -1)

    def enter(self) -> None:
        """Wait until a unit may begin, and count it; `unit` must follow."""
        with self._changed:
            self._changed.wait_for(lambda: self._busy == 0 and self._begun < MAX_UNITS)
            self._count(1, 1)

    @contextmanager
    def idle(self) -> Iterator[None]:
        """The block of a unit that only waits for hosts."""
        self._count(0, -1)
        try:
            yield
        finally:
            self._count(0, 1)

    @contextmanager
    def listed(self, schedule: "Schedule[Any]") -> Iterator[None]:
        """The block runs the schedule of a unit, which goes before those that are listed later."""
        self._schedules.append(schedule)
        try:
            yield
        finally:
            self._schedules.remove(schedule)

    def has_earlier(self, schedule: "Schedule[Any]", place: str) -> bool:
        """Whether a unit before this one is about to begin a row of a host.

        What was begun first is to end first: a kill costs what has not ended.
        """
        earlier = itertools.takewhile(lambda one: one is not schedule, tuple(self._schedules))
        return any(one.would_begin(place) for one in earlier)

    def _count(self, begun: int, busy: int) -> None:
        with self._changed:
            self._begun += begun
            self._busy += busy
            self._changed.notify_all()


class Seat:
    """The place of a row that was begun, which it gives up while it only waits."""

    def __init__(self, schedule: "Schedule", place: str) -> None:
        self._schedule = schedule
        self._place = place
        self._moved = time.monotonic()

    def moved(self) -> None:
        """A block has come."""
        self._moved = time.monotonic()

    def slow_in_s(self) -> float:
        """When the row is to count as one that only waits; infinite once its host has been left."""
        if self._place == _NO_HOST:
            return math.inf
        return self._moved + _SLOW_S - time.monotonic()

    def leave_host(self) -> None:
        """Let the next of the host's rows begin; a second time does nothing."""
        if self._place != _NO_HOST:
            self._schedule.hosts.leave(self._place)
            self._place = _NO_HOST

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Wait in the block: another row may begin instead."""
        self._schedule.vacate(self)
        try:
            yield
        finally:
            self.moved()
            self._schedule.take(self)

    @contextmanager
    def working(self) -> Iterator[None]:
        """The part of the work that takes the machine's own time: so many at once, never more."""
        with self._schedule.machine:
            yield


class Schedule(Generic[Result]):
    """The rows of one unit, in the order that their hosts allow.

    `work(number, seat)` runs in a thread of its own, as many at a time as `downloads_per_unit`, not
    counting those that pause and downloads that are slow. `put_off(number, trouble)` gives the
    result of a row whose host is not to be waited for. At most one thread a row.
    """

    def __init__(
        self,
        hosts: Hosts,
        lane: Lane,
        work: Callable[[int, Seat], Result],
        put_off: Callable[[int, HttpTrouble], Result],
    ) -> None:
        self.hosts = hosts
        self.machine = lane.machine
        self._lane = lane
        self._options = lane.options
        self._do = work
        self._put_off = put_off
        self._queues: dict[str, deque[int]] = {}
        self._results: dict[int, Result] = {}
        self._taken: set[Seat] = set()
        self._not_done = 0
        self._has_failed = False

    def run(self, places: Sequence[str | None]) -> list[Result]:
        """Every row's result, in their order, given the host of each (None: it needs none).

        If the work raises, no further row begins, and the first error in their order is raised.
        """
        for number, place in enumerate(places):
            self._queues.setdefault(place or _NO_HOST, deque()).append(number)
        futures: dict[int, Future[Result]] = {}
        with self._lane.listed(self), ThreadPoolExecutor(max(1, len(places))) as pool:
            while (begun := self._await_next()) is not None:
                number, seat = begun
                futures[number] = pool.submit(self._work, number, seat)
            self._await_end()
        for number in sorted(futures):
            self._results[number] = futures[number].result()
        return [self._results[number] for number in range(len(places))]

    def take(self, seat: Seat) -> None:
        """A row is under way."""
        with self.hosts.changed:
            self._taken.add(seat)
            self.hosts.changed.notify_all()

    def vacate(self, seat: Seat) -> None:
        """A row only waits, or is done."""
        with self.hosts.changed:
            self._taken.discard(seat)
            self.hosts.changed.notify_all()

    def would_begin(self, place: str) -> bool:
        """Whether a row of a host begins here as soon as the host allows it."""
        return place in self._queues and self._has_room() and not self._has_failed

    def _work(self, number: int, seat: Seat) -> Result:
        try:
            return self._do(number, seat)
        except BaseException:
            self._has_failed = True
            raise
        finally:
            seat.leave_host()
            with self.hosts.changed:
                self._not_done -= 1
                self.vacate(seat)

    def _await_next(self) -> tuple[int, Seat] | None:
        with self.hosts.changed:
            while self._queues and not self._has_failed:
                wait_s = math.inf
                if self._has_room():
                    begun, wait_s = self._pick()
                    if begun is not None:
                        self._not_done += 1
                        self.take(begun[1])
                        return begun
                if self._queues:
                    self._wait(wait_s)
        return None

    def _await_end(self) -> None:
        with self.hosts.changed:
            while self._not_done:
                self._wait(math.inf)

    def _wait(self, wait_s: float) -> None:
        soonest_s = min([wait_s, *(left for left in self._slow_in_s() if left > 0)])
        with self._lane.idle() if self._only_waits() else nullcontext():
            self.hosts.changed.wait(None if soonest_s == math.inf else soonest_s)

    def _only_waits(self) -> bool:
        """Whether nothing that would be done here is held up by anything but hosts."""
        if any(place == _NO_HOST for place in self._queues):
            return False
        soon = [place for place in self._queues if self.hosts.wait_s(place) <= _LONG_S]
        if self._queues and not soon:
            return True
        return not self._under_way() and all(self.hosts.is_full(place) for place in soon)

    def _has_room(self) -> bool:
        return self._under_way() < self._options.downloads_per_unit

    def _under_way(self) -> int:
        return sum(left > 0 for left in self._slow_in_s())

    def _slow_in_s(self) -> list[float]:
        return [seat.slow_in_s() for seat in self._taken]

    def _pick(self) -> tuple[tuple[int, Seat] | None, float]:
        """The next row that may begin, or how long there is none."""
        soonest_s = math.inf
        for place in list(self._queues):
            try:
                wait_s = self._enter(place)
            except HttpTrouble as trouble:
                for number in self._queues.pop(place):
                    self._results[number] = self._put_off(number, trouble)
                continue
            if wait_s == 0:
                return (self._take(place), Seat(self, place)), 0.0
            soonest_s = min(soonest_s, wait_s)
        return None, soonest_s

    def _enter(self, place: str) -> float:
        if self._lane.has_earlier(self, place):
            return math.inf
        if place == _NO_HOST:
            return 0.0
        return self.hosts.enter(place, self._options.deadline_s)

    def _take(self, place: str) -> int:
        queue = self._queues.pop(place)
        number = queue.popleft()
        if queue:
            self._queues[place] = queue  # At the end: the other hosts come first now.
        return number
