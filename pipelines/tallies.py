"""Videos by host and outcome: what a job's matches came to, added up bucket by bucket."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from pipelines.batches import rows_of
from pipelines.identity import split_piece
from pipelines.joins import STORED, latest_videos
from pipelines.web.connections import HttpTrouble, place_of

FILES, NO_HOST = "files", "no host"
HOST_VIDEOS = 20
"""From so many videos on, a host's share of failures says something."""
_MAX_HOST = 260
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?://)?")
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class MatchUri:
    """The columns of `matches/` that say whose a video is."""

    row_key: str
    uri: str
    taken_down: str | None = None


@dataclass(frozen=True)
class Tally:
    """Videos by outcome, and what they cost; of one host, or of many."""

    outcomes: Mapping[str, int] = field(default_factory=dict)
    """`stored`, or status:reason."""
    tries: int = 0
    """Those of a source of several pieces count once, as do its retries and bytes."""
    retries: int = 0
    """Tries after a source's first."""
    source_bytes: int = 0
    stored_bytes: int = 0

    @property
    def videos(self) -> int:
        """Videos with any outcome."""
        return sum(self.outcomes.values())

    @property
    def stored(self) -> int:
        """Videos that are stored."""
        return self.outcomes.get(STORED, 0)

    @property
    def failures(self) -> int:
        """Videos that are not stored, or not yet."""
        return self.videos - self.stored

    @property
    def reasons(self) -> Counter[str]:
        """Videos not stored by reason, whether or not they are tried again."""
        found: Counter[str] = Counter()
        for outcome, count in self.outcomes.items():
            if outcome != STORED:
                found[outcome.partition(":")[2]] += count
        return found

    def share_failed_is_over(self, limit: float) -> bool:
        """Whether too many videos failed, where there are enough to tell."""
        return self.videos >= HOST_VIDEOS and self.failures > limit * self.videos


def tally_hosts(
    _bucket: int, tables: dict[str, Iterable[pa.RecordBatch]]
) -> Iterator[tuple[str, Tally]]:
    """Yield the tally of every host of a bucket's matches.

    Pieces of one source are videos of their own that share a download: what it cost is counted
    once, as the piece with the most of it says. They are all in one bucket, as their keys begin
    alike.
    """
    videos = latest_videos(tables["videos"])
    outcomes: dict[str, Counter[str]] = {}
    stored_bytes: Counter[str] = Counter()
    downloads: dict[tuple[str, str], tuple[int, int]] = {}
    for row in rows_of(tables["matches"], MatchUri):
        if row.taken_down:
            continue  # Taken down: there is no one to fetch it from, and nothing to try again.
        video, uri = videos[row.row_key], split_piece(row.uri)[0]
        outcome = video.status if video.reason is None else f"{video.status}:{video.reason}"
        host = host_of(uri)
        outcomes.setdefault(host, Counter())[outcome] += 1
        stored_bytes[host] += video.size_bytes or 0
        known = downloads.get((host, uri), (0, 0))
        downloads[host, uri] = max(known[0], video.tries), max(known[1], video.source_bytes or 0)
    tries, retries, source_bytes = Counter[str](), Counter[str](), Counter[str]()
    for (host, _), (times, size_bytes) in downloads.items():
        tries[host] += times
        retries[host] += max(0, times - 1)
        source_bytes[host] += size_bytes
    for host, found in outcomes.items():
        costs = (tries[host], retries[host], source_bytes[host], stored_bytes[host])
        yield host, Tally(dict(found), *costs)


def count_outcomes(_host: str, tally: Tally) -> Iterator[tuple[str, int]]:
    """Yield (status, videos) and (status:reason, videos) of one host."""
    for outcome, count in tally.outcomes.items():
        status, colon, _ = outcome.partition(":")
        yield status, count
        if colon:
            yield outcome, count


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of tallies."""
    outcomes: Counter[str] = Counter()
    costs = [0, 0, 0, 0]
    for one in tallies:
        outcomes.update(one.outcomes)
        added = (one.tries, one.retries, one.source_bytes, one.stored_bytes)
        costs = [cost + more for cost, more in zip(costs, added, strict=True)]
    return Tally(dict(sorted(outcomes.items())), *costs)


def host_of(uri: str) -> str:
    """Who serves a URI: host[:port], the bucket of an object, or `files`.

    >>> host_of("HTTP://u@Example.org:8080/a.mp4"), host_of("s3://bucket/a"), host_of("b/a.mp4")
    ('example.org:8080', 's3://bucket', 'files')
    """
    found = _SCHEME.match(uri)
    scheme = found[1].lower() if found else "file"
    if scheme in ("s3", "gs") and found:
        host = f"{scheme}://{uri[found.end() :].partition('/')[0]}"
    elif scheme in _DEFAULT_PORTS:
        host = _web_host(uri, _DEFAULT_PORTS[scheme])
    else:
        host = FILES if scheme == "file" else NO_HOST
    return host if len(host) <= _MAX_HOST else f"{host[:_MAX_HOST]}..."


def _web_host(uri: str, default_port: int) -> str:
    """As manners count it, but for a port that goes without saying."""
    try:
        return place_of(uri).removesuffix(f":{default_port}")
    except HttpTrouble:
        return NO_HOST
