from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from formats.storage import StorageError
from pipelines.engine import Engine, check_runner, progress
from pipelines.run import JobError


def fail_as_expected(_: int) -> int:
    raise StorageError("/full/disk: cannot be written: No space left on device")


def fail_as_a_bug(_: int) -> int:
    raise KeyError("forgotten")


def test_expected_trouble_in_a_worker_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StorageError) as caught:
        Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(fail_as_expected))
    assert str(caught.value) == "/full/disk: cannot be written: No space left on device"
    with pytest.raises(JobError, match=r"^clip 1: lost$"):
        Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(fail_as_a_job))
    assert "Traceback" not in capsys.readouterr().err


def fail_as_a_job(number: int) -> int:
    raise JobError(f"clip {number}: lost")


def test_what_a_disk_refuses_a_worker_is_one_sentence_too(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()

    def run(function: Callable[[int], object]) -> str:
        with pytest.raises(StorageError) as caught:
            Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(function))
        return str(caught.value)

    assert run(lambda _: (tmp_path / "taken").write_text("x")) == (
        f"{tmp_path}/taken: cannot be used: Is a directory; move what stands in the way, then run "
        "the same command again"
    )
    assert "a temporary file: cannot be used: No space left on device; make room" in run(fill)
    with pytest.raises(RuntimeError, match="FileNotFoundError"):
        Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(open_nothing))


def fill(_: int) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def open_nothing(_: int) -> None:
    Path("/nowhere").read_text()


def test_a_bug_in_a_worker_keeps_its_traceback() -> None:
    with pytest.raises(RuntimeError, match="KeyError: 'forgotten"):
        Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(fail_as_a_bug))


def advance(_: int) -> None:
    progress.advance()


def test_a_bar_moves_from_a_worker_thread(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.bar("count", 3, "rows"):
        Engine(workers=2).execute(lambda p: p | beam.Create([1, 2, 3]) | beam.Map(advance))
    progress.advance()
    assert "count" in capsys.readouterr().err


def test_a_runner_that_beam_cannot_make_is_refused_in_one_line_with_those_it_can() -> None:
    check_runner("FlinkRunner")
    with pytest.raises(JobError, match=r"^RUNNER=Flank: .* local, .*FlinkRunner.* class$"):
        check_runner("Flank")
    for name in ("no.such.Runner", "apache_beam.NoSuchRunner"):
        with pytest.raises(JobError, match=rf"^RUNNER={name}: "):
            check_runner(name)
