"""The options of the stage fetch, which are many: the web, the media, the politeness."""

import importlib.util
import re
from dataclasses import dataclass

from formats.fates import Reason
from formats.objects import read_endpoint
from pipelines.option_checks import at_least, fraction, known_words, operational
from pipelines.web.addresses import read_guard

SOURCES = ("http", "file", "s3", "gs", "ytdlp")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")


@dataclass(frozen=True)
class FetchOptions:
    """How videos are downloaded, checked and stored."""

    sources: tuple[str, ...] = ("http", "file")
    """Kinds of URI that are followed: `http` (and https), `file` (below `file_root`), `s3`, `gs`,
    `ytdlp` (pages of `ytdlp_hosts`, by yt-dlp)."""
    file_root: str = operational("")  # type: ignore[assignment]
    """Folder that files are read from, never outside of it; empty = the catalog's own folder."""
    ytdlp_hosts: tuple[str, ...] = ()
    """Hosts, subdomains included, whose http(s) URIs are pages that yt-dlp finds the video on."""
    s3_endpoint: str = operational("")  # type: ignore[assignment]
    """Address of an S3 service that is not Amazon's, http(s)://host:port."""
    s3_region: str = operational("")  # type: ignore[assignment]
    gs_endpoint: str = operational("")  # type: ignore[assignment]
    """Address of a service that speaks Google Cloud Storage's protocol, http(s)://host:port."""
    anonymous_objects: bool = operational(False)  # type: ignore[assignment]
    """Read s3:// and gs:// objects without credentials, as public buckets allow."""
    deadline_s: float = 120.0
    """Total time for one video, all tries and waits included."""
    idle_s: float = 20.0
    """Time without a byte before a try is given up."""
    max_bytes: int = 256 * 1024 * 1024
    max_redirects: int = 5
    max_tries: int = 4
    allow_addresses: tuple[str, ...] = operational(())  # type: ignore[assignment]
    """Private networks (10.0.0.0/8) or host:port pairs that may be connected to all the same."""
    connect_to: tuple[str, ...] = operational(())  # type: ignore[assignment]
    """`name=host:port`: connect there for URIs of that host name, like curl's --connect-to."""
    user_agent: str = operational("Tagreel/0.1 (+https://github.com/tagreel/tagreel)")  # type: ignore[assignment]
    robots_txt: bool = True
    """Ask each host's robots.txt (RFC 9309) before its first video."""
    robots_tags: bool = True
    """Respect `X-Robots-Tag: noai, noimageai, noindex ...`."""
    downloads_per_host: int = operational(2)  # type: ignore[assignment]
    """Videos of one host that a worker has under way at once."""
    host_gap_s: float = operational(0.1)  # type: ignore[assignment]
    """Least time between two requests of a worker to one host."""
    host_failures: int = operational(20)  # type: ignore[assignment]
    """After so many failures of a host in a row the rest of its videos is left for a later run."""
    retry: tuple[str, ...] = operational(())  # type: ignore[assignment]
    """Reasons whose rejected videos are tried once more: `gone`, `timeout` ..."""
    downloads_per_unit: int = operational(4)  # type: ignore[assignment]
    """Videos of one unit that are under way at once, without those that only wait for a host."""
    videos_per_part: int = operational(64)  # type: ignore[assignment]
    """Videos per unit of work: what a kill costs at most, and what one tar holds; four times as
    many if all are pieces of one source."""
    stored_short_edge: int = 128
    """Pixels; videos are scaled down to this short edge, never up (paper 3.3: 128 x 171)."""
    max_fps: float = 30.0
    crf: int = 24
    gop: int = 12
    """Frames between key frames: a random clip costs what its own frames cost."""
    preset: str = "veryfast"
    min_duration_s: float = 1.0
    """Decoded seconds (paper 3.1: 1-60 s)."""
    max_duration_s: float = 61.0
    """Decoded seconds; one of tolerance over the paper's 60."""
    min_frames: int = 2
    max_pixels: int = 3840 * 2160
    """Of one source frame."""
    sandbox: str = operational("auto")  # type: ignore[assignment]
    """`auto`: bind decoders by limits and by what the kernel grants of Landlock and seccomp;
    `require`: fail where it does not grant both."""
    decode_deadline_s: float = 120.0
    decode_memory_bytes: int = 2 * 1024**3
    hash_fps: float = 2.0
    max_failed_fraction: float = 0.5
    """Above this share of videos not stored the job fails instead of finishing short."""
    max_host_failed_fraction: float = operational(1.0)  # type: ignore[assignment]
    """The same for every host with at least 20 videos; 1 = hosts may fail altogether."""

    def __post_init__(self) -> None:
        at_least(self, deadline_s=0.001, max_bytes=1, max_tries=1, videos_per_part=1, gop=1)
        at_least(self, stored_short_edge=16, downloads_per_unit=1, min_frames=1)
        at_least(self, downloads_per_host=1, host_gap_s=0, host_failures=1, hash_fps=0.1)
        fraction(self, "max_failed_fraction")
        fraction(self, "max_host_failed_fraction")
        if self.sandbox not in ("auto", "require"):
            raise ValueError(f"sandbox must be auto or require, got {self.sandbox!r}")
        read_guard(self.allow_addresses, self.connect_to)  # Refuses what is no address.
        known_words(self, "retry", tuple(Reason))
        known_words(self, "sources", SOURCES)
        for name in ("s3_endpoint", "gs_endpoint"):
            _check_endpoint(name, getattr(self, name))
        if "ytdlp" in self.sources:
            _check_pages(self.ytdlp_hosts)


def _check_endpoint(name: str, endpoint: str) -> None:
    try:
        read_endpoint(endpoint)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _check_pages(hosts: tuple[str, ...]) -> None:
    """Raise ValueError where pages could not be fetched, before anything else is."""
    if not hosts:
        raise ValueError(
            "sources: 'ytdlp' follows no page without ytdlp_hosts; name the hosts you mean"
        )
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ValueError(f"ytdlp_hosts: {host!r} is not the name of a host")
    if importlib.util.find_spec("yt_dlp") is None:
        raise ValueError(
            "sources: 'ytdlp' needs yt-dlp, which is not installed; run "
            ".venv/bin/pip install -c constraints.txt -e '.[ytdlp]'"
        )
