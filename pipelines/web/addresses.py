"""Which network addresses may be connected to: public ones, and what the user allowed by name.

A catalog is written by strangers, and a URI in it must not reach the machine's own network, not
even by a redirect or a name that resolves differently the second time. So every address that a name
resolves to is checked, and the connection goes to a checked address, not to the name.
"""

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Python's own `is_global` lets several of these through (Azure's 168.63.129.16, NAT64, 6to4).
_CLOSED_V4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier NAT; Alibaba's metadata 100.100.100.200
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host
        "169.254.0.0/16",  # link-local; metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # IETF; Oracle's metadata 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Of IPv6 only this is assigned to the public net: loopback, mapped and compatible IPv4, link-local,
# multicast and unique-local (fd00:ec2::254 is AWS's metadata) are all outside of it.
_OPEN_V6 = ipaddress.IPv6Network("2000::/3")
_CLOSED_V6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # IETF, Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class AddressDenied(Exception):
    """A host resolves to an address that must not be connected to."""


def is_public(address: str) -> bool:
    """Whether an address belongs to the public internet.

    >>> is_public("8.8.8.8"), is_public("127.0.0.1"), is_public("168.63.129.16")
    (True, False, False)
    >>> is_public("64:ff9b::808:808"), is_public("64:ff9b::7f00:1")  # NAT64 of the first two
    (True, False)
    """
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv4Address):
        return not any(parsed in network for network in _CLOSED_V4)
    if parsed in _NAT64:
        return is_public(str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)))
    return parsed in _OPEN_V6 and not any(parsed in network for network in _CLOSED_V6)


def resolve(host: str, port: int) -> list[str]:
    """Every address of a host, as the system resolves it (`127.1` and `0x7f000001` included)."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass(frozen=True)
class AddressGuard:
    """Opens connections, to checked addresses only."""

    networks: tuple[Network, ...] = ()
    """Allowed although not public."""
    places: frozenset[tuple[str, int]] = frozenset()
    """(host or address, port) pairs that are allowed although not public."""
    detours: Mapping[str, tuple[str, int]] | None = None
    """Host name -> where its connections go instead; naming it allows it."""

    def connect(self, host: str, port: int, timeout_s: float) -> socket.socket:
        """A connection to the first address of a host that takes one.

        Raises:
            AddressDenied: any address of the host is not allowed; nothing was connected to.
            OSError: the name does not resolve or no address takes the connection.
        """
        detour = (self.detours or {}).get(host.lower().rstrip("."))
        if detour is not None:
            return socket.create_connection(detour, timeout_s)
        return _connect_first(self.check(host, port), port, timeout_s)

    def check(self, host: str, port: int) -> list[str]:
        """The addresses of a host, resolved once, if every one of them is allowed.

        Raises:
            AddressDenied: one of them is not.
            OSError: the name does not resolve.
        """
        addresses = resolve(host, port)
        if (host.lower(), port) not in self.places:
            for address in addresses:
                if not self._is_allowed(address, port):
                    raise AddressDenied(f"{host} is {address}")
        return addresses

    def _is_allowed(self, address: str, port: int) -> bool:
        if is_public(address) or (address, port) in self.places:
            return True
        parsed = ipaddress.ip_address(address.partition("%")[0])
        return any(parsed in network for network in self.networks)


def read_guard(allow_addresses: Sequence[str], connect_to: Sequence[str]) -> AddressGuard:
    """The guard that `fetch.allow_addresses` and `fetch.connect_to` describe.

    >>> guard = read_guard(["10.0.0.0/8", "127.0.0.1:8080"], ["videos.example=127.0.0.1:9000"])
    >>> guard.places, guard.detours
    (frozenset({('127.0.0.1', 8080)}), {'videos.example': ('127.0.0.1', 9000)})

    Raises:
        ValueError: an entry is neither a network, nor `host:port`, nor `name=host:port`.
    """
    networks: list[Network] = []
    places: set[tuple[str, int]] = set()
    for entry in allow_addresses:
        try:
            networks.append(ipaddress.ip_network(entry))
        except ValueError:
            places.add(_place(entry, f"allow_addresses: {entry!r} is no network or host:port"))
    detours = {}
    for entry in connect_to:
        name, _, place = entry.partition("=")
        complaint = f"connect_to: {entry!r} is not name=host:port"
        if not name:
            raise ValueError(complaint)
        detours[name.lower()] = _place(place, complaint)
    return AddressGuard(tuple(networks), frozenset(places), detours)


def _place(entry: str, complaint: str) -> tuple[str, int]:
    host, _, port = entry.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(complaint)
    return host.strip("[]").lower(), int(port)


def _connect_first(addresses: Sequence[str], port: int, timeout_s: float) -> socket.socket:
    refusal = OSError("no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout_s)
        except OSError as error:
            refusal = error
    raise refusal
