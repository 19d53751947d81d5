"""Videos on web pages, found and fetched by yt-dlp in a child process, for hosts the user named.

yt-dlp follows what a page says, and pages are written by strangers. So the child gets a proxy that
checks every address it connects to, an empty folder, no configuration, no cookies, no plugins, no
helper program, a byte cap and a deadline; what it leaves must be one file with a video's extension.
X-Robots-Tag is not looked at here: yt-dlp does not show its headers.
"""

import math
import os
import re
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from formats.storage import refused
from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.addresses import read_guard
from pipelines.web.connections import HttpTrouble
from pipelines.web.guard_proxy import GuardProxy, running_proxy
from pipelines.web.visits import current_visit

EXTENSIONS = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".flv", ".ts", ".mpg", ".mpeg"),
    *(".3gp", ".3g2", ".ogv", ".wmv", ".asf"),
)
_POLL_S = 0.1
_MAX_SAID_BYTES = 1 << 16
# Pages, playlists and what was tried and dropped, on top of the video itself.
_OVERHEAD_BYTES = 32 << 20
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_REASONS = (
    (r"\b(429|503)\b|too many requests|rate.?limit", Reason.BUSY),
    (r"larger than max-filesize|file too large", Reason.TOO_LARGE),
    (r"does not pass filter.*duration", Reason.TOO_LONG),
    (r"does not pass filter|unsupported url|no video formats|no video could|"
     r"requested format is not available", Reason.NOT_VIDEO),
    (r"\b(404|410)\b|unavailable|private|removed|deleted|no longer|does not exist|terminated",
     Reason.GONE),
    (r"\b(401|403|451)\b|sign in|log ?in|logged|cookies|members.only|geo.?restrict|your country|"
     r"drm", Reason.DENIED),
    (r"timed out|timeout", Reason.TIMEOUT),
    (r"resolve|refused|unreachable|getaddrinfo|failed to establish|certificate|ssl",
     Reason.UNREACHABLE),
)  # fmt: skip
_LATER = frozenset({Reason.BUSY, Reason.TIMEOUT, Reason.UNREACHABLE})


@dataclass(frozen=True)
class _Ended:
    """How the child ended."""

    said: str
    code: int
    stopped: Reason | None
    """Why we ended it."""


def is_page(uri: str, hosts: tuple[str, ...]) -> bool:
    """Whether an http(s) URI is on one of the hosts, or on a subdomain of one.

    >>> is_page("https://www.videos.example/watch?v=1", ("videos.example",))
    True
    >>> is_page("https://evilvideos.example/", ("videos.example",))
    False
    """
    try:
        host = (urlsplit(uri).hostname or "").rstrip(".")
    except ValueError:  # Half an IPv6 address.
        return False
    return any(host == name or host.endswith(f".{name}") for name in map(_host_name, hosts))


def fetch_page(uri: str, destination: str, options: FetchOptions) -> None:
    """Bring the video of a page to a file; of several on one page, the first.

    Memory is yt-dlp's own, some 60 MiB a page while it runs.

    Raises:
        HttpTrouble: it could not be had; the detail is yt-dlp's own error.
        StorageError: the destination cannot be written.
    """
    deadline = time.monotonic() + options.deadline_s
    guard = read_guard(options.allow_addresses, options.connect_to)
    with current_visit(options).turn(uri, deadline):
        try:
            with (
                tempfile.TemporaryDirectory(prefix=".page-", dir=Path(destination).parent) as own,
                running_proxy(guard, idle_s=options.idle_s) as proxy,
            ):
                ended = _run(uri, own, proxy, options, deadline)
                _take(ended, own, destination, proxy, options)
        except OSError as error:
            raise refused(destination, error) from error


def page_trouble(said: str, proxy_denied: bool, proxy_unreachable: bool) -> HttpTrouble:
    """The reason in what yt-dlp printed, with its own errors as the detail.

    >>> page_trouble("ERROR: [generic] x: HTTP Error 404: Not Found", False, False).reason.value
    'gone'
    """
    lines = [" ".join(line.split()) for line in _ANSI.sub("", said).splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    detail = " ".join(errors or lines[-1:]) or "yt-dlp said nothing"
    # An error begins with the site and the video's id, which may hold any number.
    text = re.sub(r"ERROR: (\[[^]]*\] \S+: )?", "", detail).lower()
    reason = next((known for words, known in _REASONS if re.search(words, text)), None)
    if re.search(r"\b(403|502)\b|proxy|fragment", text) and (proxy_denied or proxy_unreachable):
        reason = Reason.DENIED_ADDRESS if proxy_denied else Reason.UNREACHABLE
    if reason is None:
        reason = Reason.BROKEN_SERVER if errors else Reason.NOT_VIDEO
    return HttpTrouble(reason, detail, later=reason in _LATER)


def _host_name(entry: str) -> str:
    return entry.lower().rstrip(".")


def _run(
    uri: str, folder: str, proxy: GuardProxy, options: FetchOptions, deadline: float
) -> _Ended:
    """Run yt-dlp in a process group of its own, which does not outlive this call."""
    videos = Path(folder, "videos")
    videos.mkdir()
    with open(Path(folder, "said"), "w+b") as log:
        child = subprocess.Popen(
            _command(uri, folder, proxy.address, options),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=videos,
            env=_environment(folder),
            start_new_session=True,
        )
        try:
            # Between two looks at the folder a fast server could fill the disk.
            limit = options.max_bytes + _OVERHEAD_BYTES
            resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (limit, limit))
            why = _watch(child.pid, videos, proxy, options.max_bytes, deadline)
        finally:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        log.seek(max(0, log.seek(0, os.SEEK_END) - _MAX_SAID_BYTES))
        return _Ended(log.read().decode(errors="replace"), child.returncode, why)


def _watch(
    pid: int, videos: Path, proxy: GuardProxy, max_bytes: int, deadline: float
) -> Reason | None:
    """Wait for the child; the reason if it must be stopped. It is not reaped: its id stays ours."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return Reason.TIMEOUT
        if _size(videos) > max_bytes or proxy.received > max_bytes + _OVERHEAD_BYTES:
            return Reason.TOO_LARGE
        time.sleep(_POLL_S)
    return None


def _size(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        try:
            total += path.lstat().st_size
        except FileNotFoundError:
            continue  # Renamed when done.
    return total


def _take(
    ended: _Ended, folder: str, destination: str, proxy: GuardProxy, options: FetchOptions
) -> None:
    if ended.stopped is Reason.TIMEOUT:
        raise HttpTrouble(Reason.TIMEOUT, f"not done in {options.deadline_s:g} s", later=True)
    if ended.stopped is Reason.TOO_LARGE:
        raise HttpTrouble(Reason.TOO_LARGE, f"more than {options.max_bytes} bytes")
    found = sorted(Path(folder, "videos").iterdir())
    if ended.code != 0 or not found:
        trouble = page_trouble(ended.said, bool(proxy.denied), bool(proxy.unreachable))
        # Nothing had come when an address was refused: it is the page's own, and nobody was asked.
        trouble.asked = trouble.reason is not Reason.DENIED_ADDRESS or proxy.received > 0
        raise trouble
    if len(found) > 1 or found[0].suffix not in EXTENSIONS or not stat.S_ISREG(_mode(found[0])):
        names = ", ".join(path.name for path in found)
        raise HttpTrouble(Reason.NOT_VIDEO, f"yt-dlp left {names}")
    if found[0].lstat().st_size > options.max_bytes:
        raise HttpTrouble(Reason.TOO_LARGE, f"{found[0].lstat().st_size} bytes")
    found[0].replace(destination)


def _mode(path: Path) -> int:
    return path.lstat().st_mode


def _environment(folder: str) -> dict[str, str]:
    """No proxy, no configuration, and only programs that were installed beside Python."""
    passed = ("LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    kept = {name: os.environ[name] for name in passed if name in os.environ}
    bin_ = str(Path(sys.executable).parent)
    return kept | {"PATH": bin_, "HOME": folder, "TMPDIR": folder, "LANG": "C.UTF-8"}


def _command(uri: str, folder: str, proxy: str, options: FetchOptions) -> list[str]:
    edge, retries = options.stored_short_edge, str(options.max_tries - 1)
    wide = f"[width>=?{edge}][height>=?{edge}]"
    longest = math.ceil(options.max_duration_s) + 1  # Pages give whole seconds.
    return [
        *(sys.executable, "-I", "-m", "yt_dlp", "--ignore-config", "--no-plugin-dirs"),
        *("--no-remote-components", "--no-cache-dir", "--no-cookies", "--no-cookies-from-browser"),
        *("--no-exec", "--no-playlist", "--playlist-items", "1", "--lazy-playlist"),
        "--abort-on-unavailable-fragments",  # Else a video with holes would count as whole.
        *("--no-progress", "--no-warnings", "--color", "never", "--no-mtime", "--no-continue"),
        # Sound is not stored, so nothing needs merging; and ffmpeg would go past the proxy.
        *("--downloader", "native", "--ffmpeg-location", f"{folder}/none", "--fixup", "never"),
        *("--proxy", proxy, "--user-agent", options.user_agent),
        *("--socket-timeout", str(options.idle_s), "--retries", retries),
        *("--fragment-retries", retries, "--extractor-retries", retries),
        *("--max-filesize", str(options.max_bytes)),
        *("--match-filters", f"!is_live & duration<=?{longest}"),
        # The smallest that is large enough, in one file if there is one.
        *("--format", f"bv*[protocol~='^https?$']{wide}/bv*{wide}/bv*"),
        *("--format-sort", "+res,ext:mp4,+size", "--output", "video.%(ext)s", "--", uri),
    ]
