"""Over a hundred hostile, broken and odd files through one fetch, under the eyes of the kernel."""

import io
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import imageio_ffmpeg
import pytest

from formats.confinement import LANDLOCK, SECCOMP, layers
from formats.encoding import FRAME_TIMES, PACKET_HASH, SOURCE, STORED
from formats.tables import Reason, VideoRow, read_rows
from tests.trials.hostile_media import NEIGHBOUR, write_corpus
from tests.trials.lists import lists
from tests.trials.media_case import Case, Stored
from tests.trials.traced import OPENS, SOCKETS, STRACE, Call, Trace, run_traced

pytestmark = [
    pytest.mark.trial,
    pytest.mark.skipif(not os.path.exists(STRACE), reason="needs strace, to see what is opened"),
]
ROOT = Path(__file__).parents[2]
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
MEMORY_BYTES = 1 << 30
SETTINGS = (
    f"fetch.decode_memory_bytes={MEMORY_BYTES} fetch.decode_deadline_s=40 run.buckets=1 "
    "fetch.videos_per_part=1000 fetch.max_failed_fraction=1 run.workers=2"
)
OWN = (SOURCE, STORED, FRAME_TIMES, PACKET_HASH)
LIBRARY = re.compile(r"/(usr/)?lib(64)?(/[\w-]+-linux-gnu)?/lib[\w+.-]+\.so[.\d]*")
SEARCHED = re.compile(r"/(usr/)?lib(64)?/([\w-]+/)*lib[\w+.-]+\.so[.\d]*")
# What the C library asks: its cache, how many processors, how much memory, which time zone.
SYSTEM = (
    "/etc/ld.so.cache",
    "/sys/devices/system/cpu/online",
    "/proc/stat",
    "/proc/sys/vm/overcommit_memory",
    "/etc/localtime",
)
LOOPBACK = re.compile(r'AF_UNSPEC|AF_UNIX|inet_addr\("127\.0\.0\.1"\)|AF_INET6, "::1"')


@dataclass(frozen=True)
class Fetched:
    """The job after its end."""

    world: Path
    out: Path
    scratch: Path
    cases: dict[str, Case]
    trace: Trace
    heard: list[str]
    """Connections that arrived at the listener that the hostile files name."""

    @property
    def rows(self) -> dict[str, VideoRow]:
        tables = self.out.glob("videos/part-*.parquet")
        found = [row for table in tables for row in read_rows(str(table), VideoRow)]
        assert len(found) == len({row.video_id for row in found})
        return {row.video_id: row for row in found}

    def stored(self) -> Iterator[tuple[VideoRow, bytes]]:
        for row in self.rows.values():
            if row.part is not None and row.offset is not None and row.size_bytes is not None:
                with open(self.out / "videos" / row.part, "rb") as file:
                    file.seek(row.offset)
                    yield row, file.read(row.size_bytes)


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fetched]:
    folder = tmp_path_factory.mktemp("media")
    world, scratch, made = folder / "world", folder / "scratch", folder / "made"
    for path in (world, scratch, made):
        path.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        cases = write_corpus(world, made, listener.getsockname()[1])
        for stage in ("expand", "match"):
            subprocess.run(_command(stage, folder), cwd=ROOT, check=True)
        environment = {**os.environ, "TMPDIR": str(scratch)}
        command = _command("fetch", folder)
        trace = run_traced(command, folder / "logs", cwd=ROOT, env=environment)
        yield Fetched(world, folder / "out", scratch, cases, trace, list(_arrivals(listener)))


def _command(stage: str, folder: Path) -> list[str]:
    catalog = str(folder / "world" / "catalog.jsonl")
    words = ("--catalog", catalog, "--out", str(folder / "out"), "--set", SETTINGS)
    return [sys.executable, "-m", "pipelines", stage, *words]


def _arrivals(listener: socket.socket) -> Iterator[str]:
    while True:
        try:
            connection, address = listener.accept()
        except BlockingIOError:
            return
        connection.close()
        yield str(address)


def test_every_file_has_the_outcome_that_it_is_known_for(fetched: Fetched) -> None:
    assert fetched.trace.returncode == 0, fetched.trace.output
    assert "Traceback" not in fetched.trace.output
    rows = fetched.rows
    assert rows.keys() == fetched.cases.keys() and len(rows) > 100
    wrong = {
        name: (row.status, row.reason, row.detail, row.width, row.height, row.frames, case.wanted)
        for name, case in fetched.cases.items()
        if not any(_is(wanted, row := rows[name]) for wanted in case.allowed)
    }
    assert not wrong


def _is(wanted: Stored | Reason, row: VideoRow) -> bool:
    if isinstance(wanted, Reason):
        return (row.status, row.reason) == ("rejected", wanted) and bool(row.detail)
    sizes = (row.status, row.width, row.height) == ("stored", wanted.width, wanted.height)
    return sizes and row.frames is not None and abs(row.frames - wanted.frames) <= wanted.give


def test_what_is_stored_decodes_whole_elsewhere(fetched: Fetched) -> None:
    count = 0
    for row, content in fetched.stored():
        with av.open(io.BytesIO(content)) as video:
            frames = list(video.decode(video=0))
        assert len(frames) == row.frames, row.video_id
        assert {(frame.width, frame.height) for frame in frames} == {(row.width, row.height)}
        assert not any(frame.is_corrupt or frame.rotation for frame in frames)
        count += 1
    assert count > 50


def test_no_decoder_opened_a_file_that_is_not_its_own(fetched: Fetched) -> None:
    trace = fetched.trace
    # Each file has its decoder, but for the one without a byte.
    assert len(trace.decoders) >= len(fetched.cases) - 1
    opened = [call for calls in trace.decoders.values() for call in calls if call.name in OPENS]
    assert sum(call.path == SOURCE for call in opened) >= len(fetched.cases) - 1
    assert [call for call in opened if not _may_open(call)] == []
    # The lists of demuxers and protocols leave nothing to refuse: there was not even an attempt.
    refused = [call for call in opened if call.error and call.path not in SYSTEM]
    assert [call for call in refused if not SEARCHED.fullmatch(call.path)] == []


def _may_open(call: Call) -> bool:
    if call.path in OWN:
        return call.arguments.startswith("AT_FDCWD, ")
    if call.worked and "O_RDONLY" not in call.arguments:
        return False
    library = LIBRARY if call.worked else SEARCHED
    return call.path in SYSTEM or library.fullmatch(call.path) is not None


def test_no_decoder_made_a_socket_or_started_a_program(fetched: Fetched) -> None:
    for calls in fetched.trace.decoders.values():
        assert [call for call in calls if call.name in SOCKETS] == []
        assert [call.path for call in calls if call.name in ("execve", "execveat")] == [FFMPEG]
    assert fetched.heard == []


def test_the_job_itself_opened_no_neighbour_and_ran_nothing_else(fetched: Fetched) -> None:
    opened = fetched.trace.all(*OPENS)
    assert not [call for call in opened if Path(call.path).name == NEIGHBOUR]
    inside = {Path(call.path).name for call in opened if str(fetched.world) in call.path}
    assert inside <= {fetched.world.name, "catalog.jsonl"}
    started = {call.path for call in fetched.trace.all("execve") if call.worked}
    assert started == {sys.executable, FFMPEG}
    # The engine's own threads talk over loopback; nothing else is talked to.
    connected = fetched.trace.all("connect")
    assert [call for call in connected if not LOOPBACK.search(call.arguments)] == []


def test_every_decoder_was_limited_and_none_took_more(fetched: Fetched) -> None:
    limited = {}
    for call in fetched.trace.all("prlimit64"):
        found = re.match(
            r"(\d+), RLIMIT_AS, \{rlim_cur=([\d*]+), rlim_max=([\d*]+)\}", call.arguments
        )
        if found:
            limited[int(found[1])] = (_product(found[2]), _product(found[3]))
    assert limited == dict.fromkeys(fetched.trace.decoders, (MEMORY_BYTES, MEMORY_BYTES))
    # Of any process of the job, the one that starts the decoders included.
    assert fetched.trace.peak_bytes < MEMORY_BYTES


def _product(text: str) -> int:
    total = 1
    for factor in text.split("*"):
        total *= int(factor)
    return total


def test_no_process_and_no_file_is_left(fetched: Fetched) -> None:
    trace = fetched.trace
    assert trace.left == ()
    reaped = {int(call.result) for call in trace.all("wait4") if call.result.isdigit()}
    assert trace.decoders.keys() <= reaped
    assert list(fetched.scratch.iterdir()) == []
    assert {path.name for path in fetched.out.rglob(".*")} == {".lock", ".decoders"}
    kinds = {path.suffix for path in (fetched.out / "videos").iterdir()}
    assert kinds == {".tar", ".parquet", ".json"}
    assert not list(ROOT.glob("owned*")) and not list(fetched.world.glob("owned*"))


def test_without_our_guards_the_lists_do_open_their_neighbours(
    fetched: Fetched, tmp_path: Path
) -> None:
    """The corpus is live, and the trace would tell."""
    found = set()
    for number, name in enumerate(("ffconcat_near", "ffconcat_far", "dash_far", "hls_far")):
        bare = [FFMPEG, "-v", "error", "-safe", "0", "-i", f"list_{name}.mp4", "-f", "null", "-"]
        if not name.startswith("ffconcat"):
            bare[3:5] = []
        trace = run_traced(bare, tmp_path / f"logs{number}", cwd=fetched.world)
        if any(c.worked and Path(c.path).name == NEIGHBOUR for c in trace.all(*OPENS)):
            found.add(name)
    assert {"ffconcat_near", "ffconcat_far", "dash_far"} <= found


CONFINED = """
import shutil, sys
from pathlib import Path
from formats.sandbox import Limits, run_confined
world, folder, ffmpeg = sys.argv[1:4]
for name in sys.argv[4:]:
    shutil.copy(Path(world, name), Path(folder, name))
    args = [ffmpeg, "-v", "error", "-protocol_whitelist", "file,http,tcp,udp,rtp,crypto,data"]
    if "ffconcat" in name:
        args += ["-safe", "0"]
    args += ["-i", name, "-f", "null", "-"]
    run_confined(args, folder=folder, limits=Limits(deadline_s=20.0))
"""


@pytest.mark.skipif({LANDLOCK, SECCOMP} - {*layers()}, reason="needs Landlock and seccomp")
def test_without_our_lists_the_kernel_refuses_what_they_reach_for(
    fetched: Fetched, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    names = [name for name in lists() if "20000" not in name]
    places = (str(fetched.world), str(tmp_path / "folder"), FFMPEG)
    command = [sys.executable, "-c", CONFINED, *places, *names]
    trace = run_traced(command, tmp_path / "logs", cwd=ROOT)
    assert trace.returncode == 0 and len(trace.decoders) == len(names)
    calls = [call for calls in trace.decoders.values() for call in calls]
    reached = [c for c in calls if c.name in OPENS and c.path.startswith("/")]
    outside = [c for c in reached if not _may_open(c) and c.path != "/dev/null"]
    assert {str(fetched.world / NEIGHBOUR), "/etc/passwd"} <= {c.path for c in outside}
    assert {c.error.split()[0] for c in outside} == {"EACCES"}
    sockets = [c for c in calls if c.name in SOCKETS]
    assert sockets and {c.error.split()[0] for c in sockets} == {"EPERM"}
