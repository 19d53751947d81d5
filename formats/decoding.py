"""One run of a decoder on a file that nobody trusts, in a folder of its own."""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

from formats.acceptance import Decoded, DecodeError, check_run
from formats.encoding import SOURCE, VideoOptions
from formats.sandbox import Completed, Limits, run_confined
from formats.storage import refused, scratch_folder
from formats.tables import Reason

Frames = npt.NDArray[np.uint8]

_CHANGED_MIDWAY = "[info] Reconfiguring filter graph"
_MAX_OUTPUT_BYTES = 1 << 30
# ffmpeg ends with the number of the error that it met, as an exit code has it: modulo 256. EIO is
# not among them: a file that is cut off makes it end so, too, and must not stop the job.
_DISK_ERRORS = {os.strerror(number): number for number in (errno.ENOSPC, errno.EDQUOT)}
# Of an output: what comes in cannot make ffmpeg say this at the start of a line.
_DISK_TROUBLE = re.compile(
    rf"^\[out#\d+/\w+ @ 0x[0-9a-f]+\] \[(?:error|fatal)\] .*: ({'|'.join(_DISK_ERRORS)})$", re.M
)


@contextmanager
def private_folder(source_path: str, beside: str | None = None) -> Iterator[Path]:
    """A folder of its own that holds the source under a neutral name; removed at the end.

    Whatever a hostile file refers to beside itself is looked up there, and is not there.

    Raises:
        DecodeError: `empty`.
        FileNotFoundError: there is no such file.
        StorageError: the disk refused.
    """
    source = Path(source_path).resolve(strict=True)
    if source.stat().st_size == 0:
        raise DecodeError(Reason.EMPTY, "no bytes")
    parent = str(Path(beside).parent) if beside is not None else None
    with scratch_folder(".decode-", parent) as name:
        folder = Path(name)
        (folder / SOURCE).symlink_to(source)
        yield folder


def decode(build: Callable[..., list[str]], folder: Path, options: VideoOptions) -> Completed:
    """Run; once more, with other filters, if the form of the frames turns out to change midway."""
    completed = _run(build(options), folder, options)
    if _CHANGED_MIDWAY not in completed.stderr:
        return completed
    return _run(build(options, steady=False), folder, options)


def _run(args: list[str], folder: Path, options: VideoOptions) -> Completed:
    source = str((folder / SOURCE).resolve())
    completed = run_confined(args, folder=str(folder), limits=limits_of(options), reads=[source])
    check_disk(completed, folder)
    return completed


def check_disk(completed: Completed, folder: Path) -> None:
    """Raise StorageError if the disk was full: that is no fault of the video's."""
    # The exit code is that of whichever of its threads failed first, or last.
    found = _DISK_TROUBLE.search(completed.stderr) if completed.returncode else None
    if found is not None:
        raise refused(str(folder.parent), OSError(_DISK_ERRORS[found[1]], found[1]))


def run_clean(args: list[str], folder: Path, options: VideoOptions) -> Completed:
    """Run without a table of frame times: any complaint refuses the video.

    Raises:
        DecodeError: the run did not end well, or the decoder complained.
    """
    completed = _run(args, folder, options)
    check_run(completed, Decoded(0, 0.0, 0.0, None, 0, 0), min_frames=0)
    return completed


def limits_of(options: VideoOptions) -> Limits:
    """What one run may use."""
    return Limits(
        deadline_s=options.deadline_s,
        cpu_s=int(options.deadline_s) + 1,
        memory_bytes=options.memory_bytes,
        stdout_bytes=_MAX_OUTPUT_BYTES,
    )


def whole_frames(content: bytes, shape: tuple[int, ...]) -> Frames:
    """The frames in a run's output.

    Raises:
        DecodeError: `decoder_crashed`, when the output ends inside a frame.
    """
    size = int(np.prod(shape))
    if len(content) % size:
        raise DecodeError(Reason.DECODER_CRASHED, "its output ends inside a frame")
    return np.frombuffer(content, np.uint8).reshape(-1, *shape)
