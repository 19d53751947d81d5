import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from formats.terminal import Terminal

LAST_WORDS = """
import threading, time, sys
from tqdm import tqdm
from formats.terminal import Terminal

with tqdm(total=50, mininterval=0, file=Terminal()) as bar:
    threads = [threading.Thread(target=lambda: [bar.update() for _ in range(5)]) for _ in range(10)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
print(bar.n)
"""


def test_a_bar_whose_reader_has_gone_stops_nobody() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", LAST_WORDS],
        stdout=subprocess.PIPE,
        stderr=writer,
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=True,
    )
    os.close(writer)
    assert done.stdout == b"50\n"


class Sick(io.StringIO):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.tries, self.error = 0, error

    def write(self, text: str) -> int:
        self.tries += 1
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "full"), ValueError("closed")])
def test_a_stream_that_fails_is_not_asked_again(error: Exception) -> None:
    sick = Sick(error)
    terminal = Terminal(sick)
    assert [terminal.write("bar"), terminal.write("more")] == [3, 4]
    terminal.flush()
    assert sick.tries == 1


def test_a_sound_stream_gets_all_and_is_asked_for_the_rest() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream)
    terminal.write("bar")
    terminal.flush()
    assert (stream.getvalue(), terminal.isatty()) == ("bar", False)
