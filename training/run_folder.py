"""The folder that a command writes to: never a dataset's own, and one command at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from formats.storage import refused
from training.errors import TrainingError
from training.ranks import ranks

LOCK = ".training.lock"
_DATASET = ("shards", "stages")
"""What lies in the folder of every dataset job, and of no run."""


@contextmanager
def run_folder(out: str) -> Iterator[None]:
    """Hold `out` for this process, of several ranks for the first one; without `out` do nothing.

    If nothing was written there, it is gone after the block unless it was there before.

    Raises:
        TrainingError: it is the folder of a dataset, another command writes there, or its disk
            keeps no locks.
        StorageError: the disk refuses.
    """
    if not out or not ranks().writes:
        yield
        return
    folder = Path(out)
    if dataset := _dataset_of(folder):
        raise TrainingError(
            f"{out}: is a dataset's own folder, whose files a training's would be mixed with: "
            f"leave OUT= (--out) away, for {dataset / 'training'}, or name another folder"
        )
    path = folder / LOCK
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115
    except OSError as error:
        raise refused(str(path), error) from error
    with file:
        if not _locked(file, path):
            raise TrainingError(
                f"{out}: another command is writing there: wait for it to end, or name another "
                "folder with OUT= (--out)"
            )
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
            # An empty folder would stand in the way of a dataset of this name.
            with suppress(OSError):
                for place in made:
                    place.rmdir()


def _dataset_of(folder: Path) -> Path | None:
    """The folder of a dataset, if this is it or lies among its shards."""
    if any((folder / name).is_dir() for name in _DATASET):
        return folder
    here = folder.resolve()
    around = [place.parent for place in (here, *here.parents) if place.name in _DATASET]
    return next((p for p in around if all((p / name).is_dir() for name in _DATASET)), None)


def _locked(file: IO[str], path: Path) -> bool:
    """Whether this process now holds the file, and nobody has put another in its place."""
    try:
        # Not flock: processes that decode would inherit it, and outlive a killed command a while.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError as error:
        raise TrainingError(
            f"{path}: its disk keeps no locks ({error.strerror}), so two commands could write "
            "there at once: mount it with locks (Lustre: -o flock), or name another folder with "
            "OUT= (--out)"
        ) from error
    return path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
