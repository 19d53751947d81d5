import os
import resource
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from formats.storage import StorageError
from formats.tables import Reason
from pipelines import downloads
from pipelines.sources import Fetched, FetchError, fetch_source
from tests.pipelines.faulty_server import (
    BODY,
    SHA256,
    Server,
    failure,
    fetch,
    options,
    running_server,
)


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _no_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloads, "_BACKOFF_S", 0.01)


def test_a_detour_keeps_the_uri_and_the_host_header(server, tmp_path):
    uri = "http://videos.example/a.mp4"
    detour = (f"videos.example=127.0.0.1:{server.port}",)
    fetched = fetch(uri, tmp_path, allow_addresses=(), connect_to=detour)
    assert fetched.final_uri == uri
    assert server.requests[0][1]["Host"] == "videos.example"


def test_no_descriptor_or_thread_is_left(server, tmp_path):
    fetch(server.uri, tmp_path)
    time.sleep(0.1)
    before = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        fetch(server.uri, tmp_path)
        failure("http://127.0.0.1:1/", tmp_path, max_tries=1)
    time.sleep(0.1)
    assert (len(os.listdir("/proc/self/fd")), threading.active_count()) == before


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("", Reason.BAD_URI),
        ("http://", Reason.BAD_URI),
        ("http:///path", Reason.BAD_URI),
        ("http://host:99999/", Reason.BAD_URI),
        ("http://[half/", Reason.BAD_URI),
        ("http://127.0.0.1/a b", Reason.BAD_URI),
        ("http://127.0.0.1/\r\nX: y", Reason.BAD_URI),
        ("http://127.0.0.1/\x00", Reason.BAD_URI),
        ("http://127.0.0.1/" + "x" * 65536, Reason.BAD_URI),
        ("video\n.mp4", Reason.BAD_URI),
        ("file:///etc/passwd", Reason.SOURCE_NOT_ALLOWED),
        ("FILE:/etc/passwd", Reason.SOURCE_NOT_ALLOWED),
        ("ftp://127.0.0.1/x", Reason.SOURCE_NOT_ALLOWED),
        ("s3://bucket/x", Reason.SOURCE_NOT_ALLOWED),
        ("pipe:touch x", Reason.SOURCE_NOT_ALLOWED),
        ("concat:a|b", Reason.SOURCE_NOT_ALLOWED),
        ("data:video/mp4;base64,AAAA", Reason.SOURCE_NOT_ALLOWED),
        ("/etc/passwd", Reason.SOURCE_NOT_ALLOWED),
        ("-i x", Reason.SOURCE_NOT_ALLOWED),  # A path, but there is no folder.
    ],
)
def test_what_is_no_uri_of_ours_is_refused_unseen(tmp_path, uri, reason):
    error = failure(uri, tmp_path)
    assert (error.reason, error.retry_later) == (reason, False)


def test_a_kind_that_is_switched_off_is_not_followed(server, tmp_path):
    assert failure(server.uri, tmp_path, sources=("file",)).reason == Reason.SOURCE_NOT_ALLOWED
    assert server.requests == []


def test_a_full_disk_is_not_the_servers_fault(server, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(StorageError, match="got: cannot be written: File too large"):
            fetch(server.uri, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not (tmp_path / "got").exists()
    assert len(server.requests) == 1


def test_a_destination_that_cannot_be_written(server, tmp_path):
    with pytest.raises(StorageError, match="cannot be written"):
        fetch_source(server.uri, str(tmp_path / "no" / "got"), options=options(), folder=None)


def take(path: str, folder: Path, tmp_path: Path, **more: object) -> Fetched:
    got = str(tmp_path / "got")
    return fetch_source(path, got, options=options(**more), folder=str(folder))


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "catalog"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a b%20.mp4").write_bytes(BODY)
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


@pytest.mark.parametrize("path", ["sub/a b%20.mp4", "./sub/../sub/a b%20.mp4"])
def test_a_file_below_the_catalog_is_taken_without_a_copy(folder, tmp_path, path):
    assert take(path, folder, tmp_path) == Fetched(len(BODY), SHA256, 1, path, True)
    assert (tmp_path / "got").stat().st_ino == (folder / "sub" / "a b%20.mp4").stat().st_ino


def test_an_absolute_path_below_the_catalog_is_as_good(folder, tmp_path):
    assert take(str(folder / "sub" / "a b%20.mp4"), folder, tmp_path).sha256 == SHA256


def test_a_file_that_cannot_be_linked_is_copied(folder, tmp_path, monkeypatch):
    def link(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    assert take("sub/a b%20.mp4", folder, tmp_path).sha256 == SHA256
    assert (tmp_path / "got").read_bytes() == BODY


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "/etc/passwd", "link", "sub/up"])
def test_nothing_outside_the_catalogs_folder_is_read(folder, tmp_path, path):
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub" / "up").symlink_to("../../secret")
    with pytest.raises(FetchError) as caught:
        take(path, folder, tmp_path)
    assert caught.value.reason == Reason.SOURCE_NOT_ALLOWED
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("missing.mp4", Reason.GONE),
        ("-i x", Reason.GONE),
        ("sub/a b%20.mp4/x", Reason.GONE),
        ("sub", Reason.BAD_URI),
        ("pipe", Reason.BAD_URI),
        ("round", Reason.BAD_URI),
        ("x" * 300, Reason.DENIED),
    ],
)
def test_files_that_cannot_be_had(folder, tmp_path, path, reason):
    os.mkfifo(folder / "pipe")
    (folder / "round").symlink_to("round")
    with pytest.raises(FetchError) as caught:
        take(path, folder, tmp_path)
    assert caught.value.reason == reason
    assert not (tmp_path / "got").exists()


def test_a_file_too_large(folder, tmp_path):
    with pytest.raises(FetchError, match="too_large"):
        take("sub/a b%20.mp4", folder, tmp_path, max_bytes=1000)
