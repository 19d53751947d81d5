import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest
from gcp_storage_emulator.server import create_server
from moto.server import ThreadedMotoServer
from pyarrow import fs

from formats.storage import StorageError
from formats.tables import Reason
from pipelines.sources import Fetched
from tests.pipelines.object_copies import LARGE, SMALL, copy, refused

KEYS = ("a b.mp4", "2019/ü/%20+&.mp4", "q?x=1#f", "a..b", "-i x", "☃/'\"")


def ask(method: str, uri: str, body: bytes = b"", acl: str = "public-read") -> None:
    # Written by plain HTTP, so that what is read is not what the same client wrote.
    headers = {"Content-Type": "video/mp4", "x-amz-acl": acl}
    urlopen(Request(uri, body, headers, method=method), timeout=10).close()


def put(kind: str, endpoint: str, key: str, body: bytes) -> None:
    if kind == "s3":
        ask("PUT", f"http://{endpoint}/clips/{quote(key)}", body)
        return
    google = fs.GcsFileSystem(anonymous=True, scheme="http", endpoint_override=endpoint)
    with google.open_output_stream(f"clips/{key}") as out:
        out.write(body)


@contextmanager
def service(kind: str) -> Iterator[str]:
    """host:port of a service with one empty bucket, `clips`."""
    if kind == "s3":
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        endpoint = "{}:{}".format(*server.get_host_and_port())
        ask("PUT", f"http://{endpoint}/clips")
    else:
        server = create_server("127.0.0.1", 0, in_memory=True, default_bucket="clips")
        server.start()
        endpoint = f"127.0.0.1:{server._api._httpd.server_address[1]}"
    try:
        yield endpoint
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["s3", "gs"])
def store(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    kind: str = request.param
    with service(kind) as endpoint:
        for key in KEYS:
            put(kind, endpoint, key, SMALL)
        put(kind, endpoint, "large.mp4", LARGE)
        put(kind, endpoint, "empty.mp4", b"")
        yield kind, endpoint


@pytest.mark.parametrize("key", KEYS)
def test_an_object_is_copied_by_its_key_taken_literally(store, tmp_path, key):
    kind, endpoint = store
    assert copy(kind, endpoint, f"clips/{key}", tmp_path) == Fetched(
        len(SMALL), hashlib.sha256(SMALL).hexdigest(), 1, f"{kind}://clips/{key}", True
    )
    assert (tmp_path / "got").read_bytes() == SMALL


def test_a_large_object_comes_whole_over_several_blocks(store, tmp_path):
    fetched = copy(*store, "clips/large.mp4", tmp_path)
    assert fetched.sha256 == hashlib.sha256(LARGE).hexdigest()
    assert (tmp_path / "got").read_bytes() == LARGE


def test_an_empty_object_is_an_empty_file(store, tmp_path):
    assert copy(*store, "clips/empty.mp4", tmp_path).size_bytes == 0


@pytest.mark.parametrize("rest", ["clips/no.mp4", "nobucket/a.mp4", "clips/2019"])
def test_what_is_not_there_is_gone_at_the_first_try(store, tmp_path, rest):
    error = refused(*store, rest, tmp_path)
    assert (error.reason, error.tries, error.retry_later) == (Reason.GONE, 1, False)


def test_an_object_too_large_is_not_read(store, tmp_path):
    error = refused(*store, "clips/large.mp4", tmp_path, max_bytes=len(LARGE) - 1)
    assert (error.reason, error.detail) == (Reason.TOO_LARGE, f"{len(LARGE)} bytes")
    assert copy(*store, "clips/large.mp4", tmp_path, max_bytes=len(LARGE)).size_bytes == len(LARGE)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "clips",
        "clips/",
        "/key",
        "CLIPS/a",
        "cl ips/a",
        "../etc/passwd",
        "c/a",
        "user:word@host/a",
        "127.0.0.1:9000/a",
        "clips?x=y/a",
        "clips/a//b",
        "clips//a",
        "clips/a/",
        "clips/../secret",
        "clips/a/../../secret/b",
        "clips/./a",
        "clips/" + "x" * 1025,
    ],
)
def test_what_names_no_object_is_refused_unseen(tmp_path, rest):
    error = refused("s3", "127.0.0.1:1", rest, tmp_path)
    assert (error.reason, error.tries) == (Reason.BAD_URI, 0)


def test_the_same_key_as_a_local_file_reads_no_local_file(store, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    assert refused(*store, f"clips{secret}", tmp_path).reason == Reason.GONE


def test_a_private_object_wants_credentials(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "word")
    with service("s3") as endpoint:
        ask("PUT", f"http://{endpoint}/clips/private.mp4", SMALL, acl="private")
        error = refused("s3", endpoint, "clips/private.mp4", tmp_path)
        assert (error.reason, error.tries, error.retry_later) == (Reason.DENIED, 1, False)
        fetched = copy("s3", endpoint, "clips/private.mp4", tmp_path, anonymous_objects=False)
    assert fetched.sha256 == hashlib.sha256(SMALL).hexdigest()


def test_objects_are_not_followed_unless_named(store, tmp_path):
    error = refused(*store, "clips/a b.mp4", tmp_path, sources=("http", "file"))
    assert error.reason == Reason.SOURCE_NOT_ALLOWED


def test_a_destination_that_cannot_be_written_is_not_the_services_fault(store, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        copy(*store, "clips/a b.mp4", tmp_path / "none")
