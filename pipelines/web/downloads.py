"""Download one http(s) URI to a file, over several tries if need be, within one deadline.

Clients retry what fails before the body and not what breaks in it; their time limits start anew
with every byte. So the loop is ours: it resumes a broken body where the server can prove that it is
still the same one, waits as long as the server asks, and ends in one of a closed list of reasons.
When a request may be made at all is for `visits` to say.
"""

import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO

from urllib3.response import BaseHTTPResponse

from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.answers import check_answer
from pipelines.web.connections import HttpTrouble, place_of, read_redirect
from pipelines.web.copies import Copy
from pipelines.web.visits import current_visit

_BLOCK = 1 << 16
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")


class Download(Copy):
    """One http(s) URI on its way into one open file."""

    def __init__(self, uri: str, file: BinaryIO, options: FetchOptions) -> None:
        super().__init__(uri, file, options)
        self._visit = current_visit(options)
        self._validator: str | None = None
        """What proves that the rest of a broken body belongs to its beginning."""

    def _try(self) -> None:
        uri = self.uri
        for hop in range(self._options.max_redirects + 1):
            try:
                with self._visit.get(uri, self._headers(), self._deadline) as response:
                    location = response.headers.get("Location")
                    if response.status not in _REDIRECTS or location is None:
                        self.final_uri = uri
                        self._receive(response)
                        return
            except HttpTrouble as trouble:
                trouble.asked |= hop > 0  # If not this host, then the one that led here.
                raise
            uri = read_redirect(uri, location)
        raise HttpTrouble(Reason.REDIRECTS, f"more than {self._options.max_redirects}")

    def _headers(self) -> dict[str, str]:
        headers = {
            "User-Agent": self._options.user_agent,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
        }
        if self.received and self._validator:
            headers |= {"Range": f"bytes={self.received}-", "If-Range": self._validator}
        return headers

    def _receive(self, response: BaseHTTPResponse) -> None:
        resumed = self._is_rest(response)
        if not resumed:
            self._restart()
            check_answer(response, self._options)
            self._validator = _validator(response.headers)
        self._check_size(response)
        for block in response.stream(_BLOCK, decode_content=False):
            if self.received + len(block) > self._options.max_bytes:
                raise HttpTrouble(Reason.TOO_LARGE, f"more than {self._options.max_bytes} bytes")
            self._take(block)
        chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        self.length_verified = chunked or "Content-Length" in response.headers

    def _is_rest(self, response: BaseHTTPResponse) -> bool:
        """Whether the body continues what was received, as was asked.

        Raises:
            HttpTrouble: it is a part, but not that one; the next try starts over.
        """
        if response.status not in (206, 416):
            return False
        found = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        asked = self.received and self._validator
        fits = found is not None and int(found[1]) == self.received and response.status == 206
        if asked and fits and _validator(response.headers) in (self._validator, None):
            return True
        self._restart()
        again = bool(asked)
        raise HttpTrouble(Reason.BROKEN_SERVER, f"HTTP {response.status} out of place", again=again)

    def _take(self, block: bytes) -> None:
        super()._take(block)
        self._visit.moved()

    def _restart(self) -> None:
        super()._restart()
        self._validator = None

    def _check_size(self, response: BaseHTTPResponse) -> None:
        announced = response.headers.get("Content-Length", "")
        if announced.isdigit() and self.received + int(announced) > self._options.max_bytes:
            raise HttpTrouble(Reason.TOO_LARGE, f"{announced} bytes announced")

    def _least_wait_s(self) -> float:
        return self._visit.hosts.brake_s(place_of(self.uri))

    def _pause(self) -> AbstractContextManager[object]:
        return self._visit.pause()


def _validator(headers: Mapping[str, str]) -> str | None:
    """A strong ETag, or the date of the last change where there is no ETag at all."""
    etag = headers.get("ETag")
    if etag is None:
        return headers.get("Last-Modified")
    return None if etag.startswith("W/") else etag
