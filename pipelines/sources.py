"""How a URI of the catalog becomes a local file, or a reason why it does not.

Only `http`, `https` and files below the catalog's own folder are read. Everything about a URI comes
from strangers: where it points, what answers there, and for how long.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from formats.storage import StorageError, sha256_file
from formats.tables import Reason
from pipelines.connections import MAX_URI_CHARACTERS, HttpTrouble
from pipelines.downloads import Download
from pipelines.fetch_options import FetchOptions

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")


@dataclass(frozen=True)
class Fetched:
    """A source as it was received."""

    size_bytes: int
    sha256: str
    tries: int
    final_uri: str
    """After redirects."""
    length_verified: bool
    """The server said where the body ends, so a cut one would have been noticed."""


class FetchError(Exception):
    """A source could not be had; the reason is one of the closed list."""

    def __init__(
        self, reason: Reason, detail: str, *, retry_later: bool = False, tries: int = 0
    ) -> None:
        self.reason = reason
        self.detail = detail
        self.retry_later = retry_later
        """The next run may have more luck."""
        self.tries = tries
        super().__init__(reason, detail)

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


def fetch_source(
    uri: str, destination: str, *, options: FetchOptions, folder: str | None
) -> Fetched:
    """Bring the bytes that a URI names to a file of ours; on failure there is no such file.

    Args:
        uri: An http or https URI, or the path of a file relative to `folder`.
        destination: Where the file is to be; it does not exist yet.
        options: Limits and what is allowed.
        folder: Of the catalog. No file outside of it is read, not even through a link.

    Raises:
        FetchError: with `bad_uri`, `source_not_allowed`, `denied_address`, `unreachable`, `gone`,
            `denied`, `opted_out`, `busy`, `broken_server`, `redirects`, `timeout`, `too_large`,
            `encoded` or `truncated`.
        StorageError: the destination cannot be written.
    """
    kind = _kind(uri)
    if kind not in options.sources:
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, f"sources of kind {kind!r} are not followed")
    if kind == "http":
        return _download(uri, destination, options)
    if folder is None:
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, "the catalog has no folder of its own")
    return _take_file(uri, destination, options, Path(folder))


def _kind(uri: str) -> str:
    """`http`, `file` for a path, or the scheme."""
    if not uri or len(uri) > MAX_URI_CHARACTERS or not _is_clean(uri):
        raise FetchError(Reason.BAD_URI, f"not a URI: {uri[:80]!r}")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return "file"
    name = scheme[1].lower()
    return {"https": "http", "file": "file:"}.get(name, name)


def _is_clean(uri: str) -> bool:
    return not any(ord(character) < 32 or ord(character) == 127 for character in uri)


def _download(uri: str, destination: str, options: FetchOptions) -> Fetched:
    with _new_file(destination) as file:
        download = Download(uri, file, options)
        try:
            download.run()
        except HttpTrouble as trouble:
            raise FetchError(
                trouble.reason, trouble.detail, retry_later=trouble.later, tries=download.tries
            ) from trouble
    return Fetched(
        download.received,
        download.sha256,
        download.tries,
        download.final_uri,
        download.length_verified,
    )


def _take_file(path: str, destination: str, options: FetchOptions, folder: Path) -> Fetched:
    """Link a file of the catalog's folder, or copy it where it cannot be linked."""
    source = _inside(path, folder)
    with _open_regular(source) as opened:
        announced = os.fstat(opened.fileno()).st_size
        if announced > options.max_bytes:
            raise FetchError(Reason.TOO_LARGE, f"{announced} bytes", tries=1)
        if not _linked(source, destination):
            with _new_file(destination) as file:
                shutil.copyfileobj(opened, file)
    size_bytes = Path(destination).stat().st_size
    return Fetched(size_bytes, sha256_file(destination), 1, path, True)


def _inside(path: str, folder: Path) -> Path:
    root = folder.resolve()
    try:
        source = (root / path).resolve()
    except (OSError, RuntimeError) as error:  # A name too long, or links that go round.
        raise FetchError(Reason.BAD_URI, str(error)) from error
    if not source.is_relative_to(root):
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, "outside of the catalog's folder")
    return source


def _open_regular(source: Path) -> BinaryIO:
    """The file, opened; a pipe or a device is not even opened, since that alone can hang."""
    try:
        if not stat.S_ISREG(source.stat().st_mode):
            raise FetchError(Reason.BAD_URI, "not a file", tries=1)
        return source.open("rb")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError(Reason.GONE, "no such file", tries=1) from error
    except OSError as error:
        raise FetchError(Reason.DENIED, f"cannot be read: {error.strerror}", tries=1) from error


def _linked(source: Path, destination: str) -> bool:
    """Whether a hard link could be made: not to another disk, nor to everyone's files."""
    try:
        os.link(source, destination)
    except OSError:
        return False
    return True


@contextmanager
def _new_file(destination: str) -> Iterator[BinaryIO]:
    """An empty file of ours, which is removed again if the block raises."""
    try:
        with open(destination, "wb") as file:
            yield file
    except OSError as error:
        Path(destination).unlink(missing_ok=True)
        raise StorageError(f"{destination}: cannot be written: {error.strerror}") from error
    except (FetchError, StorageError):
        Path(destination).unlink(missing_ok=True)
        raise
