"""The exact tier: source videos that are a target video by their address, their id or their bytes.

It costs no decode and no comparison of frames, and it finds what frames cannot tell: flat pictures,
videos without texture. A name counts only where chance cannot have given it twice (`platform_id`).
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

import numpy as np

from formats.tables import TargetVideoRow
from pipelines.identity import row_key

TIERS = ("uri", "video_id", "sha256", "packets")
"""From the plainest to the least plain; of several that hold, the first is named."""

_YOUTUBE = re.compile(
    r"https?://(?:www\.|m\.|music\.)?(?:youtube(?:-nocookie)?\.com/"
    r"(?:watch\?(?:[^#]*&)?v=|shorts/|embed/|live/|v/)|youtu\.be/)([\w-]{11})(?![\w-])",
    re.ASCII,
)
_YOUTUBE_ID = re.compile(r"([\w-]{11})(?:_\d{6}_\d{6})?", re.ASCII)
"""Alone, or as Kinetics names its clips: with the seconds they were cut from."""
_MIXED = re.compile(r"(?=.*[A-Z])(?=.*[a-z])(?=.*[0-9_-])", re.ASCII)
_COUNTED = re.compile(r"[A-Za-z]+[_-]?[A-Za-z]*[_-]?\d+", re.ASCII)
_OTHER_ID = re.compile(r"[1-9]\d{8,}|[0-9a-f]{16,}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WEB = ("http", "https", "s3", "gs")


class ContentMarks(Protocol):
    """The hashes of a video's bytes."""

    @property
    def source_sha256(self) -> str | None: ...
    @property
    def packets_sha256(self) -> str | None: ...


class SourceMarks(ContentMarks, Protocol):
    """What a stored video is known by."""

    @property
    def row_key(self) -> str: ...
    @property
    def video_id(self) -> str: ...
    @property
    def final_uri(self) -> str | None: ...
    @property
    def names(self) -> tuple[str, ...]: ...


class ExactCopy(NamedTuple):
    """A target video that a source video is a copy of, and what says so."""

    tier: str
    target: str
    target_video_id: str


class ExactCopies:
    """The marks of every target video; some 100 bytes a video, whatever the source's size."""

    def __init__(self, sets: Mapping[str, Iterable[TargetVideoRow]]) -> None:
        self._videos: list[tuple[str, str]] = []
        marks: list[tuple[int, int, int]] = []
        for name, rows in sets.items():
            for row in rows:
                owner = len(self._videos)
                self._videos.append((name, row.video_id))
                marks += [(_digest(t, v), TIERS.index(t), owner) for t, v in target_marks(row)]
        marks.sort()
        self._digests = np.array([mark[0] for mark in marks], np.uint64)
        self._tiers = np.array([mark[1] for mark in marks], np.int8)
        self._owners = np.array([mark[2] for mark in marks], np.int32)

    def find(self, video: SourceMarks) -> list[ExactCopy]:
        """Each target video that this one is a copy of, once, by its plainest tier."""
        best: dict[int, int] = {}
        for tier, value in source_marks(video):
            digest = np.uint64(_digest(tier, value))
            start = int(np.searchsorted(self._digests, digest, "left"))
            stop = int(np.searchsorted(self._digests, digest, "right"))
            for place in range(start, stop):
                owner, rank = int(self._owners[place]), int(self._tiers[place])
                best[owner] = min(rank, best.get(owner, rank))
        return sorted(ExactCopy(TIERS[rank], *self._videos[owner]) for owner, rank in best.items())


def target_marks(row: TargetVideoRow) -> Iterator[tuple[str, str]]:
    """Yield (tier, value) of all that a copy of a target video may be known by."""
    yield from _id_marks(row.video_id, row.uri, PurePosixPath(row.uri).stem)
    parts = urlsplit(row.uri)
    if parts.scheme in _WEB:
        yield "uri", row_key(row.uri)
        if parts.scheme in ("http", "https"):
            other = "http" if parts.scheme == "https" else "https"
            yield "uri", row_key(parts._replace(scheme=other).geturl())
    yield from _content_marks(row)


def source_marks(video: SourceMarks) -> Iterator[tuple[str, str]]:
    """Yield (tier, value) of all that a stored video is known by."""
    yield "uri", video.row_key
    if video.final_uri:
        yield "uri", row_key(video.final_uri)
    for whole in (name.removeprefix("uri:") for name in video.names if name.startswith("uri:")):
        yield "uri", row_key(whole)  # Of a piece: which seconds a benchmark took is not asked.
    yield from _id_marks(video.video_id, video.final_uri or "")
    yield from _content_marks(video)


def platform_id(name: str) -> str | None:
    """The id that a platform gave a video, out of its address, its id or a file's name.

    YouTube's 11 characters (in an address, alone, or in a Kinetics file name), long numbers, and
    hexadecimal of 16 digits or more. None for what people count or call: two catalogs may both
    have a `clip_00012`.

    >>> platform_id("https://youtu.be/-3B32lodo2M?t=3"), platform_id("-3B32lodo2M_000059_000069")
    ('-3B32lodo2M', '-3B32lodo2M')
    >>> platform_id("clip_000123"), platform_id("7"), platform_id("6812345678901234567")
    (None, None, '6812345678901234567')
    """
    in_address = _YOUTUBE.match(name)
    if in_address:
        return in_address[1]
    alone = _YOUTUBE_ID.fullmatch(name)
    if alone and _MIXED.match(alone[1]) and not _COUNTED.fullmatch(alone[1]):
        return alone[1]
    return name if _OTHER_ID.fullmatch(name) else None


def _id_marks(*names: str) -> Iterator[tuple[str, str]]:
    ids = {known for name in names if (known := platform_id(name)) is not None}
    yield from (("video_id", known) for known in sorted(ids))


def _content_marks(video: ContentMarks) -> Iterator[tuple[str, str]]:
    if video.source_sha256:
        yield "sha256", video.source_sha256
    if video.packets_sha256:
        yield "packets", video.packets_sha256


def _digest(tier: str, value: str) -> int:
    """64 bits are enough: 10^9 look-ups among 10^6 marks meet by chance once in 20,000 runs."""
    text = f"{tier}:{value}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")
