"""The processes that learn together, as torchrun starts them: one per GPU, or some on CPUs."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from formats.settings import SettingsError

_ENDED, _LEFT = "tagreel ended", "tagreel left"
_LOOK_S = 0.2


class PeerError(Exception):
    """Another process of this training ended for a reason unknown here, or was begun otherwise."""


@dataclass(frozen=True)
class Ranks:
    """Which of how many processes this one is."""

    number: int = 0
    count: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process is the one that writes files and prints."""
        return self.number == 0


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that torchrun started; alone where none did.

    Joins the others before the block and leaves them when it ends well: when the first one has
    come to its end, however long that works alone. GPUs talk through NCCL, CPUs through gloo.

    Raises:
        PeerError: the connection to another one broke.
        SettingsError: there are more of them on this machine than GPUs, or torchrun is to start
            them again in a way in which they would not find each other.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Ranks()
        return
    refuse_restarts(os.environ)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else None
    distributed.init_process_group("gloo" if gpus is None else "cpu:gloo,cuda:nccl")
    refuse_more_than(gpus)
    here = ranks()
    try:
        yield here
        _end_with_the_first(here)
    except RuntimeError as error:
        if not _of_the_connection(error):
            raise
        raise PeerError(
            f"process {here.number} of {here.count} stops because another one ended; if that one "
            "said nothing, it was killed"
        ) from error
    # Not after an error of this rank's own: it would wait for the others, who wait for this one.
    # torchrun ends them when this process is gone.
    distributed.destroy_process_group()


def _end_with_the_first(here: Ranks) -> None:
    # torchrun gives up a machine five minutes after its processes have ended. If that is the one
    # where machines find each other, it ends those on the others too.
    store = distributed.distributed_c10d._get_default_store()
    if here.writes:
        store.set(_ENDED, "")
    # No call of the store's that waits: neither Ctrl-C nor a limit of time ends those well.
    while not store.check([_ENDED]):
        time.sleep(_LOOK_S)
    # The store may be the first one's, and go with it. Not a collective: gloo's own thread may let
    # go of its tensor only when Python is ending, and a thread that wants Python then is aborted.
    left = store.add(_LEFT, 0 if here.writes else 1)
    while here.writes and left < here.count - 1:
        time.sleep(_LOOK_S)
        left = store.add(_LEFT, 0)


def refuse_restarts(environment: Mapping[str, str]) -> None:
    """Refuse torchrun's --max-restarts where it hands its own store to the processes.

    In it lie the addresses of those that ended, and the new ones call there (pytorch#135712).

    Raises:
        SettingsError: it would start them again, and in vain.
    """
    again = environment.get("TORCHELASTIC_MAX_RESTARTS", "0") != "0"
    if again and environment.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        raise SettingsError(
            "torchrun --max-restarts: processes that it starts again do not find each other "
            "(pytorch#135712) but with TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 in its environment and "
            "--rdzv-backend=c10d"
        )


def refuse_more_than(gpus: int | None) -> None:
    """Refuse more processes on this machine than it has GPUs, if it has any.

    Raises:
        SettingsError: there are more.
    """
    count = local_rank()[1]
    if gpus is not None and count > gpus:
        raise SettingsError(
            f"{count} processes (GPUS) on a machine where each sees {gpus} GPUs: start one per "
            "GPU, and let all of them see all GPUs"
        )


def _of_the_connection(error: RuntimeError) -> bool:
    # Gloo has no error class of its own; its messages begin with the place in its source.
    return isinstance(error, distributed.DistError) or "/gloo/" in str(error)


def ranks() -> Ranks:
    """The processes that this one has joined."""
    if not distributed.is_initialized():
        return Ranks()
    return Ranks(distributed.get_rank(), distributed.get_world_size())


def local_rank() -> tuple[int, int]:
    """Which process of how many on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def averaging(network: nn.Module, device: torch.device) -> nn.Module:
    """The network, whose gradients become the mean of all ranks' when they are computed.

    Batch-norm statistics are each rank's own (paper 3.3): no buffers are exchanged.
    """
    return DistributedDataParallel(
        network,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
        **_no_buffers(),
    )


def _no_buffers() -> dict[str, Any]:
    """PyTorch 2.13 warns of the option's old name, and 2.11 knows no other."""
    known = signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"
    return {name: False}


def first_to_say(text: str) -> bool:
    """Whether no other rank has said this: what all of them meet, one tells.

    No rank waits for another; one whose connection is gone is always the first. Before they are
    joined, it is the first one of every machine.
    """
    if not distributed.is_initialized():
        return local_rank()[0] == 0
    try:
        # The store through which the ranks found each other lives as long as any of them.
        store = distributed.distributed_c10d._get_default_store()
        return store.add(f"tagreel said {text}", 1) == 1
    except RuntimeError:
        return True


def summed(values: Tensor) -> Tensor:
    """The sum of every rank's values, the same on all; waits for the slowest."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
    return values


def from_first(values: Tensor) -> None:
    """Put the first rank's values in the place of every rank's own."""
    if distributed.is_initialized():
        distributed.broadcast(values, 0)


def agree(value: int) -> bool:
    """Whether every rank has this value."""
    if not distributed.is_initialized():
        return True
    extremes = torch.tensor([value, -value])
    distributed.all_reduce(extremes, distributed.ReduceOp.MIN)
    return int(extremes[0]) == -int(extremes[1])


def wait_for_all() -> None:
    """Return when every rank has come this far."""
    summed(torch.zeros(1))
