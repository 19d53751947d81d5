import os
import resource
import sys
import tempfile
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from formats.storage import StorageError
from formats.tables import Reason
from pipelines.sources import Fetched, FetchError, fetch_source
from tests.pipelines.faulty_server import (
    BODY,
    SHA256,
    failure,
    fetch,
    options,
)

pytestmark = pytest.mark.usefixtures("short_waits")


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
        ("gs://bucket/x", Reason.SOURCE_NOT_ALLOWED),
        ("ytdlp:x", Reason.SOURCE_NOT_ALLOWED),
        ("video\ud800.mp4", Reason.BAD_URI),
        ("/etc/passwd", Reason.SOURCE_NOT_ALLOWED),
        ("-i x", Reason.SOURCE_NOT_ALLOWED),  # A path, but there is no folder.
    ],
)
def test_what_is_no_uri_of_ours_is_refused_unseen(tmp_path, uri, reason):
    error = failure(uri, tmp_path)
    assert (error.reason, error.tries, error.retry_later) == (reason, 0, False)


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


def not_taken(path: str, folder: Path, tmp_path: Path, **more: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        take(path, folder, tmp_path, **more)
    assert not (tmp_path / "got").exists()
    return caught.value


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


def test_a_file_of_another_disk_is_copied(tmp_path):
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("only one disk here")
        Path(elsewhere, "a.mp4").write_bytes(BODY)
        assert take("a.mp4", Path(elsewhere), tmp_path).sha256 == SHA256
        assert (tmp_path / "got").read_bytes() == BODY


def test_a_file_uri_below_the_folder_is_percent_decoded(folder, tmp_path):
    for number, start in enumerate(("file://", "FILE://localhost", "file:")):
        uri = f"{start}{quote(str(folder))}/sub/a%20b%2520.mp4"
        (tmp_path / f"{number}").mkdir()
        assert take(uri, folder, tmp_path / f"{number}") == Fetched(len(BODY), SHA256, 1, uri, True)


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        ("///etc/passwd", Reason.SOURCE_NOT_ALLOWED),
        ("///proc/self/environ", Reason.SOURCE_NOT_ALLOWED),
        ("//other.host{folder}/sub/a%20b%2520.mp4", Reason.SOURCE_NOT_ALLOWED),
        ("//{folder}/%2e%2e/secret", Reason.SOURCE_NOT_ALLOWED),
        ("//{folder}/sub/..%2f..%2fsecret", Reason.SOURCE_NOT_ALLOWED),
        ("sub/a%20b%2520.mp4", Reason.BAD_URI),
        ("//{folder}/a%00.mp4", Reason.BAD_URI),
        ("//{folder}/a.mp4?x", Reason.BAD_URI),
        ("//{folder}/a.mp4#x", Reason.BAD_URI),
        ("//{folder}/%ff.mp4", Reason.BAD_URI),
        ("//{folder}/none.mp4", Reason.GONE),
        ("//{folder}", Reason.BAD_URI),
        ("", Reason.BAD_URI),
    ],
)
def test_file_uris_that_are_not_followed(folder, tmp_path, rest, reason):
    assert not_taken(f"file:{rest.format(folder=folder)}", folder, tmp_path).reason == reason


def test_the_folder_of_the_options_goes_before_the_catalogs(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    sub = str(folder / "sub")
    assert take("a b%20.mp4", elsewhere, tmp_path, file_root=sub).sha256 == SHA256
    (tmp_path / "got").unlink()
    error = not_taken("../sub/../../secret", folder, tmp_path, file_root=sub)
    assert error.reason == Reason.SOURCE_NOT_ALLOWED


def test_a_link_that_stays_inside_is_followed(folder, tmp_path):
    (folder / "link").symlink_to("sub/a b%20.mp4")
    assert take("link", folder, tmp_path).sha256 == SHA256
    assert not (tmp_path / "got").is_symlink()


def test_a_folder_swapped_for_a_link_while_it_is_read_gives_no_secret(folder, tmp_path):
    """Links come and go beside the reader: each time it is the file, or a refusal."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.mp4").write_bytes(b"secret")
    (folder / "real").mkdir()
    (folder / "real" / "a.mp4").write_bytes(BODY)
    (folder / "evil").symlink_to(outside)
    (folder / "door").mkdir()
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            for name in ("real", "evil"):
                os.rename(folder / "door", folder / "aside")
                os.rename(folder / name, folder / "door")
                os.rename(folder / "door", folder / name)
                os.rename(folder / "aside", folder / "door")

    (folder / "door" / "a.mp4").write_bytes(BODY)
    swapper = threading.Thread(target=swap)
    swapper.start()
    hashes = set()
    try:
        for _ in range(500):
            (tmp_path / "got").unlink(missing_ok=True)
            try:
                hashes.add(take("door/a.mp4", folder, tmp_path).sha256)
            except FetchError as error:
                hashes.add(str(error.reason))
    finally:
        stop.set()
        swapper.join()
    assert hashes <= {SHA256, "gone", "denied", "source_not_allowed", "bad_uri"}


def test_a_device_below_the_folder_is_not_opened(tmp_path):
    assert not_taken("zero", Path("/dev"), tmp_path).reason == Reason.BAD_URI


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "/etc/passwd", "link", "sub/up"])
def test_nothing_outside_the_catalogs_folder_is_read(folder, tmp_path, path):
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "sub" / "up").symlink_to("../../secret")
    assert not_taken(path, folder, tmp_path).reason == Reason.SOURCE_NOT_ALLOWED


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
    assert not_taken(path, folder, tmp_path).reason == reason


def test_a_file_too_large(folder, tmp_path):
    with pytest.raises(FetchError, match="too_large"):
        take("sub/a b%20.mp4", folder, tmp_path, max_bytes=1000)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"sources": ("http", "ftp")}, "sources: 'ftp' is none of http, file, s3, gs, ytdlp"),
        ({"sources": ("ytdlp",)}, "follows no page without ytdlp_hosts"),
        (
            {"sources": ("ytdlp",), "ytdlp_hosts": ("https://videos.example",)},
            "ytdlp_hosts: 'https://videos.example' is not the name of a host",
        ),
        ({"s3_endpoint": "127.0.0.1:9000"}, "s3_endpoint: '127.0.0.1:9000' is not http"),
        ({"gs_endpoint": "http://a@host"}, "gs_endpoint: 'http://a@host' is not http"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_at_once(more, said):
    with pytest.raises(ValueError, match=said):
        options(**more)


def test_pages_without_ytdlp_are_refused_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "yt_dlp", None)  # As if it were not installed.
    with pytest.raises(ValueError, match=r"pip install -c constraints.txt -e '.\[ytdlp\]'"):
        options(sources=("ytdlp",), ytdlp_hosts=("videos.example",))
