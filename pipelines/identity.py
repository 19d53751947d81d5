"""What a video and a name are known by, where the text itself must not stand."""

import hashlib
import re

_PIECE = re.compile(r"(.*)#t=(\d{1,9}(?:\.\d{1,3})?),(\d{1,9}(?:\.\d{1,3})?)", re.DOTALL)


def row_key(uri: str) -> str:
    """A video's identity in every table after the catalog: 32 hex digits, a hash of its URI.

    A piece's begins as its video's does, so that in tables in order of keys they are neighbours.

    >>> row_key("http://example.org/a.mp4")[:8]
    '9450e0ee'
    >>> row_key("http://example.org/a.mp4#t=1,2")[:16] == row_key("http://example.org/a.mp4")[:16]
    True
    """
    whole, piece = split_piece(uri)
    key = _sha256(whole)[:32]
    return key if piece is None else key[:16] + _sha256(uri)[:16]


def piece_uri(uri: str, start_s: float, end_s: float) -> str:
    """The URI of some seconds of a video, as W3C's Media Fragments write it; to the millisecond.

    >>> piece_uri("http://example.org/a.mp4", 2.5, 10)
    'http://example.org/a.mp4#t=2.5,10'
    """
    start, end = (f"{seconds:.3f}".rstrip("0").rstrip(".") for seconds in (start_s, end_s))
    return f"{uri}#t={start},{end}"


def split_piece(uri: str) -> tuple[str, tuple[float, float] | None]:
    """A URI without the seconds that it names, and those: the first, and the one it ends before.

    >>> split_piece("http://example.org/a.mp4#t=2.5,10")
    ('http://example.org/a.mp4', (2.5, 10.0))
    >>> split_piece("http://example.org/a.mp4#t=10,2")
    ('http://example.org/a.mp4#t=10,2', None)
    """
    # Most name none, and the search goes through all of a URI.
    found = _PIECE.fullmatch(uri) if "#t=" in uri else None
    if found is None or float(found[2]) >= float(found[3]):
        return uri, None
    return found[1], (float(found[2]), float(found[3]))


def name_hash(kind: str, name: str) -> str:
    """The hash of a video_id (kind `id`) or an `uploader`; the kinds never meet."""
    return _sha256(f"{kind}:{name}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
