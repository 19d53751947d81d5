"""What the kernel denies a decoder: files outside of its folder, and every socket.

Landlock (Linux 5.13) bounds the file system, seccomp takes the network and the ways round it; both
need no privilege, and neither a user namespace, which containers mostly forbid. Both bind a
*thread* and what it starts, for ever. So every child is started by a thread that is confined,
starts it and ends: no code of ours runs between fork and exec, and no launcher has to start first.

A kernel or a container may lack either; `layers` says which are there.
"""

import ctypes
import errno
import functools
import os
import platform
import struct
import subprocess
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

Result = TypeVar("Result")

LANDLOCK, SECCOMP = "landlock", "seccomp"

# What any program may need to start: its libraries, never anybody's data.
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

# linux/landlock.h; the same numbers on every machine.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_GET_VERSION = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_TRUNCATE = 1 << 14
_FILE_RIGHTS_BY_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_RIGHTS, _SCOPES = 3, 3  # Bind and connect; abstract Unix sockets and signals.

# linux/seccomp.h, linux/filter.h, linux/prctl.h
_SET_SECCOMP, _SET_NO_NEW_PRIVS, _FILTER_MODE = 22, 38, 2
_KILL, _ALLOW, _FAIL = 0x8000_0000, 0x7FFF_0000, 0x0005_0000 | errno.EPERM
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_X32 = 0x4000_0000
# System calls that make sockets (io_uring can, too) or reach into other processes.
_DENIED = {
    "x86_64": (
        0xC000_003E,
        {
            "socket": 41,
            "socketpair": 53,
            "ptrace": 101,
            "unshare": 272,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "bpf": 321,
            "userfaultfd": 323,
            "io_uring_setup": 425,
            "pidfd_getfd": 438,
        },
    ),
    "aarch64": (
        0xC000_00B7,
        {
            "unshare": 97,
            "ptrace": 117,
            "socket": 198,
            "socketpair": 199,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "bpf": 280,
            "userfaultfd": 282,
            "io_uring_setup": 425,
            "pidfd_getfd": 438,
        },
    ),
}


def layers() -> tuple[str, ...]:
    """Which of `landlock` and `seccomp` this machine grants; found out once, by trying."""
    return _granted()


def start_confined(
    args: list[str], *, folder: str, reads: Iterable[str] = (), **popen: Any
) -> "subprocess.Popen[bytes]":
    """Start a program that may use nothing but its folder, as far as `layers` goes.

    Args:
        args: The program and its arguments; it may read what lies beside it, too.
        folder: Working directory; the program may do anything in it.
        reads: Further files, or folders with all that is in them, that it may read and run.
        popen: Passed on to `subprocess.Popen`.

    Raises:
        OSError: the program cannot be started, or a layer that the machine grants failed.
    """
    granted = layers()

    def start() -> "subprocess.Popen[bytes]":
        # What lies beside the program is its own: libraries, or what a wrapper script wraps.
        _confine(granted, folder, [str(Path(args[0]).resolve().parent), *reads])
        return subprocess.Popen(args, cwd=folder, **popen)

    return _in_thread(start)


@functools.cache
def _granted() -> tuple[str, ...]:
    def grants(layer: str) -> bool:
        with suppress(OSError, KeyError):
            _in_thread(functools.partial(_confine, (layer,), "/", []))
            return True
        return False

    return tuple(layer for layer in (LANDLOCK, SECCOMP) if grants(layer))


def _in_thread(call: Callable[[], Result]) -> Result:
    """The result of a call in a thread that ends with it; so do the bonds that it puts on."""
    with ThreadPoolExecutor(1, "confined") as thread:
        return thread.submit(call).result()


def _confine(granted: Iterable[str], folder: str, reads: Iterable[str]) -> None:
    """Bind the calling thread, and all that it will start."""
    _call("prctl", _SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if LANDLOCK in granted:
        _bound_files(folder, reads)
    if SECCOMP in granted:
        _bound_calls()


def _bound_files(folder: str, reads: Iterable[str]) -> None:
    version = _call("syscall", _CREATE_RULESET, None, 0, _GET_VERSION)
    rights = _FILE_RIGHTS_BY_VERSION[max(v for v in _FILE_RIGHTS_BY_VERSION if v <= version)]
    # A kernel takes only the length that it knows: networks came with 4, scopes with 6.
    handled = struct.pack("QQQ", rights, _TCP_RIGHTS, _SCOPES)
    handled = handled[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _call("syscall", _CREATE_RULESET, handled, len(handled), 0)
    try:
        _allow(ruleset, folder, rights)
        for path in (*_SYSTEM, *reads):
            _allow(ruleset, path, rights & (_EXECUTE | _READ_FILE | _READ_DIR))
        for path in _DEVICES:
            _allow(ruleset, path, rights & (_READ_FILE | _WRITE_FILE))
        _call("syscall", _RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with _handle(path) as handle:
        if handle is None:
            return
        if not os.path.isdir(path):
            rights &= _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
        rule = struct.pack("=Qi", rights, handle)
        _call("syscall", _ADD_RULE, ruleset, _PATH_BENEATH, rule, 0)


@contextmanager
def _handle(path: str) -> Iterator[int | None]:
    """An open handle that can do nothing but name the file; None if there is no such file."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _bound_calls() -> None:
    machine, denied = _DENIED[platform.machine()]
    numbers = list(denied.values())
    # The filter ends: ..., allow, fail. A jump says how many instructions it leaps over.
    program = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, machine),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, len(numbers) + 1, 0, _X32),
        *((_EQUAL, len(numbers) - at, 0, number) for at, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _FAIL),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))
    header = struct.pack("HxxxxxxP", len(program), ctypes.addressof(code))
    _call("prctl", _SET_SECCOMP, _FILTER_MODE, header, 0, 0)


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: int | bytes | None) -> int:
    """A function of the C library that takes words and pointers, and says -1 for an error."""
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    found = int(getattr(_libc(), name)(*words))
    if found < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return found
