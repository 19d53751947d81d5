"""Which runner a stage's Beam job goes to, and how it reports back.

Locally that is FnApiRunner, never the plain DirectRunner: the latter first tries to download
another engine, and which engine it ends up with depends on the transforms used.
"""

import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from threading import Lock
from typing import Never

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.portability.api import beam_provision_api_pb2
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import create_runner
from apache_beam.transforms import environments
from tqdm import tqdm

from formats.storage import StorageError, is_refusal, refused
from formats.terminal import Terminal
from pipelines.run import LOCAL, JobError

# What a worker's exception looks like once the engine has turned it into text. Errors of our own
# are expected trouble and become one sentence; anything else is a bug and keeps its traceback.
_OURS = re.compile(
    r"^(?P<kind>(?:formats|labelspace|dedup|pipelines)\.[\w.]+Error): (?P<message>.+?)"
    r"(?: \[while running '.*'\])*$",
    re.MULTILINE,
)
# The same of what a disk refused outside of the functions that say so themselves.
_DISK = re.compile(
    r"^\w*Error: \[Errno (?P<number>\d+)\] [^\n']+?(?:: '(?P<path>.+?)')?"
    r"(?: \[while running '.*'\])*$",
    re.MULTILINE,
)


_NEVER_MS = 2_000_000_000


@dataclass(frozen=True)
class Engine:
    """Where Beam jobs run: `local`, or a runner's name with Beam's own arguments."""

    runner: str = LOCAL
    beam_args: tuple[str, ...] = ()
    workers: int = 0
    """Threads of the local engine; 0 = one per CPU core."""

    def execute(self, build: Callable[[beam.Pipeline], None]) -> None:
        """Run one job to its end.

        Raises:
            JobError: a worker met expected trouble (a damaged file ...).
            StorageError: a disk refused (it is full ...).
        """
        options = PipelineOptions(self._arguments())
        runner = _local_runner(options) if self.runner == LOCAL else self.runner
        # A local worker prints its traceback by itself; of our own errors one sentence is enough.
        said = io.StringIO()
        try:
            with (
                _quiet(said if self.runner == LOCAL else None),
                beam.Pipeline(runner=runner, options=options) as pipeline,
            ):
                build(pipeline)
        except RuntimeError as error:
            trouble = _expected(str(error))
            if trouble is None:
                sys.stderr.write(said.getvalue())
                raise
            raise trouble from error

    def _arguments(self) -> Sequence[str]:
        if self.runner != LOCAL:
            return self.beam_args
        workers = self.workers or os.cpu_count() or 1
        return [f"--direct_num_workers={workers}", *self.beam_args]


def check_runner(name: str) -> None:
    """Refuse a runner that Beam could not make.

    Raises:
        JobError: there is none of this name, or it needs packages that are not installed.
    """
    try:
        create_runner(name)
    except (ValueError, AttributeError) as error:
        known = sorted(path.rpartition(".")[2] for path in StandardOptions.ALL_KNOWN_RUNNERS)
        raise JobError(
            f"RUNNER={name}: no such runner; known: {LOCAL}, {', '.join(known)}, or the full name "
            "of a runner's class"
        ) from error
    except ImportError as error:
        raise JobError(f"RUNNER={name}: {error}") from error


def _expected(text: str) -> JobError | StorageError | None:
    """The expected trouble that a worker's traceback tells of, if it does."""
    ours = list(_OURS.finditer(text))
    if ours:
        is_disk = ours[-1]["kind"].endswith(StorageError.__name__)
        return (StorageError if is_disk else JobError)(ours[-1]["message"])
    for found in _DISK.finditer(text):
        error = OSError(int(found["number"]), "")
        if is_refusal(error):
            return refused(found["path"] or "a temporary file", error, "used")
    return None


def _local_runner(options: PipelineOptions) -> fn_runner.FnApiRunner:
    # Made by name, the runner would not hand the options on to its workers.
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    # Threads: what takes time is ffmpeg, the network and Arrow, and they do not hold the GIL. This
    # is the mode multi_threading but for its timer, which sends what is buffered every second: it
    # may do so in the middle of an element; rows are then lost, or the stream cannot be decoded.
    threads = environments.EmbeddedPythonGrpcEnvironment(data_buffer_time_limit_ms=_NEVER_MS)
    return fn_runner.FnApiRunner(
        default_environment=threads, provision_info=fn_runner.ExtendedProvisionInfo(info)
    )


@contextmanager
def _quiet(buffer: io.StringIO | None) -> Iterator[None]:
    """Keep what is written to stderr in the buffer; a progress bar that is on still shows."""
    if buffer is None:
        yield
        return
    with redirect_stderr(buffer):
        yield


class _Progress:
    """The bar of the job that runs in this process; a worker elsewhere has none."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._bar: tqdm[Never] | None = None

    @contextmanager
    def bar(self, label: str, total: int | None, unit: str) -> Iterator[None]:
        """Show a bar on stderr while the block runs."""
        with tqdm(
            total=total, desc=f"{label:<12}", unit=f" {unit}", leave=False, file=Terminal()
        ) as bar:
            self._bar = bar
            try:
                yield
            finally:
                self._bar = None

    def advance(self, count: int = 1) -> None:
        """Move the bar on, from any thread."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(count)


progress = _Progress()
