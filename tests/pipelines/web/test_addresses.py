import socket
import threading

import pytest

from pipelines.web.addresses import AddressDenied, AddressGuard, is_public, read_guard

CLOSED = [
    "0.0.0.1",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.7",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
]
OPEN = ["1.1.1.1", "100.63.255.255", "172.32.0.1", "2606:4700::1111", "64:ff9b::101:101"]
ODD_LOOPBACKS = ["127.1", "2130706433", "0x7f000001", "localhost", "0"]


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Makes every name resolve to these; returns the list of names asked for."""
    asked = []

    def getaddrinfo(host, port, *_args, **_kwargs):
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def taken(listener: socket.socket) -> int:
    """How many connections wait at the listener."""
    listener.settimeout(0.05)
    count = 0
    while True:
        try:
            listener.accept()[0].close()
            count += 1
        except TimeoutError:
            return count


@pytest.mark.parametrize("address", CLOSED)
def test_addresses_that_are_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_public_addresses(address):
    assert is_public(address)


@pytest.mark.parametrize("host", [*ODD_LOOPBACKS, "::ffff:127.0.0.1", "::1"])
def test_no_spelling_of_the_own_machine_is_connected_to(listener, host):
    with pytest.raises((AddressDenied, socket.gaierror)):
        AddressGuard().connect(host, listener.getsockname()[1], 1.0)
    assert taken(listener) == 0


def test_one_closed_address_among_public_ones_is_enough(monkeypatch):
    answers(monkeypatch, "93.184.216.34", "127.0.0.1")
    with pytest.raises(AddressDenied, match="host.example is 127.0.0.1"):
        AddressGuard().check("host.example", 80)


def test_a_name_is_resolved_once_and_its_address_connected_to(monkeypatch, listener):
    port = listener.getsockname()[1]
    asked = answers(monkeypatch, "127.0.0.1")
    guard = read_guard(["127.0.0.0/8"], [])
    assert guard.check("host.example", port) == ["127.0.0.1"]
    assert asked == ["host.example"]
    monkeypatch.undo()
    with guard.connect("localhost", port, 1.0) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize("allowed", ["127.0.0.1", "127.0.0.0/8", "127.0.0.1:{}", "localhost:{}"])
def test_allowed_addresses_are_connected_to(listener, allowed):
    port = listener.getsockname()[1]
    guard = read_guard([allowed.format(port), "::1"], [])
    with guard.connect("localhost", port, 1.0):
        assert taken(listener) == 1


def test_an_allowed_place_is_that_port_only(listener):
    port = listener.getsockname()[1]
    with pytest.raises(AddressDenied):
        read_guard([f"127.0.0.1:{port + 1}"], []).connect("127.0.0.1", port, 1.0)
    assert taken(listener) == 0


def test_a_detour_leads_one_name_elsewhere(listener):
    port = listener.getsockname()[1]
    guard = read_guard([], [f"Videos.example=127.0.0.1:{port}"])
    with guard.connect("videos.EXAMPLE.", 80, 1.0) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)
    with pytest.raises(AddressDenied):
        guard.connect("127.0.0.1", port, 1.0)


def test_the_next_address_is_tried_when_one_refuses(monkeypatch, listener):
    port = listener.getsockname()[1]
    monkeypatch.setattr("pipelines.web.addresses.resolve", lambda *_: ["127.0.0.9", "127.0.0.1"])
    with read_guard(["127.0.0.0/8"], []).connect("host.example", port, 1.0) as connection:
        assert connection.getpeername() == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("allow", "connect", "complaint"),
    [
        (["10.0.0.0/33"], [], "allow_addresses: '10.0.0.0/33'"),
        (["host"], [], "allow_addresses: 'host'"),
        (["host:99999"], [], "allow_addresses: 'host:99999'"),
        ([], ["a.example"], "connect_to: 'a.example' is not name=host:port"),
        ([], ["=b:1"], "connect_to: '=b:1' is not name=host:port"),
        ([], ["a.example=b"], "connect_to: 'a.example=b' is not name=host:port"),
    ],
)
def test_an_entry_that_cannot_be_read_is_refused(allow, connect, complaint):
    with pytest.raises(ValueError, match=complaint):
        read_guard(allow, connect)


def test_connections_from_threads_do_not_share_anything(listener):
    port = listener.getsockname()[1]
    guard = read_guard(["127.0.0.1"], [])
    threads = [
        threading.Thread(target=lambda: guard.connect("127.0.0.1", port, 1.0).close())
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert taken(listener) == 4
