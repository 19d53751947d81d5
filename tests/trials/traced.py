"""What a program and all that it starts did, as strace saw it."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

STRACE = "/usr/bin/strace"
OPENS = ("open", "openat", "openat2", "creat")
SOCKETS = ("socket", "socketpair", "connect", "bind", "listen", "sendto", "sendmsg")
STARTS = ("clone", "clone3", "fork", "vfork")
_CALLS = ",".join((*OPENS, *SOCKETS, "prlimit64", "%process"))
_CALL = re.compile(
    r"(\w+)\((.*?)(?:\)\s+= (\?|-?\d+|0x[0-9a-f]+)(?: ?(.*))?| <unfinished \.\.\.>)$"
)
_END = re.compile(r"\+\+\+ (exited with|killed by|superseded by) .*\+\+\+$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Call:
    """One system call of one thread."""

    thread: int
    name: str
    arguments: str
    result: str
    """Empty if it never came back."""
    error: str
    """`EACCES (Permission denied)`, or empty."""

    @property
    def path(self) -> str:
        """The first text among its arguments, as strace writes it."""
        found = _STRING.search(self.arguments)
        return found[1] if found else ""

    @property
    def worked(self) -> bool:
        return not self.result.startswith("-")


@dataclass(frozen=True)
class Trace:
    """A program that has ended."""

    returncode: int
    output: str
    """Both outputs."""
    peak_bytes: int
    """The most memory that any of its processes held at once, as the kernel counted it."""
    calls: Mapping[int, tuple[Call, ...]]
    """By thread."""
    left: tuple[int, ...]
    """Processes and threads of it that are still there."""

    def all(self, *names: str) -> list[Call]:
        """Every call of these names."""
        return [call for calls in self.calls.values() for call in calls if call.name in names]

    @cached_property
    def decoders(self) -> Mapping[int, tuple[Call, ...]]:
        """Every decoder by its process: what it and all that it started did from its start on.

        One that is only asked for its version has no input, and is none.
        """
        return {
            thread: (*calls[at:], *self._started(calls[at:]))
            for thread, calls in self.calls.items()
            for at, call in enumerate(calls)
            if call.name == "execve" and call.worked and "ffmpeg" in Path(call.path).name
            if '"-i"' in call.arguments
        }

    def _started(self, calls: Sequence[Call]) -> Iterator[Call]:
        for call in calls:
            if call.name in STARTS and call.worked and call.result.isdigit():
                inner = self.calls[int(call.result)]
                yield from inner
                yield from self._started(inner)


def run_traced(command: Sequence[str], logs: Path, **popen: object) -> Trace:
    """Run a program under strace; every call of every thread is read, or the test fails."""
    logs.mkdir()
    start = [STRACE, "-ff", "-s", "4096", "-e", "signal=none", "-e", f"trace={_CALLS}"]
    with open(logs / "output.txt", "w+") as output:
        child = subprocess.Popen(
            [*start, "-o", str(logs / "calls"), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            **popen,  # type: ignore[call-overload]
        )
        # Of the processes that they waited for, too; and nothing of this one's.
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read()
    calls = read_calls(logs)
    # Of a thread that was killed with its process strace does not always hear.
    left = tuple(thread for thread in calls if Path(f"/proc/{thread}").exists())
    return Trace(child.returncode, said, usage.ru_maxrss << 10, calls, left)


def read_calls(logs: Path) -> dict[int, tuple[Call, ...]]:
    """What strace wrote down, by thread."""
    return {
        (thread := int(path.suffix[1:])): tuple(
            _call(thread, line) for line in path.read_text().splitlines() if not _END.match(line)
        )
        for path in sorted(logs.glob("calls.*"))
    }


def _call(thread: int, line: str) -> Call:
    found = _CALL.match(line)
    assert found, f"not understood: {line}"
    name, arguments, result, error = found.groups()
    return Call(thread, name, arguments, result or "", error or "")
