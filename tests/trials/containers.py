"""Boxes, elements and chunks: containers taken apart and put together by hand, to be spoilt."""

import struct
from collections.abc import Callable, Iterator

PREFIXES = {"stsd": 8, "dref": 8, "meta": 4}
"""Bytes before the first inner box of a box."""


def box(kind: str, *payloads: bytes) -> bytes:
    """An MP4 box."""
    payload = b"".join(payloads)
    return struct.pack(">I", 8 + len(payload)) + kind.encode("latin-1") + payload


def boxes(content: bytes) -> Iterator[tuple[str, bytes]]:
    """(kind, payload) of each box, one after the other."""
    position = 0
    while position < len(content):
        size, kind = struct.unpack_from(">I4s", content, position)
        assert 8 <= size <= len(content) - position
        yield kind.decode("latin-1"), content[position + 8 : position + size]
        position += size


def edited(content: bytes, path: str, change: Callable[[bytes], bytes]) -> bytes:
    """The file with the payload of its first box of that path changed, sizes kept right.

    Nothing may come after `moov` that it points to: the offsets in it are not moved.
    """
    kind, _, rest = path.partition("/")
    pieces, found = [], False
    for name, payload in boxes(content):
        if name == kind and not found:
            found = True
            prefix = payload[: PREFIXES.get(name, 0)]
            inner = payload[len(prefix) :]
            payload = prefix + edited(inner, rest, change) if rest else change(payload)
        pieces.append(box(name, payload))
    assert found, path
    return b"".join(pieces)


def patched(content: bytes, path: str, offset: int, value: bytes) -> bytes:
    """The file with some bytes of one box's payload overwritten."""

    def put(payload: bytes) -> bytes:
        assert offset + len(value) <= len(payload)
        return payload[:offset] + value + payload[offset + len(value) :]

    return edited(content, path, put)


def element(identity: int, *payloads: bytes) -> bytes:
    """An EBML element of Matroska, its size written in eight bytes."""
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    payload = b"".join(payloads)
    return name + (len(payload) | 1 << 56).to_bytes(8, "big") + payload


def chunk(kind: bytes, payload: bytes) -> bytes:
    """A RIFF chunk."""
    return kind + struct.pack("<I", len(payload)) + payload + bytes(len(payload) % 2)


def riff_list(kind: bytes, *chunks: bytes) -> bytes:
    """A RIFF list of chunks."""
    return chunk(b"LIST", kind + b"".join(chunks))


def gif(side: int, pictures: int, delay_hundredths: int = 1) -> bytes:
    """A GIF of one colour: a screen of side x side, each picture a single pixel of it."""
    screen = b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(3) + b"\xff" * 3
    control = b"!\xf9\4\0" + struct.pack("<H", delay_hundredths) + b"\0\0"
    picture = b"," + struct.pack("<HHHH", 0, 0, 1, 1) + b"\0\2\2\x4c\1\0"
    return screen + (control + picture) * pictures + b";"
