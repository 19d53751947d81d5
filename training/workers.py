"""Who does which part of the work: worker processes, and a helper that runs ahead."""

import itertools
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from typing import TypeVar

import torch
from torch import Tensor, cuda
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from formats.shards import ShardError
from training.frames import VideoError

Item = TypeVar("Item")
Opened = TypeVar("Opened")


def share() -> tuple[int, int]:
    """Which items this process makes: the first, and the distance to its next."""
    worker = get_worker_info()
    return (0, 1) if worker is None else (worker.id, worker.num_workers)


def ahead(items: Sequence[Item], open_: Callable[[Item], Opened]) -> Iterator[tuple[Item, Opened]]:
    """Every item with what a function makes of it; the next one is begun while one is used."""
    with ThreadPoolExecutor(1) as helper:
        coming = [helper.submit(open_, item) for item in items[:1]]
        for item, following in itertools.zip_longest(items, items[1:]):
            opened = coming.pop().result()
            if following is not None:
                coming.append(helper.submit(open_, following))
            yield item, opened


class WorkerError(Exception):
    """A process that decodes is gone."""


def made_by(dataset: IterableDataset[Item], workers: int, remote: bool) -> Iterator[Item]:
    """What a dataset yields, made by worker processes; `remote` if they ask an object store.

    Raises:
        MemoryError, ShardError, VideoError: a worker met one, after all that comes before.
        WorkerError: a worker was killed, as where memory ends.
    """
    # Batches are made by the dataset: only so can they be the same for any number of workers.
    loader = DataLoader(
        _Telling(dataset),
        batch_size=None,
        num_workers=workers,
        pin_memory=cuda.is_available(),
        # The clients of object stores have threads, which a fork would leave behind.
        multiprocessing_context="forkserver" if remote and workers else None,
        worker_init_fn=partial(_obey, os.getpid()),
    )
    with losses_told():
        with _terminations_held() if workers else nullcontext():
            items = iter(loader)
        for item in items:
            if isinstance(item, _Trouble):
                raise item.error
            yield item


@contextmanager
def losses_told() -> Iterator[None]:
    """Name what PyTorch raises for a worker that is gone, wherever the main process then is.

    Raises:
        WorkerError: a worker was killed during the block.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        told = str(error).splitlines()[0]
        raise WorkerError(f"{told}; where memory ended, fewer clips.workers need less") from error


@contextmanager
def _terminations_held() -> Iterator[None]:
    """Keep SIGTERM from processes that begin in the block; this one gets it after the block.

    torchrun and Slurm send it to all processes of a training at once. Workers that ended then would
    leave the main process without batches, before it has written its checkpoint.
    """
    # Begun inside, it would let the signal through again when it is under way.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _obey(main: int, _worker: int) -> None:
    """End this worker when the process that it works for asks, and for nobody else."""
    threading.Thread(target=_end_when_asked, args=(main,), daemon=True).start()


def _end_when_asked(main: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != main:
        pass
    os._exit(0)


@dataclass(frozen=True)
class _Trouble:
    """What a worker could not make; raised by itself, it would come back as a page of text."""

    error: ShardError | VideoError | MemoryError


class _Telling(IterableDataset[Item | _Trouble]):
    def __init__(self, dataset: IterableDataset[Item]):
        self._dataset = dataset

    def __iter__(self) -> Iterator[Item | _Trouble]:
        try:
            yield from self._dataset
        except (MemoryError, ShardError, VideoError) as error:
            if get_worker_info() is None:
                raise
            # Numpy's own kind of the first cannot be handed over.
            yield _Trouble(MemoryError(str(error)) if isinstance(error, MemoryError) else error)


def empty_bytes(count: int) -> Tensor:
    """uint8 [count], in a worker where the main process can take it over without a copy."""
    if get_worker_info() is None:
        return torch.empty(count, dtype=torch.uint8)
    # As torch's own collate function does it.
    storage = torch.UntypedStorage._new_shared(count, device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)
