"""How a URI of the catalog becomes a local file, or a reason why it does not.

Only the kinds in `fetch.sources` are followed: http(s), files below one folder, s3 and gs objects,
pages by yt-dlp. Everything about a URI comes from strangers: where it points, what answers there,
and for how long.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote_to_bytes

from formats.storage import StorageError, refused, sha256_file
from formats.tables import Reason
from pipelines.fetch_options import FetchOptions
from pipelines.web.connections import MAX_URI_CHARACTERS, HttpTrouble
from pipelines.web.copies import Copy
from pipelines.web.downloads import Download
from pipelines.web.objects import ObjectCopy
from pipelines.web.pages import fetch_page, is_page

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
        uri: An http(s), s3 or gs URI, a file URI, or the path of a file relative to `folder`.
        destination: Where the file is to be; it does not exist yet.
        options: Limits and what is allowed.
        folder: Of the catalog; `file_root` goes before it. No file outside of it is read, not even
            through a link.

    Raises:
        FetchError: with one of the reasons of a source.
        StorageError: the destination cannot be written.
    """
    kind = _kind(uri, options)
    if kind not in options.sources:
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, f"sources of kind {kind!r} are not followed")
    if kind == "file":
        return _take_file(uri, destination, options, options.file_root or folder)
    if kind == "ytdlp":
        return _take_page(uri, destination, options)
    return _copy(uri, destination, options, ObjectCopy if kind in ("s3", "gs") else Download)


def local_file(uri: str, options: FetchOptions, folder: str) -> str | None:
    """The path of the file that a URI names; None if it names none that `fetch_source` would read.

    Nothing is opened, and the file need not be there.
    """
    root = Path(options.file_root or folder)
    try:
        if _kind(uri, options) != "file":
            return None
        return str(root.resolve() / _inside(_path_of(uri), root))
    except FetchError:
        return None


def _kind(uri: str, options: FetchOptions) -> str:
    """The kind as `fetch.sources` names it; for what it does not know, the scheme."""
    if not uri or len(uri) > MAX_URI_CHARACTERS or not _is_clean(uri):
        raise FetchError(Reason.BAD_URI, f"not a URI: {uri[:80]!r}")
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return "file"
    name = scheme[1].lower()
    if name not in ("http", "https"):
        return name
    return "ytdlp" if "ytdlp" in options.sources and is_page(uri, options.ytdlp_hosts) else "http"


def _is_clean(uri: str) -> bool:
    """Whether it is text without control characters or halves of characters."""
    return not any(
        ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000
        for character in uri
    )


def _copy(uri: str, destination: str, options: FetchOptions, make: type[Copy]) -> Fetched:
    with _new_file(destination) as file:
        try:
            copy = make(uri, file, options)
        except HttpTrouble as trouble:
            raise _failed(trouble, 0) from trouble
        try:
            copy.run()
        except HttpTrouble as trouble:
            raise _failed(trouble, copy.tries) from trouble
    return Fetched(copy.received, copy.sha256, copy.tries, copy.final_uri, copy.length_verified)


def _take_page(uri: str, destination: str, options: FetchOptions) -> Fetched:
    try:
        fetch_page(uri, destination, options)
    except HttpTrouble as trouble:
        raise _failed(trouble, int(trouble.asked)) from trouble
    # yt-dlp retries, follows redirects and checks lengths by itself, and does not tell.
    return Fetched(Path(destination).stat().st_size, sha256_file(destination), 1, uri, False)


def _failed(trouble: HttpTrouble, tries: int) -> FetchError:
    return FetchError(trouble.reason, trouble.detail, retry_later=trouble.later, tries=tries)


def _take_file(uri: str, destination: str, options: FetchOptions, root: str | None) -> Fetched:
    """Link a file of the folder, or copy it where it cannot be linked."""
    if root is None:
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, "the catalog has no folder of its own")
    with ExitStack() as stack:
        folder, name = _open_parent(_inside(_path_of(uri), Path(root)), Path(root), stack)
        opened = stack.enter_context(_open_regular(folder, name))
        announced = os.fstat(opened.fileno()).st_size
        if announced > options.max_bytes:
            raise FetchError(Reason.TOO_LARGE, f"{announced} bytes", tries=1)
        if not _linked(opened, folder, name, destination):
            with _new_file(destination) as file:
                shutil.copyfileobj(opened, file)
    size_bytes = Path(destination).stat().st_size
    return Fetched(size_bytes, sha256_file(destination), 1, uri, True)


def _path_of(uri: str) -> str:
    """The path that a file URI (RFC 8089) names; a path stays as it is."""
    scheme = _SCHEME.match(uri)
    if scheme is None:
        return uri
    rest = uri[scheme.end() :]
    host = ""
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        rest = slash + rest
    if host.lower() not in ("", "localhost"):
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, f"a file of another host, {host[:80]!r}")
    path = os.fsdecode(unquote_to_bytes(rest))
    if not path.startswith("/") or "?" in rest or "#" in rest or not _is_clean(path):
        raise FetchError(Reason.BAD_URI, f"not a file URI: {uri[:80]!r}")
    return path


def _inside(path: str, root: Path) -> Path:
    """Where a file lies relative to the folder once every link is followed."""
    top = root.resolve()
    try:
        source = (top / path).resolve()
    except (OSError, RuntimeError) as error:  # A name too long, or links that go round.
        raise FetchError(Reason.BAD_URI, str(error)) from error
    if not source.is_relative_to(top):
        raise FetchError(Reason.SOURCE_NOT_ALLOWED, "outside of the catalog's folder")
    return source.relative_to(top)


def _open_parent(source: Path, root: Path, stack: ExitStack) -> tuple[int, str]:
    """(descriptor of the folder that a file is in, its name there).

    Goes down from the root without following a link: whoever puts one there after the path was
    checked gains nothing.
    """
    if not source.parts:
        raise FetchError(Reason.BAD_URI, "not a file", tries=1)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, folder)
    for part in source.parts[:-1]:
        with _refusals():
            folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        stack.callback(os.close, folder)
    return folder, source.name


def _open_regular(folder: int, name: str) -> BinaryIO:
    """The file, opened; a pipe or a device is not even opened, since that alone can hang."""
    with _refusals():
        _check_regular(os.stat(name, dir_fd=folder, follow_symlinks=False))
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    opened = os.fdopen(descriptor, "rb")
    try:
        _check_regular(os.fstat(descriptor))  # It may be another one by now.
    except FetchError:
        opened.close()
        raise
    return opened


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FetchError(Reason.BAD_URI, "not a file", tries=1)


@contextmanager
def _refusals() -> Iterator[None]:
    """Turn what the file system refuses into reasons."""
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FetchError(Reason.GONE, "no such file", tries=1) from error
    except OSError as error:
        raise FetchError(Reason.DENIED, f"cannot be read: {error.strerror}", tries=1) from error


def _linked(opened: BinaryIO, folder: int, name: str, destination: str) -> bool:
    """Whether a hard link could be made: not to another disk, nor to everyone's files."""
    try:
        os.link(name, destination, src_dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    if os.path.samestat(os.fstat(opened.fileno()), os.lstat(destination)):
        return True
    os.unlink(destination)  # The name stands for another file by now.
    return False


@contextmanager
def _new_file(destination: str) -> Iterator[BinaryIO]:
    """An empty file of ours, which is removed again if the block raises."""
    try:
        with open(destination, "wb") as file:
            yield file
    except OSError as error:
        Path(destination).unlink(missing_ok=True)
        raise refused(destination, error) from error
    except (FetchError, StorageError):
        Path(destination).unlink(missing_ok=True)
        raise
