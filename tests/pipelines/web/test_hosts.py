"""Hosts in real time: bounds are generous, for machines may be busy."""

import math
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import pytest

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web import hosts
from pipelines.web.connections import HttpTrouble
from pipelines.web.hosts import Hosts

A, B = "a.test:80", "b.test:80"


def make(**more: object) -> Hosts:
    given = {"host_gap_s": 0.0, "deadline_s": 60.0, **more}
    return Hosts(FetchOptions(**given))  # type: ignore[arg-type]


def turn(known: Hosts, place: str = A, within_s: float = 10.0) -> AbstractContextManager[None]:
    return known.turn(place, time.monotonic() + within_s, nullcontext)


def fail(
    known: Hosts, reason: Reason, *, status: int = 0, after_s: float = 0.0, asked: bool = True
) -> None:
    trouble = HttpTrouble(reason, "as told", asked=asked)
    trouble.status, trouble.after_s = status, after_s
    with pytest.raises(HttpTrouble, match="as told"), turn(known):
        raise trouble


def met(known: Hosts, place: str = A) -> Hosts:
    with turn(known, place):
        pass
    return known


def refusal(known: Hosts, patience_s: float = 60.0) -> HttpTrouble:
    with pytest.raises(HttpTrouble) as entering:
        known.enter(A, patience_s)
    with pytest.raises(HttpTrouble) as asking, turn(known, within_s=patience_s):
        pass
    assert entering.value.reason == asking.value.reason
    assert entering.value.later and not entering.value.asked and not asking.value.asked
    return entering.value


def test_rows_of_a_host_begin_up_to_the_limit_and_other_hosts_do_not_care():
    known = met(met(make(downloads_per_host=2)), B)
    assert [known.enter(A, 60.0) for _ in range(3)] == [0.0, 0.0, math.inf]
    assert known.enter(B, 60.0) == 0.0
    known.leave(A)
    assert known.enter(A, 60.0) == 0.0


def test_the_first_row_of_a_host_goes_ahead_alone():
    known = make(downloads_per_host=8)
    assert [known.enter(A, 60.0), known.enter(A, 60.0)] == [0.0, math.inf]
    met(known)
    assert known.enter(A, 60.0) == 0.0


def test_requests_of_many_threads_keep_to_the_limit_and_the_gap():
    known = make(downloads_per_host=2, host_gap_s=0.1)
    lock, under_way, most, starts = threading.Lock(), [0], [0], []

    def ask(_: int) -> None:
        with turn(known):
            with lock:
                starts.append(time.monotonic())
                under_way[0] += 1
                most[0] = max(most[0], under_way[0])
            time.sleep(0.15)
            with lock:
                under_way[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(12)))
    assert most == [2]
    starts.sort()
    # A start is taken down a little later than it was allowed, by more or by less.
    assert all(start - starts[0] >= number * 0.1 - 0.2 for number, start in enumerate(starts))


def test_a_row_that_waits_for_its_turn_pauses():
    known = met(make(host_gap_s=0.2))
    paused = []

    class Pause:
        def __enter__(self) -> None:
            paused.append(time.monotonic())

        def __exit__(self, *_: object) -> None:
            paused.append(time.monotonic())

    with known.turn(A, time.monotonic() + 10, Pause):
        assert len(paused) >= 2 and paused[-1] - paused[0] > 0.05


def test_a_turn_that_does_not_come_in_time_is_no_request():
    known = make(downloads_per_host=1)
    with turn(known):
        with pytest.raises(HttpTrouble) as caught, turn(known, within_s=0.1):
            pass
        assert caught.value.reason == Reason.TIMEOUT and caught.value.later
        assert not caught.value.asked


@pytest.mark.parametrize(("asked_s", "low", "high"), [(30.0, 25.0, 30.0), (0.0, 0.1, 1.0)])
def test_a_busy_host_is_left_alone_for_as_long_as_it_asks_or_a_second(asked_s, low, high):
    known = make()
    fail(known, Reason.BUSY, status=503, after_s=asked_s)
    assert low < known.brake_s(A) <= high
    assert low < known.enter(A, 60.0) <= high
    assert known.brake_s(B) == 0.0 and known.enter(B, 60.0) == 0.0


def test_without_a_time_the_brake_doubles_up_to_a_minute(monkeypatch):
    monkeypatch.setattr(hosts, "_BRAKE_S", 0.05)
    monkeypatch.setattr(hosts, "_MAX_BRAKE_S", 0.15)
    known, seen = make(host_failures=100), []
    for _ in range(5):
        fail(known, Reason.BUSY, status=429)
        seen.append(known.brake_s(A))
    assert 0 < seen[0] <= 0.05 < seen[1] <= 0.1 < seen[2] <= 0.15
    assert max(seen) <= 0.15
    met(known)
    fail(known, Reason.BUSY, status=429)
    assert known.brake_s(A) <= 0.05


def test_a_row_is_not_to_wait_longer_than_its_deadline():
    known = make()
    fail(known, Reason.BUSY, status=503, after_s=3600.0)
    assert refusal(known, 10.0).reason == Reason.BUSY
    assert known.enter(A, 4000.0) > 3500


def test_three_refusals_in_a_row_brake_and_fewer_do_not():
    known = make()
    for _ in range(2):
        fail(known, Reason.DENIED, status=403)
    assert known.brake_s(A) == 0.0
    fail(known, Reason.GONE, status=404)
    for _ in range(2):
        fail(known, Reason.DENIED, status=403)
    assert known.brake_s(A) == 0.0
    fail(known, Reason.DENIED, status=403)
    assert known.brake_s(A) > 0.0


@pytest.mark.parametrize(
    "reason",
    [Reason.BUSY, Reason.UNREACHABLE, Reason.TIMEOUT, Reason.BROKEN_SERVER, Reason.TRUNCATED],
)
def test_a_host_that_fails_all_the_time_is_given_up(monkeypatch, reason):
    monkeypatch.setattr(hosts, "_BRAKE_S", 0.001)
    known = make(host_failures=4)
    for _ in range(3):
        fail(known, reason)
    assert known.enter(A, 60.0) < 1
    fail(known, reason)
    trouble = refusal(known)
    assert trouble.reason == Reason.HOST_FAILING
    assert trouble.detail == (
        f"its host failed 4 times or more in a row; the last time: {reason.value}"
    )
    assert known.enter(B, 60.0) == 0.0


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.OPTED_OUT, Reason.TOO_LARGE, Reason.DENIED])
def test_an_answer_about_one_video_says_that_the_host_works(reason):
    known = make(host_failures=2)
    for _ in range(3):
        fail(known, Reason.TIMEOUT)
        fail(known, reason)
    assert known.enter(A, 60.0) == 0.0


def test_what_was_never_asked_says_nothing():
    known = make(host_failures=2)
    fail(known, Reason.TIMEOUT)
    fail(known, Reason.DENIED_ADDRESS, asked=False)
    fail(known, Reason.TIMEOUT)
    assert refusal(known).reason == Reason.HOST_FAILING


def test_after_a_while_one_probe_decides(monkeypatch):
    monkeypatch.setattr(hosts, "_PROBE_S", 0.3)
    known = make(host_failures=1)
    fail(known, Reason.TIMEOUT)
    assert refusal(known).reason == Reason.HOST_FAILING
    time.sleep(0.35)
    fail(known, Reason.TIMEOUT)
    assert refusal(known).reason == Reason.HOST_FAILING
    time.sleep(0.35)
    with turn(known):
        assert refusal(known).reason == Reason.HOST_FAILING  # While the probe is under way.
    met(known)
    assert known.enter(A, 60.0) == 0.0


def test_an_error_of_our_own_frees_the_turn_and_teaches_nothing():
    known = make(downloads_per_host=1, host_failures=1)
    with pytest.raises(ZeroDivisionError), turn(known):
        raise ZeroDivisionError
    met(known)
    assert known.enter(A, 60.0) == 0.0


def test_a_host_may_ask_to_be_left_more_time():
    known = met(make(host_gap_s=0.1))
    known.slow_down(A, 20.0)
    known.slow_down(A, 5.0)
    assert 15 < known.enter(A, 60.0) <= 20


def test_only_so_many_hosts_are_remembered_and_those_in_use_always(monkeypatch):
    monkeypatch.setattr(hosts, "KNOWN_HOSTS", 4)
    known = make()
    fail(known, Reason.BUSY, after_s=30.0)
    assert known.enter("used.test:80", 60.0) == 0.0
    for number in range(8):
        met(known, f"{number}.test:80")
    assert known.brake_s(A) == 0.0
    assert known.enter("used.test:80", 60.0) == math.inf
