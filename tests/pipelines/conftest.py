from collections.abc import Iterator

import pytest

from pipelines.web import copies, hosts
from tests.pipelines.faulty_server import Server, running_server


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other, and brakes end, in a hundredth of a second."""
    monkeypatch.setattr(copies, "_BACKOFF_S", 0.01)
    monkeypatch.setattr(hosts, "_BRAKE_S", 0.01)
