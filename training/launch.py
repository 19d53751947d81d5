"""python -m training.launch PROCESSES VERB ...: a verb of the training side in several processes.

torchrun starts them on this machine, one per GPU. What goes wrong in one of them is said by that
one; torchrun's own account of it, a page of text, is left out.
"""

import logging
import signal
import sys
from collections.abc import Sequence

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from training.__main__ import parser


def main(words: Sequence[str]) -> int:
    """Run the verb; return the exit code of the process that failed first, else 0."""
    count, *verb = words or ("",)
    if not count.isdecimal() or not int(count):
        return _failed(f"the number of processes (GPUS) must be 1 or more, got {count!r}", 2)
    parser().parse_args(verb)  # Else every process would tell how it is called.
    logging.disable(logging.ERROR)
    try:
        run.main(["--standalone", "--nproc-per-node", count, "-m", "training", *verb])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode >= 0:
            return failure.exitcode
        name = signal.Signals(-failure.exitcode).name
        again = "the same command goes on from the last checkpoint"
        told = f"process {rank} of {count} was ended by {name}; {again}"
        return _failed(told, 128 - failure.exitcode)
    except SignalException as stop:
        return 128 + stop.sigval
    return 0


def _failed(why: str, code: int) -> int:
    sys.stderr.write(f"tagreel: {why}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
