import socket
import socketserver
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest

from formats.tables import Reason
from pipelines.web.addresses import AddressGuard
from pipelines.web.connections import HttpTrouble, exchange, place_of
from tests.pipelines.faulty_server import fetch, refused, send, whole

pytestmark = pytest.mark.usefixtures("short_waits")


def drip(handler: BaseHTTPRequestHandler, start: bytes = b"") -> None:
    handler.wfile.write(start)
    for _ in range(200):
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.05)


def drip_body(handler: BaseHTTPRequestHandler) -> None:
    drip(handler, b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")


def drip_unsized_body(handler: BaseHTTPRequestHandler) -> None:
    drip(handler, b"HTTP/1.1 200 OK\r\n\r\n")


def drip_header(handler: BaseHTTPRequestHandler) -> None:
    drip(handler, b"HTTP/1.1 200 OK\r\nX-A: ")


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(5)


@pytest.mark.parametrize("answer", [drip_body, drip_unsized_body, drip_header, silence])
def test_the_deadline_holds_against_a_server_that_dawdles(server, tmp_path, answer):
    server.answer = lambda handler, _: answer(handler)
    started = time.monotonic()
    assert refused(server.uri, tmp_path, deadline_s=0.6) == (Reason.TIMEOUT, 1, False)
    assert time.monotonic() - started < 1.2


def test_an_exchange_that_has_no_time_left_asks_nobody(server):
    late = exchange(server.uri, {}, guard=AddressGuard(), deadline=time.monotonic(), idle_s=1.0)
    with pytest.raises(HttpTrouble, match="no time left") as caught, late:
        pass
    assert (caught.value.reason, caught.value.asked) == (Reason.TIMEOUT, False)


def test_silence_is_given_up_and_tried_again(server, tmp_path):
    server.answer = lambda handler, number: silence(handler) if number == 1 else whole(handler)
    assert fetch(server.uri, tmp_path, idle_s=0.2).tries == 2


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "168.63.129.16",
        "169.254.169.254",
        "example.com@127.0.0.1",
    ],
)
def test_private_addresses_are_not_connected_to(server, tmp_path, host):
    uri = f"http://{host}:{server.port}/"
    assert refused(uri, tmp_path, allow_addresses=()) == (Reason.DENIED_ADDRESS, 0, False)
    assert server.requests == []


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.2:{}/",
        "//127.0.0.2:{}/",
        "http://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
    ],
)
def test_redirects_to_private_places_are_not_followed(server, tmp_path, location):
    there = location.format(server.port)
    server.answer = lambda handler, _: send(handler, 302, Location=there, Content_Length="0")
    allowed = (f"127.0.0.1:{server.port}",)
    reason = refused(server.uri, tmp_path, allow_addresses=allowed)
    assert reason == (Reason.DENIED_ADDRESS, 1, False)
    assert len(server.requests) == 1


def test_a_redirect_to_nowhere(server, tmp_path):
    server.answer = lambda handler, _: send(
        handler, 302, Location="http://[half/", Content_Length="0"
    )
    assert refused(server.uri, tmp_path) == (Reason.REDIRECTS, 1, False)


def test_nobody_answers(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    uri = f"http://127.0.0.1:{port}/"
    assert refused(uri, tmp_path, max_tries=2) == (Reason.UNREACHABLE, 2, False)


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (socket.EAI_NONAME, (Reason.UNREACHABLE, 1, False)),
        (socket.EAI_AGAIN, (Reason.UNREACHABLE, 2, True)),
    ],
)
def test_a_name_that_does_not_resolve(tmp_path, monkeypatch, number, expected):
    def getaddrinfo(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(number, "no")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert refused("http://host.example/", tmp_path, max_tries=2) == expected


def test_plain_text_where_tls_should_be(server, tmp_path):
    uri = server.uri.replace("http:", "https:")
    assert refused(uri, tmp_path) == (Reason.UNREACHABLE, 1, False)


def test_what_is_no_http(tmp_path):
    class Noise(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(100)
            self.request.sendall(b"SSH-2.0-OpenSSH\r\n" * 5)

    with socketserver.TCPServer(("127.0.0.1", 0), Noise) as noise:
        threading.Thread(target=noise.serve_forever, args=(0.02,), daemon=True).start()
        uri = f"http://127.0.0.1:{noise.server_address[1]}/"
        assert refused(uri, tmp_path, max_tries=2) == (Reason.TRUNCATED, 2, False)
        noise.shutdown()


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("http://Videos.Example/a", "videos.example:80"),
        ("https://videos.example./a", "videos.example:443"),
        ("https://videos.example:8443?x", "videos.example:8443"),
        ("http://user:word@videos.example/", "videos.example:80"),
        ("http://[::1]/", "[::1]:80"),
    ],
)
def test_what_a_host_is_counted_as(uri, place):
    assert place_of(uri) == place


@pytest.mark.parametrize("uri", ["a.mp4", "s3://bucket/a.mp4", "http://", "http://a b/"])
def test_what_is_at_no_host(uri):
    with pytest.raises(HttpTrouble):
        place_of(uri)
