"""Copying one source to one open file, over several tries if need be, within one deadline."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import BinaryIO

from formats.storage import refused
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble

_BACKOFF_S = 0.5


class Copy:
    """One URI on its way into one open file; what a kind of source does is its `_try`."""

    length_verified = False
    """The source said where the body ends, so a cut one would have been noticed."""

    def __init__(self, uri: str, file: BinaryIO, options: FetchOptions) -> None:
        self.uri = uri
        self.final_uri = uri
        self.tries = 0
        self.received = 0
        self._file = file
        self._options = options
        self._deadline = time.monotonic() + options.deadline_s
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """Hex digest of what was received."""
        return self._digest.hexdigest()

    def run(self) -> None:
        """Receive the whole body.

        Raises:
            HttpTrouble: it could not be had.
            StorageError: it could not be written.
        """
        while True:
            self.tries += 1
            try:
                self._try()
            except HttpTrouble as trouble:
                self.tries -= not trouble.asked
                self._wait(trouble)
            else:
                return

    def _try(self) -> None:
        """Receive the body, or what is missing of it."""
        raise NotImplementedError

    def _least_wait_s(self) -> float:
        """How long the source wants to be left alone."""
        return 0.0

    def _pause(self) -> AbstractContextManager[object]:
        """Entered while nothing is done but wait."""
        return nullcontext()

    def _take(self, block: bytes) -> None:
        self.received += len(block)
        self._digest.update(block)
        with self._disk():
            self._file.write(block)

    def _restart(self) -> None:
        self.received = 0
        self._digest = hashlib.sha256()
        with self._disk():
            self._file.seek(0)
            self._file.truncate()

    def _left_s(self) -> float:
        return self._deadline - time.monotonic()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """What fails in here is not the source's fault, and must not be taken for it."""
        try:
            yield
        except OSError as error:
            raise refused(self._file.name, error) from error

    def _wait(self, trouble: HttpTrouble) -> None:
        """Sleep until the next try, or raise the trouble if there is none."""
        if not trouble.again or self.tries >= self._options.max_tries:
            raise trouble
        wait_s = max(trouble.after_s, backoff_s(self.uri, self.tries), self._least_wait_s())
        if wait_s >= self._left_s():
            raise trouble
        with self._pause():
            time.sleep(wait_s)


def backoff_s(uri: str, tries: int) -> float:
    """How long to wait after so many tries: doubling, and spread so that waiters do not meet."""
    spread = hashlib.sha256(f"{uri}:{tries}".encode()).digest()[0] / 255
    return _BACKOFF_S * 2 ** (tries - 1) * (0.5 + spread)
