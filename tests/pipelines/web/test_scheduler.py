import contextlib
import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web import scheduler
from pipelines.web.connections import HttpTrouble
from pipelines.web.hosts import Hosts
from pipelines.web.scheduler import Lane, Schedule, Seat


class Unit:
    """Rows whose work is a function; the moments at which they began and ended."""

    def __init__(self, **more: object) -> None:
        given = {"host_gap_s": 0.0, **more}
        self.options = FetchOptions(**given)  # type: ignore[arg-type]
        self.hosts = Hosts(self.options)
        self.begun: list[int] = []
        self.under_way: list[int] = [0]
        self._lock = threading.Lock()

    def met(self, *places: str) -> "Unit":
        for place in places:
            with self.hosts.turn(place, time.monotonic() + 9, lambda: pytest.fail("waits")):
                pass
        return self

    def run(self, places, work=lambda number, seat: None) -> list[str]:
        def do(number: int, seat: Seat) -> str:
            with self._lock:
                self.begun.append(number)
                self.under_way.append(self.under_way[-1] + 1)
            try:
                work(number, seat)
            finally:
                with self._lock:
                    self.under_way.append(self.under_way[-1] - 1)
            return f"row {number}"

        def put_off(number: int, trouble: HttpTrouble) -> str:
            return f"{number}: {trouble.reason}"

        return Schedule(self.hosts, Lane(self.options), do, put_off).run(places)


def rest(_number: int, _seat: Seat) -> None:
    time.sleep(0.05)


def brake(unit: Unit, place: str, after_s: float) -> None:
    trouble = HttpTrouble(Reason.BUSY, "as told")
    trouble.after_s = after_s
    with (
        pytest.raises(HttpTrouble),
        unit.hosts.turn(place, time.monotonic() + 9, lambda: pytest.fail("waits")),
    ):
        raise trouble


def test_no_rows_at_all():
    assert Unit().run([]) == []


def test_results_keep_the_order_of_the_rows_whoever_is_done_first():
    unit = Unit(downloads_per_unit=8)
    rows = unit.run([None] * 8, lambda number, _: time.sleep(0.02 * (8 - number)))
    assert rows == [f"row {number}" for number in range(8)]


def test_so_many_rows_are_under_way_at_once():
    unit = Unit(downloads_per_unit=3, downloads_per_host=9).met("a:80")
    unit.run(["a:80", None] * 6, rest)
    assert max(unit.under_way) == 3


def test_hosts_take_turns():
    unit = Unit(downloads_per_unit=1).met("a:80", "b:80")
    unit.run(["a:80"] * 3 + ["b:80"] * 3 + [None] * 3)
    assert unit.begun == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_a_host_has_so_many_rows_until_they_leave_it():
    unit = Unit(downloads_per_unit=9, downloads_per_host=2).met("a:80")
    unit.run(["a:80"] * 6, rest)
    assert max(unit.under_way) == 2
    unit = Unit(downloads_per_unit=9, downloads_per_host=2).met("a:80")

    def leave(_: int, seat: Seat) -> None:
        seat.leave_host()
        seat.leave_host()
        time.sleep(0.1)

    unit.run(["a:80"] * 6, leave)
    assert max(unit.under_way) > 2
    assert [unit.hosts.enter("a:80", 9.0) for _ in range(2)] == [0.0, 0.0]


def test_a_braked_host_holds_up_nobody_else():
    unit = Unit(downloads_per_unit=2).met("well:80")
    brake(unit, "sick:80", 1.0)
    started, ends = time.monotonic(), {}
    rows = unit.run(
        ["sick:80"] * 2 + ["well:80"] * 6,
        lambda number, _: ends.setdefault(number, time.monotonic() - started),
    )
    assert rows == [f"row {number}" for number in range(8)]
    assert unit.begun[:6] == [2, 3, 4, 5, 6, 7]
    assert max(ends[number] for number in range(2, 8)) < 0.6 < min(ends[0], ends[1])


def test_a_row_that_pauses_gives_others_its_place():
    unit = Unit(downloads_per_unit=1)
    told = threading.Event()

    def work(number: int, seat: Seat) -> None:
        if number == 0:
            with seat.pause():
                assert told.wait(10)
        else:
            told.set()

    assert unit.run([None, None], work) == ["row 0", "row 1"]


def test_downloads_that_bring_next_to_nothing_give_others_their_place(monkeypatch):
    monkeypatch.setattr(scheduler, "_SLOW_S", 0.1)
    unit = Unit(downloads_per_unit=2, downloads_per_host=9).met("slow:80", "fast:80")
    told = threading.Event()

    def work(number: int, _: Seat) -> None:
        if number < 2:
            assert told.wait(10)
        elif number == 5:
            told.set()

    places = ["slow:80"] * 2 + ["fast:80"] * 4
    assert unit.run(places, work) == [f"row {number}" for number in range(6)]


def test_a_download_is_slow_until_a_block_comes_and_nothing_else_ever_is(monkeypatch):
    unit = Unit().met("a:80")
    found = []

    def work(number: int, seat: Seat) -> None:
        monkeypatch.setattr(scheduler, "_SLOW_S", 0.0)
        slow = [seat.slow_in_s() <= 0]
        monkeypatch.setattr(scheduler, "_SLOW_S", 99.0)
        seat.moved()
        slow.append(seat.slow_in_s() <= 0)
        monkeypatch.setattr(scheduler, "_SLOW_S", 0.0)
        seat.leave_host()
        found.append([*slow, seat.slow_in_s() <= 0])

    for place in ("a:80", None):
        unit.run([place], work)
    assert found == [[True, False, False], [False, False, False]]


def test_a_unit_that_waits_for_a_slow_host_lets_the_next_one_begin_but_ends_first(monkeypatch):
    monkeypatch.setattr(scheduler, "_SLOW_S", 0.1)
    unit = Unit(downloads_per_unit=4, downloads_per_host=2).met("slow:80", "fast:80")
    lane = Lane(unit.options)
    gate = threading.Event()
    ended: list[str] = []

    def schedule(name: str, places: list[str]) -> None:
        def work(number: int, _: Seat) -> str:
            if places[number] == "slow:80":
                assert gate.wait(10)
                time.sleep(0.02)
            ended.append(f"{name} {places[number]}")
            return name

        with lane.unit():
            assert Schedule(unit.hosts, lane, work, lambda *_: "").run(places) == [name] * 6

    lane.enter()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(schedule, "first", ["slow:80"] * 6)
        lane.enter()  # While the first has not ended.
        second = pool.submit(schedule, "second", ["slow:80"] * 3 + ["fast:80"] * 3)
        while ended != ["second fast:80"] * 3:
            assert not first.done() and not second.done()
            time.sleep(0.01)
        gate.set()
        first.result(), second.result()
    assert ended[3:] == ["first slow:80"] * 6 + ["second slow:80"] * 3


def test_the_machine_is_not_overloaded_by_those_that_come_back():
    unit = Unit(downloads_per_unit=2)
    working, most = itertools.count(), []
    gate = threading.Barrier(6, timeout=10)
    count = threading.Semaphore(2)

    def work(_: int, seat: Seat) -> None:
        with seat.pause():
            gate.wait()
        with seat.working():
            most.append(count.acquire(blocking=False))
            time.sleep(0.05)
            count.release()
            next(working)

    unit.run([None] * 6, work)
    assert most == [True] * 6


def test_rows_of_a_host_that_is_not_to_be_waited_for_are_put_off():
    unit = Unit(deadline_s=5.0, host_failures=1)
    brake(unit, "failing:80", 0.1)
    unit.options = FetchOptions(deadline_s=5.0)
    rows = unit.run(["failing:80", None, "failing:80"])
    assert rows == ["0: host_failing", "row 1", "2: host_failing"]
    unit = Unit(deadline_s=5.0)
    brake(unit, "sick:80", 3600.0)
    assert unit.run(["sick:80", None]) == ["0: busy", "row 1"]


def test_an_error_stops_what_has_not_begun_and_is_raised():
    unit = Unit(downloads_per_unit=1)

    def work(number: int, _: Seat) -> None:
        if number == 2:
            raise ZeroDivisionError(number)

    with pytest.raises(ZeroDivisionError, match="2"):
        unit.run([None] * 9, work)
    assert unit.begun == [0, 1, 2]


def test_a_lane_takes_one_unit_at_a_time_but_for_those_that_wait():
    lane = Lane(FetchOptions())
    entered = []

    def enter() -> None:
        lane.enter()
        entered.append(True)

    def try_to_enter() -> threading.Thread:
        thread = threading.Thread(target=enter, daemon=True)
        thread.start()
        thread.join(0.2)
        return thread

    lane.enter()
    waiting = try_to_enter()
    assert entered == []
    with lane.idle():
        waiting.join(10)
        assert entered == [True]
    third = try_to_enter()
    for _ in range(2):
        with lane.unit():
            assert entered == [True]
    third.join(10)
    assert entered == [True, True]


def test_a_kill_costs_eight_units_at_most():
    lane = Lane(FetchOptions())
    with contextlib.ExitStack() as waiting:
        for _ in range(8):
            lane.enter()
            waiting.enter_context(lane.idle())
        ninth = threading.Thread(target=lane.enter, daemon=True)
        ninth.start()
        ninth.join(0.2)
        assert ninth.is_alive()
    for _ in range(8):
        with lane.unit():
            assert ninth.is_alive()
    ninth.join(10)
    assert not ninth.is_alive()
