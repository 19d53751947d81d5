"""Who does which part of the work: worker processes, and a helper that runs ahead."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, cuda
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

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


def loader(dataset: IterableDataset[Item], workers: int, remote: bool) -> DataLoader[Item]:
    """What a dataset yields, made by worker processes; `remote` if they ask an object store."""
    # Batches are made by the dataset: only so can they be the same for any number of workers.
    return DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        pin_memory=cuda.is_available(),
        # The clients of object stores have threads, which a fork would leave behind.
        multiprocessing_context="forkserver" if remote and workers else None,
    )


def empty_bytes(count: int) -> Tensor:
    """uint8 [count], in a worker where the main process can take it over without a copy."""
    if get_worker_info() is None:
        return torch.empty(count, dtype=torch.uint8)
    # As torch's own collate function does it.
    storage = torch.UntypedStorage._new_shared(count, device="cpu")  # type: ignore[no-untyped-call]
    return torch.empty(0, dtype=torch.uint8).set_(storage)
