import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import IterableDataset

from training.frames import VideoError
from training.workers import WorkerError, ahead, empty_bytes, losses_told, made_by, share


class Numbers(IterableDataset[torch.Tensor]):
    """What each worker makes: its numbers below 7, in memory that is handed over."""

    def __iter__(self):  # type: ignore[no-untyped-def]
        first, step = share()
        for number in range(first, 7, step):
            made = empty_bytes(3)
            made[:] = number
            yield made


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_workers_make_comes_in_the_order_of_one(workers: int) -> None:
    made = [tuple(part.tolist()) for part in made_by(Numbers(), workers, remote=False)]
    assert made == [(number,) * 3 for number in range(7)]


class Broken(IterableDataset[int]):
    """Four items that workers make in turns; the second worker fails at its second one."""

    def __init__(self, how: Callable[[], None]):
        self._how = how

    def __iter__(self):  # type: ignore[no-untyped-def]
        first, step = share()
        for number in range(first, 6, step):
            if number == 3:
                self._how()
            yield number


def damaged() -> None:
    raise VideoError("shard: clip c: damaged")


def enormous() -> None:
    np.empty(1 << 55, np.uint8)


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_what_a_worker_cannot_make_is_raised_in_its_turn_as_it_was(workers: int) -> None:
    items = made_by(Broken(damaged), workers, remote=False)
    assert [next(items) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(VideoError) as caught:
        next(items)
    assert str(caught.value) == "shard: clip c: damaged"


@pytest.mark.parametrize("workers", [0, 2])
def test_a_worker_that_lacks_memory_says_so(workers: int) -> None:
    items = made_by(Broken(enormous), workers, remote=False)
    with pytest.raises(MemoryError, match="Unable to allocate 32.0 PiB"):
        list(items)


def test_a_worker_that_is_killed_is_told_in_one_line() -> None:
    with pytest.raises(WorkerError, match=r"^DataLoader worker .*; where memory ended, fewer.*$"):
        list(made_by(Broken(killed), 2, remote=False))


def with_worker() -> tuple[BaseProcess, Iterator[torch.Tensor]]:
    """A worker that has made something, and what makes it go on."""
    others = set(multiprocessing.active_children())
    items = made_by(Numbers(), 1, remote=False)
    next(items)
    (worker,) = set(multiprocessing.active_children()) - others
    return worker, items


def test_a_worker_that_is_killed_while_nothing_is_asked_of_it_is_told_in_one_line() -> None:
    worker, _items = with_worker()

    @losses_told()
    def lose() -> None:
        worker.kill()
        threading.Event().wait(60)

    with pytest.raises(WorkerError, match=r"^DataLoader worker .* Killed.*; where memory ended"):
        lose()


ALL_ASKED = """
import signal, sys, threading
from tests.training.test_workers import Numbers
from training.workers import made_by
asked = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: asked.set())
items = made_by(Numbers(), 2, remote=sys.argv[1] == "remote")
print(next(items)[0].item(), flush=True)
asked.wait()
print([item[0].item() for item in items])
"""


@pytest.mark.parametrize("where", ["local", "remote"])
def test_workers_go_on_while_the_main_process_is_asked_to_end(where: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", ALL_ASKED, where],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "0\n"
        os.killpg(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=120)[0] == "[1, 2, 3, 4, 5, 6]\n"


def test_workers_end_when_the_main_process_asks() -> None:
    worker, _items = with_worker()
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0


def test_the_next_item_is_opened_while_one_is_used() -> None:
    begun = [threading.Event() for _ in range(3)]

    def open_(item: int) -> int:
        begun[item].set()
        return 10 * item

    for item, opened in ahead([0, 1, 2], open_):
        assert opened == 10 * item
        if item < 2:
            assert begun[item + 1].wait(10)
        assert not any(event.is_set() for event in begun[item + 2 :])


def test_what_fails_to_open_fails_when_its_turn_comes() -> None:
    def open_(item: int) -> int:
        return 1 // item

    items = ahead([2, 1, 0, 3], open_)
    assert [next(items), next(items)] == [(2, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(items)


def test_nothing_is_opened_where_there_is_nothing() -> None:
    assert list(ahead([], len)) == []
