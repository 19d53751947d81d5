"""A forward proxy on loopback that lets another program connect to checked addresses only.

yt-dlp does its own networking: redirects, playlists, embedded players. With this as its proxy,
every connection that it opens goes through the address guard, whatever a page says.
"""

import selectors
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from pipelines.web.addresses import AddressDenied, AddressGuard

_BLOCK = 1 << 16
_MAX_HEAD_BYTES = 1 << 16
_HOP_HEADERS = ("proxy-connection:", "proxy-authorization:", "connection:", "keep-alive:")


class GuardProxy(socketserver.ThreadingTCPServer):
    """The proxy; one thread a connection, each ended by `idle_s` of silence or by the close."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, guard: AddressGuard, idle_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _Exchange)
        self.guard = guard
        self.idle_s = idle_s
        self.denied: list[str] = []
        """What the guard refused, one text a connection."""
        self.unreachable: list[str] = []
        """Where nothing answered."""
        self.received = 0
        """Bytes that came from outside; a little less while several connections are open."""
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def address(self) -> str:
        """What a client takes for its proxy."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Both ends may hang up at any moment, and the client sees that by itself; a bug shows."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    @contextmanager
    def holding(self, connection: socket.socket) -> Iterator[None]:
        """Cut the connection when the proxy closes."""
        with self._lock:
            self._open.add(connection)
        try:
            if self._closed:
                raise ConnectionAbortedError("the proxy is closed")
            yield
        finally:
            with self._lock:
                self._open.discard(connection)

    def cut(self) -> None:
        """End every exchange that is under way, and let none begin."""
        with self._lock:
            self._closed = True
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # That side has hung up already.


@contextmanager
def running_proxy(guard: AddressGuard, *, idle_s: float) -> Iterator[GuardProxy]:
    """A proxy for as long as the block runs; after it no connection stays open."""
    with GuardProxy(guard, idle_s) as proxy:
        accepting = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
        accepting.start()
        try:
            yield proxy
        finally:
            proxy.shutdown()
            proxy.cut()
            accepting.join()


class _Exchange(socketserver.BaseRequestHandler):
    server: GuardProxy
    request: socket.socket

    def handle(self) -> None:
        self.request.settimeout(self.server.idle_s)
        with self.server.holding(self.request):
            head, rest = _read_head(self.request)
            method, _, target = head[0].partition(" ")
            target = target.rpartition(" ")[0]
            try:
                host, port, path = _destination(method, target)
            except ValueError as error:
                self._answer("400 Bad Request", str(error))
                return
            remote = self._connect(host, port)
            if remote is None:
                return
            with remote, self.server.holding(remote):
                if method == "CONNECT":
                    self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                    remote.sendall(rest)
                    self._relay(remote)
                else:
                    remote.sendall(_last_head([f"{method} {path} HTTP/1.1", *head[1:]]))
                    self._exchange(remote, _body_bytes(head), rest)

    def _connect(self, host: str, port: int) -> socket.socket | None:
        try:
            return self.server.guard.connect(host, port, self.server.idle_s)
        except AddressDenied as error:
            self.server.denied.append(str(error))
            self._answer("403 Forbidden", f"address denied: {error}")
        except (OSError, UnicodeError) as error:  # UnicodeError: a label too long for a name.
            self.server.unreachable.append(f"{host}: {error}")
            self._answer("502 Bad Gateway", f"unreachable: {host}: {error}")
        return None

    def _answer(self, status: str, text: str) -> None:
        body = text.encode(errors="replace")
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        self.request.sendall(head.encode() + body)

    def _exchange(self, remote: socket.socket, body_bytes: int, begun: bytes) -> None:
        """Pass one request's body on and its answer back.

        The answer says that the connection ends with it: the client would send its next request,
        which may be for another host, down the same one.
        """
        remote.sendall(begun)
        missing = body_bytes - len(begun)
        while missing > 0 and (block := self.request.recv(min(missing, _BLOCK))):
            remote.sendall(block)
            missing -= len(block)
        head, rest = _read_head(remote)
        block = _last_head(head) + rest
        while block:
            self.server.received += len(block)
            self.request.sendall(block)
            block = remote.recv(_BLOCK)

    def _relay(self, remote: socket.socket) -> None:
        """Pass bytes on, both ways, until one side ends or both are silent."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.request, selectors.EVENT_READ, remote)
            selector.register(remote, selectors.EVENT_READ, self.request)
            while ready := selector.select(self.server.idle_s):
                for key, _ in ready:
                    to: socket.socket = key.data
                    block = (remote if to is self.request else self.request).recv(_BLOCK)
                    if not block:
                        return
                    if to is self.request:
                        self.server.received += len(block)
                    to.sendall(block)


def _read_head(side: socket.socket) -> tuple[list[str], bytes]:
    """The first lines of a request or an answer, and what came after them."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = side.recv(_BLOCK)
        if not block or len(received) > _MAX_HEAD_BYTES:
            raise ConnectionAbortedError("no head")
        received += block
    head, _, rest = received.partition(b"\r\n\r\n")
    return head.decode("latin-1").split("\r\n"), rest


def _body_bytes(head: list[str]) -> int:
    """How long the body of a request is; yt-dlp always says it where there is one."""
    for line in head:
        name, _, value = line.partition(":")
        if name.lower() == "content-length" and value.strip().isdigit():
            return int(value)
    return 0


def _destination(method: str, target: str) -> tuple[str, int, str]:
    """(host, port, path) of a request to a proxy.

    Raises:
        ValueError: it is for neither a tunnel nor a http URI.
    """
    parts = urlsplit(f"//{target}" if method == "CONNECT" else target)
    if parts.scheme != ("" if method == "CONNECT" else "http") or not parts.hostname:
        raise ValueError(f"not a host or a http URI: {target[:80]!r}")
    if method == "CONNECT":
        return parts.hostname, parts.port or 443, ""
    path = target.partition("://")[2][len(parts.netloc) :]
    return parts.hostname, parts.port or 80, path if path.startswith("/") else f"/{path}"


def _last_head(head: list[str]) -> bytes:
    """A head as it is passed on: that of the only exchange on its connection."""
    kept = [line for line in head if not line.lower().startswith(_HOP_HEADERS)]
    return "\r\n".join((*kept, "Connection: close", "", "")).encode("latin-1")
