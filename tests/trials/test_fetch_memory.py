"""2,000 URIs, four of five of them good: what a month-long fetch must not do is grow."""

import csv
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from formats.tables import VideoRow, part_files, read_rows
from tests.pipelines.hosted_videos import small_video
from tests.trials import hostile_answers as answers
from tests.trials.hostile_hosts import Case, Host, good, in_turn, status

pytestmark = pytest.mark.trial

ROOT = Path(__file__).parents[2]
HOSTS, PER_HOST, VIDEOS = 8, 250, 5
MIB = 1 << 20
# What Python's and the C library's allocators keep is not given back evenly.
SLACK_MIB, MOST_MIB = 16, 1536


@dataclass(frozen=True)
class Sample:
    """What the job took at one moment."""

    asked: int
    """Videos that the hosts had been asked for by then."""
    all_mib: float
    """Resident memory of the job's process and of all below it."""
    job_mib: float
    files: int
    threads: int


def cases(number: int, videos: list[bytes]) -> list[Case]:
    """Of ten rows eight are good; the others take turns at what is bad."""
    rows = []
    faults = [
        *answers.status_cases(videos[0])[:3],
        *answers.body_cases(videos[0], videos[1]),
        *answers.rule_cases(videos[0])[0][:2],
        Case("/loop.mp4", status(302, Location="/robots.txt"), "rejected:empty"),
        Case("/busy.mp4", in_turn(status(503, Retry_After="1"), good(videos[0]))),
        answers.slow_cases(videos[0])[0],
    ]
    for row in range(PER_HOST):
        video = good(videos[row % VIDEOS])
        if row % 5 == number % 5:
            fault = faults[(number * PER_HOST + row) // 5 % len(faults)]
            rows.append(Case(f"/{row}{fault.path}", fault.answer, fault.outcome))
        else:
            rows.append(Case(f"/{row}.mp4", video))
    return rows


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    folder = tmp_path_factory.mktemp("videos")
    videos = [small_video(folder, seed) for seed in range(VIDEOS)]
    made = [Host(f"127.0.0.{n + 2}", cases(n, videos)) for n in range(HOSTS)]
    for host in made:
        host.route({"/robots.txt": good(b"")})
    yield made
    for host in made:
        host.server.close()


def test_memory_files_and_threads_stay_as_they_are(
    hosts: list[Host], tmp_path: Path, record_testsuite_property
) -> None:
    write_catalog(hosts, tmp_path)
    for stage in ("expand", "match"):
        subprocess.run(command(stage, hosts, tmp_path), check=True, cwd=ROOT, capture_output=True)
    with open(tmp_path / "log.txt", "w") as log:
        job = subprocess.Popen(
            command("fetch", hosts, tmp_path), cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
        )
        samples = list(watch(job, hosts))
    assert job.returncode == 0, (tmp_path / "log.txt").read_text()[-2000:]
    check_outcomes(hosts, tmp_path / "out")
    first, last = peaks(samples, 0), peaks(samples, 3)
    record_testsuite_property("first quarter", first)  # With --junitxml=FILE.
    record_testsuite_property("last quarter", last)
    for name in ("all_mib", "job_mib"):
        assert last[name] <= 1.1 * first[name] + SLACK_MIB, (first, last)
    assert last["files"] <= first["files"] + 16 and last["threads"] <= first["threads"] + 16
    assert max(sample.all_mib for sample in samples) < MOST_MIB


def peaks(samples: list[Sample], quarter: int) -> dict[str, float]:
    total = HOSTS * PER_HOST
    chosen = [one for one in samples if quarter <= one.asked * 4 // total < quarter + 1]
    assert len(chosen) > 100
    names = ("all_mib", "job_mib", "files", "threads")
    return {name: max(getattr(one, name) for one in chosen) for name in names}


def write_catalog(hosts: list[Host], folder: Path) -> None:
    (folder / "seed.txt").write_text("yoga\n")
    with open(folder / "posts.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("video_id", "uri", "hashtags"))
        writer.writerows((u, u, "yoga") for h in hosts for u in (h.uri(c.path) for c in h.cases))


def command(stage: str, hosts: list[Host], folder: Path) -> list[str]:
    given = {
        "fetch.allow_addresses": ",".join(host.place for host in hosts),
        "fetch.deadline_s": 20,
        "fetch.max_tries": answers.MAX_TRIES,
        "fetch.max_bytes": answers.MAX_BYTES,
        "fetch.host_gap_s": 0,
        "fetch.host_failures": 1000,
        "run.workers": 2,
    }
    words = [f"--set={name}={value}" for name, value in given.items()]
    where = ("--seed", "seed.txt", "--catalog", "posts.csv", "--out", "out")
    paths = [str(folder / word) if "-" not in word else word for word in where]
    return [sys.executable, "-m", "pipelines", stage, *paths, *words]


def check_outcomes(hosts: list[Host], out: Path) -> None:
    parts = part_files(str(out / "videos"))
    rows = [row for part in parts for row in read_rows(part, VideoRow)]
    assert len({row.row_key for row in rows}) == len(rows) == HOSTS * PER_HOST
    found = Counter(f"{row.status}:{row.reason}" if row.reason else "clip" for row in rows)
    assert found == Counter(case.outcome for host in hosts for case in host.cases)


def watch(job: "subprocess.Popen[bytes]", hosts: list[Host]) -> Iterator[Sample]:
    """Samples until the job has ended."""
    while job.poll() is None:
        with suppress(FileNotFoundError, ProcessLookupError):  # It ended in the middle.
            asked = sum(len({one.path for one in list(host.log)}) - 1 for host in hosts)
            yield sample(job.pid, max(0, asked))
        time.sleep(0.05)


def sample(pid: int, asked: int) -> Sample:
    job_mib = resident_mib(pid)
    below = sum(resident_mib(child) for child in children(pid))
    files, threads = (len(os.listdir(f"/proc/{pid}/{name}")) for name in ("fd", "task"))
    return Sample(asked, job_mib + below, job_mib, files, threads)


def children(pid: int) -> Iterator[int]:
    """All processes below one that have become what they were started as."""
    name = Path(f"/proc/{pid}/cmdline").read_bytes()
    for task in os.listdir(f"/proc/{pid}/task"):
        with suppress(FileNotFoundError, ProcessLookupError):
            for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                with suppress(FileNotFoundError, ProcessLookupError):
                    # Until it runs another program, a child is its parent's memory, seen twice.
                    if Path(f"/proc/{word}/cmdline").read_bytes() != name:
                        yield int(word)
                    yield from children(int(word))


def resident_mib(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB
