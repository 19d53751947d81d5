"""The stream that progress bars are drawn on: it may go away, and the work goes on."""

import sys
from typing import IO, Any


class Terminal:
    """A stream for `tqdm(file=...)` that nothing is written to any more once it fails.

    tqdm keeps its lock when a write raises, so a bar whose reader has gone (a closed pipe, a full
    disk behind a log) would stop every thread that moves it on, for ever and without a word.
    """

    def __init__(self, stream: IO[str] | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._gone = False

    def write(self, text: str) -> int:
        """Write, unless the stream has failed before."""
        if not self._gone:
            try:
                return self._stream.write(text)
            except (OSError, ValueError):  # ValueError: it was closed.
                self._gone = True
        return len(text)

    def flush(self) -> None:
        """Flush, unless the stream has failed before."""
        if not self._gone:
            try:
                self._stream.flush()
            except (OSError, ValueError):
                self._gone = True

    def __getattr__(self, name: str) -> Any:
        """Whatever else tqdm asks of a stream: `isatty`, `fileno`, `encoding`."""
        return getattr(self._stream, name)
