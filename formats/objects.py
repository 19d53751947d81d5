"""Objects of S3 and of Google Cloud Storage as readable bytes, every call with an end in time.

The services' clients block for as long as a server keeps a connection open: Google's has no time
limit for silence at all. So each call runs on a thread that is left behind when its time is up. A
process with such a thread ends all the same; with one of S3's, when S3's client has given up.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs

# Calls under way in this process, those left behind included: a service that never answers must
# not cost a thread per object for ever.
_MAX_CALLS = 128
_CONNECT_S = 10.0
_BLOCK = 4 << 20
_TRIES = 3
_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,220}[a-z0-9])")

_Answer = TypeVar("_Answer")
_calls = threading.BoundedSemaphore(_MAX_CALLS)
_making = threading.Lock()


class ObjectError(Exception):
    """The service's client failed; the message is the client's own."""


@dataclass(frozen=True)
class Service:
    """Where objects are read from. The user says so, never a URI."""

    kind: str
    """`s3` or `gs`."""
    scheme: str = "https"
    place: str = ""
    """host:port of a service that is not Amazon's or Google's own."""
    region: str = ""
    """Of S3; empty = as the environment says."""
    anonymous: bool = False
    idle_s: float = 20.0
    """Silence after which S3's client gives up."""


class OpenObject:
    """An object whose size and version are known, to be read once from its first byte on."""

    def __init__(self, size: int, version: str, open_: Callable[[], pa.NativeFile]) -> None:
        self.size = size
        self.version = version
        """Another one if the object was written anew."""
        self._open = open_
        self._file: pa.NativeFile | None = None

    def read(self, size: int, *, seconds: float) -> bytes:
        """The next bytes, `size` at most; none at the end.

        Neither service is asked for one version: look at `version` anew when done.

        Raises:
            FileNotFoundError: it is gone by now.
            ObjectError: the client failed; what was read so far may not be gone on with.
            TimeoutError: not done in so many seconds.
        """
        return _within(seconds, lambda: self._read(size))

    def _read(self, size: int) -> bytes:
        if self._file is None:
            self._file = self._open()
        return bytes(self._file.read(size))


def find_object(service: Service, bucket: str, key: str, *, seconds: float) -> OpenObject:
    """An object by its bucket and key, both taken literally. Nothing of its body is read yet.

    Raises:
        FileNotFoundError: there is no such object or bucket.
        ObjectError: the client failed.
        TimeoutError: not done in so many seconds.
    """
    return _within(seconds, lambda: _find(service, f"{bucket}/{key}"))


def copy_object(service: Service, uri: str, path: str, *, seconds: float) -> None:
    """Write a whole object to a file; holds 4 MiB in memory. `seconds` bound each call.

    An object that fails under way, or changes, is begun anew, three times in all.

    Raises:
        ValueError: the URI names no object.
        FileNotFoundError: there is no such object or bucket.
        ObjectError, TimeoutError: the client failed, or was silent, every time.
    """
    bucket, key = split_object_uri(uri)
    for left in reversed(range(_TRIES)):
        try:
            return _copy(service, (bucket, key), path, seconds)
        except (ObjectError, TimeoutError):
            if not left:
                raise
    raise AssertionError


def _copy(service: Service, place: tuple[str, str], path: str, seconds: float) -> None:
    found = find_object(service, *place, seconds=seconds)
    left = found.size
    with open(path, "wb") as file:
        while left:
            block = found.read(min(_BLOCK, left), seconds=seconds)
            if not block:
                raise ObjectError(f"ended {left} bytes before its end")
            left -= len(block)
            file.write(block)
    if find_object(service, *place, seconds=seconds).version != found.version:
        raise ObjectError("changed while it was read")


def split_object_uri(uri: str) -> tuple[str, str]:
    """(bucket, key) of an s3:// or gs:// URI; the key is all that follows, taken literally.

    >>> split_object_uri("s3://clips/2019/a b%20?.mp4")
    ('clips', '2019/a b%20?.mp4')

    Raises:
        ValueError: it is none. A key with an empty, `.` or `..` part is refused: the clients refuse
            it or, worse, read another key.
    """
    _, separator, rest = uri.partition("://")
    bucket, slash, key = rest.partition("/")
    if not separator or not slash or not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise ValueError(f"not scheme://bucket/key: {uri[:80]!r}")
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"a key with an empty, '.' or '..' part: {key[:80]!r}")
    if not _is_text(key) or len(key.encode()) > 1024:
        raise ValueError(f"no key of an object: {key[:80]!r}")
    return bucket, key


def read_endpoint(endpoint: str) -> tuple[str, str]:
    """(scheme, host:port) of a service's address; https and nothing for the usual one.

    >>> read_endpoint("http://127.0.0.1:9000"), read_endpoint("")
    (('http', '127.0.0.1:9000'), ('https', ''))

    Raises:
        ValueError: it is not http(s)://host:port.
    """
    if not endpoint:
        return "https", ""
    parts = urlsplit(endpoint)
    plain = parts.path in ("", "/") and not (parts.query or parts.fragment or "@" in parts.netloc)
    if parts.scheme not in ("http", "https") or not parts.hostname or not plain:
        raise ValueError(f"{endpoint!r} is not http(s)://host:port")
    return parts.scheme, parts.netloc


def _is_text(key: str) -> bool:
    return not any(0xD800 <= ord(character) < 0xE000 for character in key)


def _find(service: Service, path: str) -> OpenObject:
    client = _filesystem(service)
    if service.kind == "s3":
        file = client.open_input_file(path)
        facts = {name.lower(): bytes(value).decode() for name, value in file.metadata().items()}
        version = f"{facts.get('etag')} {facts.get('last-modified')}"
        return OpenObject(file.size(), version, lambda: file)
    # Not by open_input_file: Google's client then begins a download that nobody reads, and its
    # size() asks the server while no other thread of this process can go on.
    info = client.get_file_info(path)
    if info.type != fs.FileType.File:
        raise FileNotFoundError(path)
    version = f"{info.size} {info.mtime_ns}"
    return OpenObject(info.size, version, lambda: client.open_input_stream(path))


def _filesystem(service: Service) -> fs.FileSystem:
    """The one client of a service that this process has: it looks up credentials when made."""
    with _making:
        return _make_filesystem(service)


@cache
def _make_filesystem(service: Service) -> fs.FileSystem:
    if service.kind == "s3":
        return fs.S3FileSystem(
            anonymous=service.anonymous,
            region=service.region or None,
            scheme=service.scheme,
            endpoint_override=service.place or None,
            connect_timeout=min(_CONNECT_S, service.idle_s),
            request_timeout=service.idle_s,
            retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=1),  # Retrying is ours.
        )
    return fs.GcsFileSystem(
        anonymous=service.anonymous,
        scheme=service.scheme,
        endpoint_override=service.place or None,
        retry_time_limit=timedelta(seconds=1),  # The least; retrying is ours.
    )


def _within(seconds: float, call: Callable[[], _Answer]) -> _Answer:
    if seconds <= 0 or not _calls.acquire(timeout=seconds):
        raise TimeoutError("no time left")
    answers: list[_Answer] = []
    errors: list[Exception] = []
    done = threading.Event()

    def run() -> None:
        try:
            answers.append(call())
        except (OSError, pa.ArrowException) as error:
            errors.append(error)
        finally:
            _calls.release()
            done.set()

    threading.Thread(target=run, daemon=True).start()
    if not done.wait(seconds):
        raise TimeoutError(f"no answer in {seconds:.0f} s")
    if answers:
        return answers[0]
    if errors and not isinstance(errors[0], FileNotFoundError):
        raise ObjectError(str(errors[0])) from errors[0]
    raise errors[0] if errors else RuntimeError("a call ended without an answer or an error")
