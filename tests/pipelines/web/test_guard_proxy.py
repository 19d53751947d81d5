import socket
import threading
import time
from http.server import BaseHTTPRequestHandler

import pytest
import urllib3

from pipelines.web.addresses import read_guard
from pipelines.web.guard_proxy import running_proxy
from tests.pipelines.faulty_server import BODY, running_server, whole


def through(proxy: str, uri: str) -> urllib3.BaseHTTPResponse:
    return urllib3.ProxyManager(proxy, retries=False, timeout=10).request("GET", uri)


def kept_open(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    whole(handler, body)
    handler.close_connection = False


def test_an_allowed_address_is_served_and_its_bytes_are_counted() -> None:
    with running_server() as server:
        guard = read_guard([f"127.0.0.1:{server.port}"], [])
        with running_proxy(guard, idle_s=5) as proxy:
            answer = through(proxy.address, f"{server.uri}?a=1")
            assert (answer.status, answer.data) == (200, BODY)
            assert [path for path, _ in server.requests] == ["/video.mp4?a=1"]
            assert proxy.received > len(BODY)
            assert not proxy.denied


def test_each_request_of_a_client_reaches_its_own_host() -> None:
    """Also if the first host would keep the connection: it is for one exchange."""
    with running_server() as one, running_server() as two:
        one.answer = lambda handler, _: kept_open(handler, b"one")
        two.answer = lambda handler, _: kept_open(handler, b"two")
        places = [f"127.0.0.1:{one.port}", f"127.0.0.1:{two.port}"]
        with running_proxy(read_guard(places, []), idle_s=5) as proxy:
            client = urllib3.ProxyManager(proxy.address, retries=False, timeout=10)
            got = [client.request("GET", server.uri).data for server in (one, two, one, two)]
    assert got == [b"one", b"two", b"one", b"two"]


def test_the_body_of_a_request_is_passed_on() -> None:
    sent = bytes(300_000)
    with socket.create_server(("127.0.0.1", 0)) as host:
        place = f"127.0.0.1:{host.getsockname()[1]}"
        received: list[int] = []

        def serve() -> None:
            connection, _ = host.accept()
            with connection, connection.makefile("rb") as file:
                while file.readline() != b"\r\n":
                    pass
                received.append(len(file.read(len(sent))))
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        serving = threading.Thread(target=serve)
        serving.start()
        with running_proxy(read_guard([place], []), idle_s=5) as proxy:
            client = urllib3.ProxyManager(proxy.address, retries=False, timeout=10)
            assert client.request("POST", f"http://{place}/", body=sent).status == 204
        serving.join()
    assert received == [len(sent)]


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "localhost"])
def test_a_private_address_is_refused_before_anything_connects(host: str) -> None:
    with running_server() as server, running_proxy(read_guard([], []), idle_s=5) as proxy:
        answer = through(proxy.address, f"http://{host}:{server.port}/video.mp4")
        assert answer.status == 403
        assert len(proxy.denied) == 1
        assert not server.requests


def test_a_tunnel_is_guarded_too() -> None:
    with running_server() as server, running_proxy(read_guard([], []), idle_s=5) as proxy:
        with pytest.raises(urllib3.exceptions.ProxyError):
            through(proxy.address, f"https://127.0.0.1:{server.port}/video.mp4")
        assert len(proxy.denied) == 1
        assert not server.requests


def test_what_is_no_request_to_a_proxy_is_refused() -> None:
    with (
        running_proxy(read_guard([], []), idle_s=5) as proxy,
        socket.create_connection(proxy.server_address) as client,
    ):
        client.sendall(b"GET file:///etc/passwd HTTP/1.1\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400")


def test_silence_and_the_end_of_the_block_cut_connections() -> None:
    with (
        running_proxy(read_guard([], []), idle_s=0.2) as proxy,
        socket.create_connection(proxy.server_address) as client,
    ):
        client.settimeout(10)
        assert client.recv(1) == b""
    with running_proxy(read_guard([], []), idle_s=60) as proxy:
        client = socket.create_connection(proxy.server_address)
        client.settimeout(10)
        time.sleep(0.1)
    with client:
        assert client.recv(1) == b""
