"""Run a decoder on bytes that nobody trusts, with limits that it cannot argue with.

The child has its own process group, no standard input of ours, almost no environment, and limits on
memory, CPU time, file size and open files. Where the kernel can (see `confinement`), it reads and
writes no file outside of its folder and has no network. A wall-clock deadline kills the whole
group, because a limit on CPU time does not see a process that sleeps.
"""

import contextlib
import os
import resource
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from formats.confinement import start_confined

_BLOCK = 1 << 16
_POLL_S = 0.001
_ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/bin:/bin"}


@dataclass(frozen=True)
class Limits:
    """What one child may use."""

    deadline_s: float = 120.0
    """Wall-clock time, after which the process group is killed."""
    cpu_s: int = 120
    memory_bytes: int = 2 << 30
    """Address space."""
    file_bytes: int = 64 << 20
    """Of each file that it writes."""
    open_files: int = 64
    stdout_bytes: int = 64 << 20
    """Above this the process group is killed."""
    stderr_bytes: int = 256 << 10
    """What follows is read and thrown away."""


@dataclass(frozen=True)
class Completed:
    """How a confined child ended."""

    returncode: int
    """Negative: the number of the signal that ended it."""
    stdout: bytes
    stderr: str
    """Undecodable bytes replaced, cut at `stderr_bytes`."""
    timed_out: bool = False
    stdout_overflow: bool = False
    stderr_overflow: bool = False


def run_confined(
    args: Sequence[str],
    *,
    folder: str,
    limits: Limits,
    feed: Iterable[bytes] = (),
    reads: Sequence[str] = (),
) -> Completed:
    """Run a program in a folder until it ends, its deadline passes or it says too much.

    Whatever is left of its process group has been killed on return, however the call ends. Safe
    from threads: no code of ours runs between fork and exec.

    Args:
        args: The program and its arguments; no shell reads them.
        folder: Working directory.
        limits: What it may use; in force a moment after it starts.
        feed: Blocks for its standard input; what it does not read is dropped. An error that this
            iterable raises is passed on.
        reads: Files outside of its folder that it may read; folders with all that is in them.
    """
    blocks = iter(feed)
    first = next(blocks, None)
    child = start_confined(
        list(args),
        folder=folder,
        reads=reads,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL if first is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        start_new_session=True,
    )
    talk = _Talk(child, limits)
    try:
        _limit(child.pid, limits)
        if first is not None:
            talk.feed(first, blocks)
        talk.run()
    finally:
        returncode = _end(child)
        talk.selector.close()
    stderr = talk.stderr.decode(errors="replace")
    return Completed(returncode, bytes(talk.stdout), stderr, **talk.trouble)


def _limit(pid: int, limits: Limits) -> None:
    bounds = {
        resource.RLIMIT_AS: (limits.memory_bytes, limits.memory_bytes),
        # The second later is for SIGXCPU: at the hard limit comes SIGKILL, which says nothing.
        resource.RLIMIT_CPU: (limits.cpu_s, limits.cpu_s + 1),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
        resource.RLIMIT_CORE: (0, 0),
    }
    with contextlib.suppress(ProcessLookupError):  # It has ended already.
        for kind, bound in bounds.items():
            resource.prlimit(pid, kind, bound)


def _end(child: subprocess.Popen[bytes]) -> int:
    """Kill what is left of the group, then reap the child.

    The child is reaped last: until then no other process can be given its number, so the group
    that is killed is its own.
    """
    with contextlib.suppress(ProcessLookupError):  # Nobody is left.
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            pipe.close()
    return child.wait()


class _Talk:
    """The pipes to a child, served by the calling thread and never past the deadline."""

    def __init__(self, child: subprocess.Popen[bytes], limits: Limits) -> None:
        self.deadline = time.monotonic() + limits.deadline_s
        self.child = child
        self.limits = limits
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.trouble: dict[str, bool] = {}
        self.selector = selectors.DefaultSelector()
        self._blocks: Iterator[bytes] = iter(())
        self._unwritten = memoryview(b"")
        self.selector.register(_descriptor(child.stdout), selectors.EVENT_READ, self._on_stdout)
        self.selector.register(_descriptor(child.stderr), selectors.EVENT_READ, self._on_stderr)

    def feed(self, first: bytes, blocks: Iterator[bytes]) -> None:
        """Also write these blocks to the child, as it takes them."""
        descriptor = _descriptor(self.child.stdin)
        os.set_blocking(descriptor, False)
        self._blocks, self._unwritten = blocks, memoryview(first)
        self.selector.register(descriptor, selectors.EVENT_WRITE, self._on_stdin)

    def run(self) -> None:
        """Return when the child has ended, or with the reason to kill it in `trouble`."""
        while self.selector.get_map() and not self._late():
            for key, _ in self.selector.select(max(0.0, self.deadline - time.monotonic())):
                key.data(key.fd)
            if "stdout_overflow" in self.trouble:
                return
        while not self._ended() and not self._late():
            time.sleep(_POLL_S)  # It closed its pipes, and ends within moments.

    def _late(self) -> bool:
        if time.monotonic() < self.deadline:
            return False
        self.trouble["timed_out"] = True
        return True

    def _ended(self) -> bool:
        flags = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self.child.pid, flags) is not None

    def _on_stdout(self, descriptor: int) -> None:
        block = os.read(descriptor, _BLOCK)
        if not block:
            self.selector.unregister(descriptor)
        self.stdout += block
        if len(self.stdout) > self.limits.stdout_bytes:
            self.trouble["stdout_overflow"] = True

    def _on_stderr(self, descriptor: int) -> None:
        block = os.read(descriptor, _BLOCK)
        if not block:
            self.selector.unregister(descriptor)
        room = self.limits.stderr_bytes - len(self.stderr)
        self.stderr += block[:room]
        if len(block) > room:
            self.trouble["stderr_overflow"] = True

    def _on_stdin(self, descriptor: int) -> None:
        try:
            written = os.write(descriptor, self._unwritten)
        except BrokenPipeError:
            self._close_stdin(descriptor)
            return
        self._unwritten = self._unwritten[written:]
        if not self._unwritten:
            block = next(self._blocks, None)
            if block is None:
                self._close_stdin(descriptor)
            else:
                self._unwritten = memoryview(block)

    def _close_stdin(self, descriptor: int) -> None:
        self.selector.unregister(descriptor)
        if self.child.stdin is not None:
            self.child.stdin.close()


def _descriptor(pipe: object) -> int:
    return int(pipe.fileno())  # type: ignore[attr-defined]
