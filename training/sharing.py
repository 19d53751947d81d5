"""Videos shared out among the ranks, and what each found out brought together.

The ranks take videos in turns, as many at once as a batch holds: so batches are the same as those
of a process on its own, and so is every number that comes of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import distributed

from formats.settings import significant
from training.options import Options
from training.ranks import PeerError, Ranks, ranks

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Value = TypeVar("Value")

_ROWS = 1 << 10
"""Sent at once."""


def is_mine(rank: Ranks, together: int, number: int) -> bool:
    """Whether a rank takes the video of that number, where batches hold `together` videos."""
    return number // together % rank.count == rank.number


def places(counts: Sequence[int], together: int) -> list[Ints]:
    """Which videos each rank took, if it took so many of them.

    >>> [place.tolist() for place in places([3, 2], 2)]
    [[0, 1, 4], [2, 3]]
    """
    found = []
    for rank, count in enumerate(counts):
        own = np.arange(count)
        found.append((own // together * len(counts) + rank) * together + own % together)
    return found


def everyones(value: Value) -> list[Value]:
    """What every rank has, in their order; on all of them."""
    if ranks().count == 1:
        return [value]
    found: list[Value | None] = [None] * ranks().count
    distributed.all_gather_object(found, value)
    return cast(list[Value], found)


def refuse_differences(options: Options, **facts: object) -> None:
    """Refuse ranks that were begun with other options or find other data than the first one.

    On several machines each reads a config and files of its own. Ranks that differ would learn
    something that neither was asked for, or wait for each other for ever.

    Raises:
        PeerError: some differ; on all ranks.
    """
    mine = {
        f"{section.name}.{name}": value
        for section in fields(Options)
        for name, value in significant(getattr(options, section.name)).items()
    }
    # How the work is done is each rank's own affair, but for when they come together.
    mine["train.checkpoint_steps"] = options.train.checkpoint_steps
    mine["finetune.checkpoint_steps"] = options.finetune.checkpoint_steps
    first, *others = everyones({**mine, **facts})
    for number, other in enumerate(others, 1):
        for name in first | other:
            one, another = first.get(name, "not there"), other.get(name, "not there")
            if one != another:
                raise PeerError(
                    f"{name} is {one} for process 0 and {another} for process {number} of "
                    f"{ranks().count}: begin all of them with the same options and data"
                )


def in_order(values: Sequence[Sequence[Value]], together: int) -> list[Value]:
    """One value per video, of the ranks' own ones.

    >>> in_order([["a", "b", "e"], ["c", "d"]], 2)
    ['a', 'b', 'c', 'd', 'e']
    """
    number_V = np.concatenate(places([len(own) for own in values], together))
    every = [value for own in values for value in own]
    return [every[i] for i in np.argsort(number_V)]


def collected(rows_VX: Floats, together: int) -> Floats | None:
    """A row per video, of the ranks' own ones; on the first rank, nothing on the others.

    It holds them once, and some of another rank's.
    """
    here, counts = ranks(), everyones(len(rows_VX))
    if here.count == 1:
        return rows_VX
    if not here.writes:
        for rows in _parts(len(rows_VX)):
            distributed.send(torch.from_numpy(np.ascontiguousarray(rows_VX[rows])), 0)
        return None
    # There is no video that the first rank has none of.
    whole_VX = np.empty((sum(counts), *rows_VX.shape[1:]), np.float32)
    taken = places(counts, together)
    whole_VX[taken[0]] = rows_VX
    for rank in range(1, here.count):
        for rows in _parts(counts[rank]):
            came = torch.empty((len(taken[rank][rows]), *rows_VX.shape[1:]))
            distributed.recv(came, rank)
            whole_VX[taken[rank][rows]] = came.numpy()
    return whole_VX


def told(value: Value) -> Value:
    """What the first rank has, on all of them."""
    if ranks().count == 1:
        return value
    shared = [value]
    distributed.broadcast_object_list(shared, 0)
    return shared[0]


def _parts(count: int) -> Iterator[slice]:
    return (slice(first, min(first + _ROWS, count)) for first in range(0, count, _ROWS))
