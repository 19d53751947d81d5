import apache_beam as beam
import pytest

from formats.storage import StorageError
from pipelines.engine import Engine, progress
from pipelines.run import JobError


def fail_as_expected(_: int) -> int:
    raise StorageError("/full/disk: cannot be written: No space left on device")


def fail_as_a_bug(_: int) -> int:
    raise KeyError("forgotten")


def test_expected_trouble_in_a_worker_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(JobError) as caught:
        Engine().execute(lambda p: p | beam.Create([1]) | beam.Map(fail_as_expected))
    assert str(caught.value) == "/full/disk: cannot be written: No space left on device"
    assert "Traceback" not in capsys.readouterr().err


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
