import hashlib
import io

import pytest

from formats.storage import StorageError
from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble
from pipelines.web.copies import Copy, backoff_s

OPTIONS = FetchOptions(max_tries=3, deadline_s=5.0)


class Broken(Copy):
    """A source that breaks off in each of its first tries."""

    broken_tries = 2

    def _try(self) -> None:
        self._restart()
        self._take(b"begin")
        if self.tries <= self.broken_tries:
            raise HttpTrouble(Reason.TRUNCATED, "broke off", again=True)
        self._take(b" and end")


@pytest.mark.usefixtures("short_waits")
def test_a_later_try_starts_the_body_and_its_hash_over() -> None:
    file = io.BytesIO()
    copy = Broken("s://x", file, OPTIONS)
    copy.run()
    assert (copy.tries, copy.received, file.getvalue()) == (3, 13, b"begin and end")
    assert copy.sha256 == hashlib.sha256(b"begin and end").hexdigest()


@pytest.mark.usefixtures("short_waits")
def test_after_the_last_try_the_trouble_is_passed_on() -> None:
    copy = Broken("s://x", io.BytesIO(), OPTIONS)
    copy.broken_tries = 3
    with pytest.raises(HttpTrouble, match="broke off"):
        copy.run()
    assert copy.tries == 3


def test_there_is_no_try_that_would_begin_after_the_deadline() -> None:
    copy = Broken("s://x", io.BytesIO(), FetchOptions(max_tries=3, deadline_s=0.1))
    with pytest.raises(HttpTrouble):
        copy.run()
    assert copy.tries == 1


def test_a_disk_that_refuses_is_not_the_sources_fault() -> None:
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(StorageError, match="full"):
        NeverTruncated("s://x", full, OPTIONS).run()


class NeverTruncated(Broken):
    def _restart(self) -> None:
        """A device has no length to cut."""


@pytest.mark.usefixtures("short_waits")
def test_waits_grow_and_differ_from_uri_to_uri():
    waits = [backoff_s("http://a/", tries) for tries in (1, 2, 3)]
    assert 0.005 <= waits[0] <= 0.015 and 0.01 <= waits[1] <= 0.03 and 0.02 <= waits[2] <= 0.06
    assert waits == [backoff_s("http://a/", tries) for tries in (1, 2, 3)]
    assert len({backoff_s(f"http://{name}/", 1) for name in "abcdefgh"}) > 4
