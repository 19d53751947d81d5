"""One HTTP exchange with a stranger: a checked address, an end in time, a known kind of end."""

import contextlib
import functools
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPException
from urllib.parse import urljoin

from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, InvalidHeader, LocationParseError, ReadTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Url, parse_url

from formats.tables import Reason
from pipelines.web.addresses import AddressDenied, AddressGuard

MAX_URI_CHARACTERS = 8192


class HttpTrouble(Exception):
    """An exchange did not bring the bytes."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        again: bool = False,
        later: bool = False,
        asked: bool = True,
    ) -> None:
        self.reason = reason
        self.detail = " ".join(detail.split())[:200]
        self.again = again
        """It may go better at once."""
        self.later = later
        """It may go better in an hour."""
        self.after_s = 0.0
        """How long the server asks to wait first."""
        self.status = 0
        """Of the answer, if it is its status that is the trouble."""
        self.asked = asked
        """False if no request was made, nor an attempt at one."""
        super().__init__(reason, self.detail)


def read_url(uri: str) -> Url:
    """The parts of an http or https URI.

    Raises:
        HttpTrouble: `bad_uri`, or `source_not_allowed` for another scheme; nobody was asked.
    """
    if len(uri) > MAX_URI_CHARACTERS or not uri.isprintable() or " " in uri:
        raise HttpTrouble(Reason.BAD_URI, f"not a URI: {uri[:80]!r}", asked=False)
    try:
        url = parse_url(uri)
    except LocationParseError as error:
        raise HttpTrouble(Reason.BAD_URI, str(error), asked=False) from error
    if url.scheme not in ("http", "https"):
        raise HttpTrouble(Reason.SOURCE_NOT_ALLOWED, f"scheme {url.scheme}", asked=False)
    if not url.host:
        raise HttpTrouble(Reason.BAD_URI, "no host", asked=False)
    return url


def place_of(uri: str) -> str:
    """`host:port` that a URI is asked at; what manners and limits are counted by.

    >>> place_of("https://Videos.Example./a.mp4"), place_of("http://[::1]:8080/")
    ('videos.example:443', '[::1]:8080')

    Raises:
        HttpTrouble: as `read_url`.
    """
    url = read_url(uri)
    default = 443 if url.scheme == "https" else 80
    return f"{str(url.host).lower().rstrip('.')}:{url.port or default}"


def read_redirect(uri: str, location: str) -> str:
    """Where a redirect leads.

    Raises:
        HttpTrouble: `denied_address` if it leaves http, `redirects` if it leads nowhere.
    """
    try:
        target = urljoin(uri, location)
        read_url(target)
    except HttpTrouble as trouble:
        left = trouble.reason == Reason.SOURCE_NOT_ALLOWED
        reason = Reason.DENIED_ADDRESS if left else Reason.REDIRECTS
        raise HttpTrouble(reason, f"redirect to {location[:80]!r}") from trouble
    except ValueError as error:
        raise HttpTrouble(Reason.REDIRECTS, f"redirect to {location[:80]!r}") from error
    return target


@contextlib.contextmanager
def exchange(
    uri: str, headers: Mapping[str, str], *, guard: AddressGuard, deadline: float, idle_s: float
) -> Iterator[BaseHTTPResponse]:
    """Send a GET and give the response, its body unread and undecoded; at the end hang up.

    Whatever goes wrong with the connection, also while the block reads the body, becomes a
    trouble. Nothing outlasts the deadline by more than the resolver's own patience.

    Raises:
        HttpTrouble: `bad_uri`, `source_not_allowed`, `denied_address`, `unreachable`, `timeout`,
            `broken_server` or `truncated`.
    """
    url = read_url(uri)
    patience_s = min(idle_s, deadline - time.monotonic())
    if patience_s <= 0:
        raise HttpTrouble(Reason.TIMEOUT, "no time left", asked=False)
    with _Line(guard, deadline) as line:
        connection = _connection(url, line, patience_s)
        try:
            connection.request(
                "GET", url.request_uri, headers=headers, preload_content=False, decode_content=False
            )
            # A response that is not read to its end would keep the socket open by itself.
            with contextlib.closing(connection.getresponse()) as response:
                yield response
            line.check()
        except (OSError, HTTPException, HTTPError, AddressDenied) as error:
            line.check()
            raise _trouble(error, connected=line.is_open) from error
        finally:
            connection.close()


class _Line:
    """Opens the sockets of one exchange and cuts them at the deadline.

    Time limits of sockets start anew with every byte, so that a server that drips would never be
    given up. Only a second thread ends a read that goes on and on.
    """

    def __init__(self, guard: AddressGuard, deadline: float) -> None:
        self.is_open = False
        self.is_cut = False
        self._guard = guard
        self._handle: socket.socket | None = None
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut)
        self._timer.daemon = True
        self._lock = threading.Lock()

    def __enter__(self) -> "_Line":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            if self._handle is not None:
                self._handle.close()
                self._handle = None

    def open(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connected socket; a second handle on it stays here (TLS takes over the first)."""
        connected = self._guard.connect(host, port, timeout_s)
        with self._lock:
            self._handle = socket.socket(fileno=os.dup(connected.fileno()))
            self.is_open = True
        if self.is_cut:
            self._cut()
        return connected

    def check(self) -> None:
        """Raise if the line was cut: what came before may look like a proper end."""
        if self.is_cut:
            raise HttpTrouble(Reason.TIMEOUT, "not done in time")

    def _cut(self) -> None:
        with self._lock:
            self.is_cut = True
            if self._handle is not None:
                try:
                    self._handle.shutdown(socket.SHUT_RDWR)
                except OSError:
                    return  # The other side has hung up already.


class _CheckedHttp(HTTPConnection):
    line: _Line

    def _new_conn(self) -> socket.socket:
        return self.line.open(self._dns_host, self.port, _seconds(self.timeout))


class _CheckedHttps(HTTPSConnection):
    line: _Line

    def _new_conn(self) -> socket.socket:
        return self.line.open(self._dns_host, self.port, _seconds(self.timeout))


def _connection(url: Url, line: _Line, timeout_s: float) -> _CheckedHttp | _CheckedHttps:
    host = str(url.host).strip("[]")
    connection: _CheckedHttp | _CheckedHttps
    if url.scheme == "https":
        context = _tls_context()
        connection = _CheckedHttps(host, url.port or 443, timeout=timeout_s, ssl_context=context)
    else:
        connection = _CheckedHttp(host, url.port or 80, timeout=timeout_s)
    connection.line = line
    return connection


@functools.cache
def _tls_context() -> ssl.SSLContext:
    """Made once: reading the system's certificates takes longer than many a download."""
    return ssl.create_default_context()


def _seconds(timeout: object) -> float:
    if not isinstance(timeout, int | float):
        raise TypeError(f"a connection without a time limit: {timeout!r}")
    return float(timeout)


def _trouble(error: Exception, *, connected: bool) -> HttpTrouble:
    said = f"{type(error).__name__}: {error}"
    if isinstance(error, AddressDenied):
        return HttpTrouble(Reason.DENIED_ADDRESS, str(error), asked=False)
    if isinstance(error, socket.gaierror):
        passing = error.errno == socket.EAI_AGAIN
        return HttpTrouble(Reason.UNREACHABLE, said, again=passing, later=passing)
    if isinstance(error, ssl.SSLError):
        return HttpTrouble(Reason.UNREACHABLE, said)
    if not connected:
        return HttpTrouble(Reason.UNREACHABLE, said, again=True)
    if isinstance(error, TimeoutError | ReadTimeoutError):
        return HttpTrouble(Reason.TIMEOUT, said, again=True)
    if isinstance(error, InvalidHeader):
        return HttpTrouble(Reason.BROKEN_SERVER, said)
    return HttpTrouble(Reason.TRUNCATED, said, again=True)
