"""Copy one s3:// or gs:// object to a file, over several tries if need be, within one deadline.

Which service is asked is the user's word (`fetch.s3_endpoint` ...); a URI only names a bucket and a
key. Both clients report trouble as text, so the reasons are read from it.
"""

import re
from typing import BinaryIO

from formats.objects import (
    ObjectError,
    OpenObject,
    Service,
    find_object,
    read_endpoint,
    split_object_uri,
)
from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import HttpTrouble
from pipelines.web.copies import Copy

_BLOCK = 4 << 20
_CODE = re.compile(r"(?:AWS Error |cloud::Status\()([A-Za-z_]+)")
_STATUS = re.compile(r"HTTP status(?: code:)? (\d{3})")
_CURL = re.compile(r"(?:curlCode: |CURL error \[)(\d+)")
_BY_CODE = {
    "NO_SUCH_KEY": Reason.GONE,
    "NO_SUCH_BUCKET": Reason.GONE,
    "RESOURCE_NOT_FOUND": Reason.GONE,
    "NOT_FOUND": Reason.GONE,
    "ACCESS_DENIED": Reason.DENIED,
    "PERMISSION_DENIED": Reason.DENIED,
    "UNAUTHENTICATED": Reason.DENIED,
    "INVALID_ACCESS_KEY_ID": Reason.DENIED,
    "SIGNATURE_DOES_NOT_MATCH": Reason.DENIED,
    "REQUEST_TIME_TOO_SKEWED": Reason.DENIED,
    "SLOW_DOWN": Reason.BUSY,
    "THROTTLING": Reason.BUSY,
    "SERVICE_UNAVAILABLE": Reason.BUSY,
}
# S3 answers a HEAD with 400 for credentials that have expired.
_BY_STATUS = {400: Reason.DENIED, 401: Reason.DENIED, 403: Reason.DENIED, 404: Reason.GONE}
_BY_STATUS |= {429: Reason.BUSY, 503: Reason.BUSY}
_BY_CURL = {5: Reason.UNREACHABLE, 6: Reason.UNREACHABLE, 7: Reason.UNREACHABLE}
_BY_CURL |= {35: Reason.UNREACHABLE, 60: Reason.UNREACHABLE}
_BY_CURL |= {28: Reason.TIMEOUT, 18: Reason.TRUNCATED, 56: Reason.TRUNCATED}
_FINAL = frozenset({Reason.GONE, Reason.DENIED})
_LATER = frozenset({Reason.BUSY, Reason.UNREACHABLE, Reason.TIMEOUT})


class ObjectCopy(Copy):
    """One object on its way into one open file. Holds one block of 4 MiB in memory."""

    length_verified = True

    def __init__(self, uri: str, file: BinaryIO, options: FetchOptions) -> None:
        """Raise HttpTrouble (`bad_uri`) if the URI names no object."""
        super().__init__(uri, file, options)
        self.bucket, self.key = read_object_uri(uri)
        self._service = service_of(uri.partition(":")[0].lower(), options)

    def _try(self) -> None:
        try:
            found = self._find()
            if found.size > self._options.max_bytes:
                raise HttpTrouble(Reason.TOO_LARGE, f"{found.size} bytes")
            self._restart()
            while self.received < found.size:
                self._read(found)
            # A block is whatever stands under the key when it is asked for.
            if self._find().version != found.version:
                raise HttpTrouble(Reason.TRUNCATED, "changed while it was read", again=True)
        except FileNotFoundError as error:
            raise HttpTrouble(Reason.GONE, "no such object") from error
        except TimeoutError as error:
            raise HttpTrouble(Reason.TIMEOUT, str(error), later=True) from error
        except ObjectError as error:
            raise object_trouble(str(error)) from error

    def _find(self) -> OpenObject:
        return find_object(self._service, self.bucket, self.key, seconds=self._left_s())

    def _read(self, found: OpenObject) -> None:
        wanted = min(_BLOCK, found.size - self.received)
        block = found.read(wanted, seconds=self._left_s())
        if not block:
            raise HttpTrouble(Reason.TRUNCATED, f"ended after {self.received} bytes", again=True)
        self._take(block)


def read_object_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// or gs:// URI, or HttpTrouble: `bad_uri`."""
    try:
        return split_object_uri(uri)
    except ValueError as error:
        raise HttpTrouble(Reason.BAD_URI, str(error)) from error


def service_of(kind: str, options: FetchOptions) -> Service:
    """The service that the options name for `s3` or `gs`."""
    scheme, place = read_endpoint(options.s3_endpoint if kind == "s3" else options.gs_endpoint)
    region = options.s3_region if kind == "s3" else ""
    return Service(kind, scheme, place, region, options.anonymous_objects, options.idle_s)


def object_trouble(said: str) -> HttpTrouble:
    """The reason in a client's words.

    >>> object_trouble("AWS Error SLOW_DOWN during GetObject operation: ").reason.value
    'busy'
    """
    # What stands before the code may quote the key, which a stranger chose.
    codes = list(_CODE.finditer(said))
    code, told = (codes[-1][1], said[codes[-1].end() :]) if codes else ("", "")
    reason = _BY_CODE.get(code) or _by_number(told) or _by_code_alone(code)
    if not codes and "credentials" in said:
        reason = Reason.DENIED
    again = reason not in _FINAL and not _is_refusal(told)
    return HttpTrouble(reason, said, again=again, later=reason in _LATER)


def _by_number(told: str) -> Reason | None:
    status, curl = _STATUS.search(told), _CURL.search(told)
    if curl:
        return _BY_CURL.get(int(curl[1]), Reason.BROKEN_SERVER)
    return _BY_STATUS.get(int(status[1]), Reason.BROKEN_SERVER) if status else None


def _by_code_alone(code: str) -> Reason:
    """Google's client hides the status where the answer has a text: then it is not a 500."""
    return Reason.BUSY if code == "UNAVAILABLE" else Reason.BROKEN_SERVER


def _is_refusal(told: str) -> bool:
    """Whether the same question will get the same answer: another region, a malformed request."""
    status = _STATUS.search(told)
    return status is not None and 300 <= int(status[1]) < 429
