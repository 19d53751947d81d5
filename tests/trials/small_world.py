"""A small catalog of real videos on a loopback server, and the command that builds a dataset of it.

The command runs in a process group of its own, as a user's does, and so can be killed as one; the
server stays and remembers what it was asked for.
"""

import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from pipelines.__main__ import main
from tests.pipelines.faulty_server import Server, running_server, send, whole
from tests.pipelines.takedown_world import POSTS, SETTINGS, write_world

ROOT = Path(__file__).parents[2]
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")

HOST = "videos.test"
VIDEOS_PER_PART = 4
DEAD = tuple((f"dead-{n}", f"dead{n}.mp4", "#yoga", f"jane{n}") for n in range(3))
ROWS = tuple(
    (video_id, f"http://{HOST}/{name}", caption, uploader)
    for video_id, name, caption, uploader, *_ in (*POSTS, *DEAD)
)
# What a build leaves that its time or its order does not change.
LASTING = ("shards", "target_shards", "clips", "labelled", "duplicates", "targets", "matches")
LASTING_FILES = ("ledger.parquet", "labels.parquet", "labels.json", "hashtags.parquet")


@dataclass(frozen=True)
class SmallWorld:
    """The videos' folder, with the catalog and the targets, and the server of the videos."""

    folder: Path
    server: Server

    def command(self, out: Path, *more: str, catalog: str = "catalog.csv") -> list[str]:
        """The words of `make dataset`; `more` are settings, or words behind them from `--` on."""
        settings = [word for word in more if not word.startswith("-")]
        connect = f"fetch.connect_to={HOST}=127.0.0.1:{self.server.port}"
        quick = "fetch.robots_txt=false fetch.host_gap_s=0"
        return [
            "dataset",
            *("--seed", "kinetics", "--catalog", str(self.folder / catalog)),
            *("--targets", str(self.folder / "bench.csv"), "--out", str(out)),
            *("--set", " ".join([SETTINGS, connect, quick, *settings])),
            *(word for word in more if word.startswith("-")),
        ]

    def fetched_again(self) -> Counter[str]:
        """How often each video was asked for beyond the first time."""
        asked = Counter(path for path, _ in self.server.requests)
        return Counter({path: count - 1 for path, count in asked.items() if count > 1})


@contextmanager
def small_world(folder: Path) -> Iterator[SmallWorld]:
    write_world(folder)
    write_rows(folder / "catalog.csv", ROWS)
    with running_server() as server:

        def answer(handler: BaseHTTPRequestHandler, _: int) -> None:
            path = folder / handler.path[1:]
            if path.suffix == ".mp4" and path.is_file():
                whole(handler, path.read_bytes())
            else:
                send(handler, 404, Content_Length="0")

        server.answer = answer
        yield SmallWorld(folder, server)


def write_rows(path: Path, rows: Sequence[Sequence[str]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["video_id", "uri", "caption", "uploader"], *rows])


def start(
    words: Sequence[str], *, under: Sequence[str] = (), **more: object
) -> subprocess.Popen[str]:
    """Run `python -m pipelines` in a process group of its own, `under` another command if given."""
    return subprocess.Popen(
        [*under, sys.executable, "-m", "pipelines", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **more,  # type: ignore[call-overload]
    )


def finish(words: Sequence[str], **more: object) -> tuple[int, str, str]:
    """Run a command to its end: exit code, what it said, and what it complained of."""
    child = start(words, **more)
    said, complained = child.communicate(timeout=300)
    return child.returncode, said, complained


def lasting(out: Path) -> dict[str, bytes]:
    """Every file that does not depend on when, in what order, or in how many runs it was built."""
    files = [p for name in LASTING for p in (out / name).rglob("*") if p.is_file()]
    files += [out / name for name in LASTING_FILES]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def scraps(out: Path) -> set[str]:
    """Hidden files and folders: what is for the job alone, and what a killed one left."""
    return {str(path.relative_to(out)) for path in out.rglob(".*")}


def check_same(out: Path, whole: Path) -> None:
    """Whether a dataset is that of an uninterrupted run, without a scrap of the others."""
    found, wanted = lasting(out), lasting(whole)
    assert {p for p in found | wanted if found.get(p) != wanted.get(p)} == set()
    assert scraps(out) <= scraps(whole) and not list(out.rglob("*.tmp"))
    assert main(["verify", "--out", str(out)]) == 0


def one_sentence(complained: str) -> str:
    """The sentence that a command ended with, behind whatever bar was under way."""
    assert "Traceback" not in complained, complained
    lines = [line for line in complained.splitlines() if line.startswith("tagreel: ")]
    assert len(lines) == 1 and complained.endswith(f"{lines[0]}\n"), complained
    return lines[0]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    options = f"size={size},mode=1777"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def remount(disk: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)
