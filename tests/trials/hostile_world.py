"""Eight hosts and a few dead ends, the catalog that names them, and the job that fetches it."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from formats.tables import LedgerRow, VideoRow, part_files, read_rows
from tests.pipelines.hosted_videos import small_video
from tests.trials import hostile_answers as answers
from tests.trials.hostile_hosts import (
    Case,
    Host,
    Watcher,
    closed_port,
    full_listener,
    good,
    status,
)

ROOT = Path(__file__).parents[2]
PER_HOST, GAP_S, HOST_FAILURES = 2, 0.15, 60
SICK_ROWS, SHUT_ROWS, CLOSED_ROWS = 40, 12, 8
UNREACHABLE = "retry_later:unreachable"
# Spellings of places that nobody may reach, before the port of the watcher.
HIDDEN = (
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f000001",
    "0177.0.0.1",
    "localhost",
    "LocalHost.",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:169.254.169.254]",
    "[64:ff9b::7f00:1]",
    "[2002:7f00:1::]",
    "168.63.129.16",
    "100.100.100.200",
    "0.0.0.0",  # noqa: S104
    "example.com@127.0.0.1",
)
NO_WEB = {
    "/etc/passwd": "source_not_allowed",
    "file:///etc/passwd": "source_not_allowed",
    "../outside.mp4": "source_not_allowed",
    "link.mp4": "source_not_allowed",
    "ftp://127.0.0.1/x.mp4": "source_not_allowed",
    "pipe:touch x": "source_not_allowed",
    "concat:a.mp4|b.mp4": "source_not_allowed",
    "s3://bucket/x.mp4": "source_not_allowed",
    "data:video/mp4;base64,AAAA": "source_not_allowed",
    "-i /etc/passwd": "gone",
    "missing.mp4": "gone",
    "folder": "bad_uri",
    "pipe.mp4": "bad_uri",
    "http://": "bad_uri",
    "http://a b/x.mp4": "bad_uri",
    "http://127.0.0.2:99999/": "bad_uri",
    "a\x01b.mp4": "bad_uri",
    "x" * 65_536: "bad_uri",
}


@dataclass
class World:
    """What answers, and the outcome that each URI must have."""

    folder: Path
    video: bytes
    other: bytes
    watcher: Watcher
    hosts: dict[str, Host] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    sources: dict[str, bytes] = field(default_factory=dict)
    """The bytes that a stored video must have been made of."""
    allowed: list[str] = field(default_factory=list)

    def host(self, name: str, *cases: Case) -> Host:
        """One more host, with an address of its own."""
        host = Host(f"127.0.0.{len(self.hosts) + 2}", cases)
        self.hosts[name] = host
        self.allowed.append(host.place)
        return host

    def expect(self, uri: str, outcome: str, source: bytes | None = None) -> None:
        """One row of the catalog."""
        self.expected[uri] = outcome
        self.sources[uri] = source or self.video

    def run(self) -> subprocess.CompletedProcess[str]:
        """The whole job, as anyone would start it."""
        given = {
            "fetch.allow_addresses": ",".join(self.allowed),
            "fetch.deadline_s": 8,
            "fetch.idle_s": 1.5,
            "fetch.max_tries": answers.MAX_TRIES,
            "fetch.max_redirects": answers.MAX_REDIRECTS,
            "fetch.max_bytes": answers.MAX_BYTES,
            "fetch.downloads_per_host": PER_HOST,
            "fetch.host_gap_s": GAP_S,
            "fetch.host_failures": HOST_FAILURES,
            "fetch.videos_per_part": 8,
            "fetch.max_failed_fraction": 1,
            "match.max_bad_fraction": 0.1,
            "label.min_videos": 1,
        }
        return self.command(
            "dataset",
            *("--seed", "seed.txt", "--catalog", "catalog/posts.csv"),
            *(f"--set={name}={value}" for name, value in given.items()),
        )

    def command(self, verb: str, *words: str) -> subprocess.CompletedProcess[str]:
        """`python -m pipelines VERB`, on this world's OUT."""
        return subprocess.run(
            [sys.executable, "-m", "pipelines", verb, "--out", "out", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder / "tmp")},
            capture_output=True,
            text=True,
            timeout=900,
        )

    def videos(self) -> list[VideoRow]:
        """The rows of every part that was committed."""
        parts = part_files(str(self.folder / "out/videos"))
        return [row for part in parts for row in read_rows(part, VideoRow)]

    def ledger(self) -> list[LedgerRow]:
        """What became of every row."""
        return list(read_rows(str(self.folder / "out/ledger.parquet"), LedgerRow))


@contextmanager
def hostile_world(folder: Path) -> Iterator[World]:
    """Everything that is to be met, listening; the catalog is written."""
    with ExitStack() as stack:
        watcher = Watcher()
        stack.callback(watcher.close)
        world = World(folder, small_video(folder), small_video(folder, 1), watcher)
        _add_hosts(world)
        ends = {
            "dead": f"127.0.0.20:{stack.enter_context(closed_port('127.0.0.20'))}",
            "full": f"127.0.0.21:{stack.enter_context(full_listener('127.0.0.21'))}",
        }
        world.allowed += ends.values()
        _add_redirects(world, ends)
        for host in world.hosts.values():
            stack.callback(host.server.close)
        _list_rows(world, ends)
        _write_catalog(world)
        yield world


def _add_hosts(world: World) -> None:
    video = world.video
    world.host("well", *answers.well_cases(video))
    world.host("answers", *answers.status_cases(video))
    world.host("bodies", *answers.body_cases(video, world.other))
    world.host("slow", *answers.slow_cases(video))
    cases, rules = answers.rule_cases(video)
    world.host("rules", *cases).route({"/robots.txt": good(rules)})
    later = "retry_later:broken_server"
    closed = [Case(f"/{n}.mp4", good(video), later, 0) for n in range(CLOSED_ROWS)]
    world.host("closed", *closed).route({"/robots.txt": status(500)})
    world.host("bursts", *answers.burst_cases(video)).route({"/robots.txt": status(403)})
    failing = "rejected:broken_server retry_later:host_failing"
    sick = [Case(f"/{n}.mp4", status(500), failing, None) for n in range(SICK_ROWS)]
    world.host("sick", *sick)
    hour = status(429, Retry_After="3600")
    shut = [Case(f"/{n}.mp4", hour, "retry_later:busy", None) for n in range(SHUT_ROWS)]
    world.host("shut", *shut)
    page, rule = answers.PAGE * 9000, b"User-agent: *\nDisallow: /never\n"
    world.hosts["answers"].route({"/robots.txt": good(answers.PAGE, Content_Type="text/html")})
    world.hosts["bodies"].route({"/robots.txt": good(rule + page)})
    world.hosts["slow"].route({"/robots.txt": good(b"")})
    world.hosts["sick"].route({"/robots.txt": status(302, Location="/robots.txt")})


def _add_redirects(world: World, ends: dict[str, str]) -> None:
    well, port = world.hosts["well"], world.watcher.port
    denied = (
        "file:///etc/passwd",
        "ftp://127.0.0.1/x.mp4",
        "data:video/mp4;base64,AAAA",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/x.mp4",
        f"http://127.0.0.1:{port}/x.mp4",
        f"http://[::1]:{port}/x.mp4",
        f"http://0x7f000001:{port}/x.mp4",
        f"//localhost:{port}/x.mp4",
    )
    beyond = dict.fromkeys(denied, "rejected:denied_address")
    beyond[well.uri("/goal.mp4")] = "clip"
    beyond[world.hosts["rules"].uri("/private/goal.mp4")] = "rejected:robots_disallowed"
    beyond |= {f"http://{place}/goal.mp4": UNREACHABLE for place in ends.values()}
    well.route({"/goal.mp4": good(world.video)})
    rows, leads = answers.redirect_cases(world.video, beyond)
    world.hosts["answers"].add(*rows)
    world.hosts["answers"].route(leads)


def _list_rows(world: World, ends: dict[str, str]) -> None:
    for host in world.hosts.values():
        for case in host.cases:
            world.expect(host.uri(case.path), case.outcome, case.source)
    for place in ends.values():
        for number in range(3):
            world.expect(f"http://{place}/{number}.mp4", UNREACHABLE)
    for spelling in HIDDEN:
        world.expect(f"http://{spelling}:{world.watcher.port}/x.mp4", "rejected:denied_address")
    for uri, reason in NO_WEB.items():
        world.expect(uri, f"rejected:{reason}")
    well = world.hosts["well"]
    tls = world.hosts["answers"].uri("/tls.mp4").replace("http:", "https:")
    world.expect(tls, "rejected:unreachable")
    for path in ("/upper.mp4", "/named.mp4"):
        well.route({path: good(world.video)})
    world.expect(well.uri("/upper.mp4").replace("http:", "HTTP:"), "clip")
    world.expect(well.uri("/named.mp4").replace("http://", "http://user:word@"), "clip")
    world.expect("local.mp4", "clip")


def _write_catalog(world: World) -> None:
    folder = world.folder / "catalog"
    for new in (folder / "folder", world.folder / "tmp"):
        new.mkdir(parents=True)
    (folder / "local.mp4").write_bytes(world.video)
    (world.folder / "outside.mp4").write_bytes(world.video)
    (folder / "link.mp4").symlink_to("../outside.mp4")
    os.mkfifo(folder / "pipe.mp4")
    (world.folder / "seed.txt").write_text("yoga\n")
    with open(folder / "posts.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("video_id", "uri", "hashtags"))
        writer.writerows((f"v{n}", uri, "yoga") for n, uri in enumerate(world.expected))
        twice = world.hosts["well"].uri("/0.mp4")
        writer.writerows([("again", twice, "yoga"), ("other", f"{twice}?x", "nature")])
        writer.writerow(("nowhere", "", "yoga"))
