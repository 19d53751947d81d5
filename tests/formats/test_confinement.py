import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from formats.confinement import LANDLOCK, SECCOMP, layers, start_confined

needs_landlock = pytest.mark.skipif(LANDLOCK not in layers(), reason="no Landlock on this machine")
needs_seccomp = pytest.mark.skipif(SECCOMP not in layers(), reason="no seccomp on this machine")
# Where this Python keeps its library: outside of /usr on some machines.
PYTHON = [sys.base_prefix, sys.prefix]


def said(code: str, folder: Path, reads: list[str] | None = None) -> str:
    """What a confined Python prints; an error's name if it raises one."""
    caught = f"try:\n {code}\nexcept Exception as error:\n print(type(error).__name__)"
    child = start_confined(
        [sys.executable, "-I", "-S", "-c", caught],
        folder=str(folder),
        reads=[*PYTHON, *(reads or [])],
        stdout=subprocess.PIPE,
    )
    output, _ = child.communicate(timeout=30)
    return output.decode().strip()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "outside" / "secret.txt"
    path.parent.mkdir()
    path.write_text("secret")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "inside"
    path.mkdir()
    return path


def test_a_program_reads_and_writes_in_its_folder(folder: Path) -> None:
    (folder / "in.txt").write_text("hello")
    assert said("open('out.txt', 'w').write(open('in.txt').read())", folder) == ""
    assert (folder / "out.txt").read_text() == "hello"


@needs_landlock
@pytest.mark.parametrize(
    "code",
    [
        "print(open({path!r}).read())",
        "open({path!r}, 'w').write('changed')",
        "__import__('os').remove({path!r})",
        "__import__('os').truncate({path!r}, 0)",
        "__import__('os').rename({path!r}, 'mine')",
        "__import__('os').link({path!r}, 'mine'); print(open('mine').read())",
        "__import__('os').symlink({path!r}, 'mine'); print(open('mine').read())",
        "print(__import__('os').listdir('..'))",
        "open('../new.txt', 'w')",
        "print(open('/etc/passwd').read())",
        "print(open('/proc/self/environ').read())",
    ],
)
def test_nothing_outside_of_the_folder_is_read_or_changed(
    code: str, folder: Path, secret: Path
) -> None:
    refused = "OSError" if ".link(" in code else "PermissionError"  # EXDEV, as between disks.
    assert said(code.format(path=str(secret)), folder) == refused
    assert secret.read_text() == "secret"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["inside", "outside"]


def test_a_file_that_is_named_is_read_but_not_changed(folder: Path, secret: Path) -> None:
    reads = [str(secret)]
    assert said(f"print(open({str(secret)!r}).read())", folder, reads) == "secret"
    if LANDLOCK in layers():
        assert said(f"open({str(secret)!r}, 'a')", folder, reads) == "PermissionError"


@needs_seccomp
@pytest.mark.parametrize("kind", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK"])
@pytest.mark.parametrize("style", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW"])
def test_there_are_no_sockets(kind: str, style: str, folder: Path) -> None:
    code = f"import _socket; _socket.socket(_socket.{kind}, _socket.{style})"
    assert said(code, folder) == "PermissionError"


@needs_landlock
def test_tcp_is_refused_by_landlock_too(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = server.getsockname()
        code = f"import _socket; _socket.socket().connect({place!r})"
        assert said(code, folder) == "PermissionError"


def test_what_a_program_starts_is_bound_as_well(folder: Path, secret: Path) -> None:
    inner = f"open({str(secret)!r})"
    code = (
        "import os; pid = os.fork(); "
        f"os.execv({sys.executable!r}, ['python', '-I', '-S', '-c', {inner!r}]) if not pid else "
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    assert said(code, folder) == ("1" if LANDLOCK in layers() else "0")


def test_the_process_that_starts_it_stays_free(folder: Path, secret: Path) -> None:
    said("pass", folder)
    assert secret.read_text() == "secret"
    with socket.socket():
        pass
    assert subprocess.run(["cat", str(secret)], capture_output=True).stdout == b"secret"


def test_no_thread_is_left_behind(folder: Path) -> None:
    before = threading.active_count()
    for _ in range(5):
        said("pass", folder)
    assert threading.active_count() <= before


def test_a_program_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        start_confined([str(folder / "nothing")], folder=str(folder))
