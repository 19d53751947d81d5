"""What a video and a name are known by, where the text itself must not stand."""

import hashlib


def row_key(uri: str) -> str:
    """A video's identity in every table after the catalog: a hash of its URI.

    >>> row_key("http://example.org/a.mp4")[:8]
    '9450e0ee'
    """
    return _sha256(uri)[:32]


def name_hash(kind: str, name: str) -> str:
    """The hash of a video_id (kind `id`) or an `uploader`; the kinds never meet."""
    return _sha256(f"{kind}:{name}")


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
