import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from formats.sandbox import Completed, Limits, run_confined

# Where this Python keeps its library: outside of /usr on some machines.
PYTHON = [sys.base_prefix]


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


def run(args: list[str], folder: Path, **limits: float) -> Completed:
    return run_confined(args, folder=str(folder), limits=Limits(**limits), reads=PYTHON)  # type: ignore[arg-type]


def dies(pid: int) -> bool:
    """Whether a process that was killed is gone, or a zombie, within moments."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_both_outputs_and_the_exit_code_come_back(tmp_path):
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    assert run(python(code), tmp_path) == Completed(3, b"out\n", "err\n")


def test_the_child_works_in_its_folder_with_almost_no_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OF_OURS", "x")
    code = "import os; print(os.getcwd()); print('OF_OURS' in os.environ)"
    assert run(python(code), tmp_path).stdout == f"{tmp_path}\nFalse\n".encode()


def test_standard_input_is_empty(tmp_path):
    assert run(python("import sys; print(repr(sys.stdin.read()))"), tmp_path).stdout == b"''\n"


def test_blocks_are_fed_while_output_is_read(tmp_path):
    code = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    blocks = [bytes([number]) * 100_000 for number in range(20)]
    completed = run_confined(
        python(code), folder=str(tmp_path), limits=Limits(), feed=blocks, reads=PYTHON
    )
    assert completed == Completed(0, b"".join(blocks), "")


def test_a_child_that_does_not_read_its_input_ends_all_the_same(tmp_path):
    blocks = [b"x" * 1_000_000] * 3
    limits = Limits()
    completed = run_confined(
        python("pass"), folder=str(tmp_path), limits=limits, feed=blocks, reads=PYTHON
    )
    assert completed == Completed(0, b"", "")


def test_an_error_of_the_feed_is_passed_on_and_the_child_killed(tmp_path):
    def blocks():
        yield b"x"
        raise ZeroDivisionError

    code = "import os, sys, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)"
    with pytest.raises(ZeroDivisionError):
        run_confined(
            python(code), folder=str(tmp_path), limits=Limits(), feed=blocks(), reads=PYTHON
        )


def test_a_sleeping_child_is_killed_with_its_own_children(tmp_path):
    args = ["/bin/sh", "-c", "sleep 60 & echo $!; sleep 60"]
    started = time.monotonic()
    completed = run(args, tmp_path, deadline_s=0.5)
    assert completed.timed_out and completed.returncode == -signal.SIGKILL
    assert time.monotonic() - started < 2.5
    assert dies(int(completed.stdout))


def test_a_child_left_behind_in_the_group_is_killed(tmp_path):
    completed = run(["/bin/sh", "-c", "sleep 60 >&- 2>&- & echo $!"], tmp_path)
    assert completed.returncode == 0 and not completed.timed_out
    assert dies(int(completed.stdout))


def test_a_child_that_closes_its_pipes_is_still_waited_for(tmp_path):
    args = ["/bin/sh", "-c", "exec >&- 2>&-; sleep 0.1; touch done; exit 4"]
    assert run(args, tmp_path).returncode == 4
    assert (tmp_path / "done").exists()


def test_too_much_output_kills_the_child(tmp_path):
    code = "import sys\nwhile True: sys.stdout.write('x' * 100_000)"
    completed = run(python(code), tmp_path, stdout_bytes=1_000_000)
    assert completed.stdout_overflow and completed.returncode == -signal.SIGKILL
    assert len(completed.stdout) < 1_200_000


def test_errors_are_cut_but_the_child_goes_on(tmp_path):
    code = "import sys; sys.stderr.write('x' * 100_000); print('end')"
    completed = run(python(code), tmp_path, stderr_bytes=1000)
    assert completed == Completed(0, b"end\n", "x" * 1000, stderr_overflow=True)


def test_memory_is_limited(tmp_path):
    code = "import time; time.sleep(0.1)\ntry: b'x' * (1 << 30)\nexcept MemoryError: print('no')"
    assert run(python(code), tmp_path, memory_bytes=256 << 20).stdout == b"no\n"


def test_cpu_time_is_limited(tmp_path):
    completed = run(python("while True: pass"), tmp_path, cpu_s=1, deadline_s=20)
    assert completed.returncode == -signal.SIGXCPU and not completed.timed_out


def test_file_size_is_limited(tmp_path):
    code = "import time; time.sleep(0.1); open('big', 'wb').write(bytes(100_000))"
    assert run(python(code), tmp_path, file_bytes=10_000).returncode != 0
    assert (tmp_path / "big").stat().st_size <= 10_000


def test_open_files_are_limited(tmp_path):
    code = "import time; time.sleep(0.1); held = [open('/dev/null') for _ in range(100)]"
    assert "Too many open files" in run(python(code), tmp_path).stderr


def test_runs_from_many_threads_do_not_disturb_each_other(tmp_path):
    answers: dict[int, bytes] = {}

    def work(number: int) -> None:
        answers[number] = run(python(f"print({number})"), tmp_path).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {number: f"{number}\n".encode() for number in range(8)}


def test_no_descriptor_is_left_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        run(python("print()"), tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
