"""The whole command, killed at random moments of every stage, and run again (F2).

What an uninterrupted run leaves is what any number of interrupted ones leave: the same shards,
manifests and ledger, nothing fetched twice but what was under way, and no scrap of the killed ones.
"""

import os
import random
import re
import select
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from formats.shards import read_manifest
from formats.tables import VideoRow, part_files, read_rows
from pipelines.identity import row_key
from pipelines.run import STAGES
from tests.trials.small_world import (
    HOST,
    ROWS,
    VIDEOS_PER_PART,
    SmallWorld,
    check_same,
    finish,
    small_world,
    start,
    write_rows,
)

pytestmark = pytest.mark.trial

RNG_SEED = 20_190
REPORT = "report"
MOMENTS = ("start", *STAGES, REPORT)
STOPPED = "tagreel: stopped; the same command goes on from here\n"
IDS = "yoga-1\nuploader:anna0\nid:surf-0\nleak-0\n"


@dataclass(frozen=True)
class Whole:
    """An uninterrupted run, and how long each of its stages took."""

    out: Path
    seconds: dict[str, float]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    with small_world(tmp_path_factory.mktemp("world")) as world:
        (world.folder / "ids.txt").write_text(IDS)
        yield world


@pytest.fixture(scope="module")
def whole(world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> Whole:
    out = tmp_path_factory.mktemp("whole") / "out"
    began, seconds = time.monotonic(), {}
    child = start(world.command(out))
    assert child.stdout is not None
    for line in child.stdout:
        stage = stage_ended(line)
        if stage is not None:
            seconds[stage] = time.monotonic() - began
            began = time.monotonic()
    complained = child.stderr.read() if child.stderr else ""
    assert child.wait() == 0, complained
    return Whole(out, seconds)


@pytest.fixture(autouse=True)
def forgetful_server(world: SmallWorld) -> None:
    world.server.requests.clear()


@pytest.fixture
def signals_as_they_are() -> Iterator[None]:
    """Of a shell's background job SIGINT is ignored, and so it is for whatever that job starts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def stage_ended(line: str) -> str | None:
    """The moment that ends with this line of the command's output, if one does."""
    done = re.match(r"(\w+) +(?:done before|[\d.]+ s)  ", line)
    if done:
        return done[1]
    return {"seed set": "start", "dataset ": REPORT}.get(line[:8])


def kill_in(words: list[str], moment: str, wait_s: float) -> bool:
    """Run a command and SIGKILL its group so long after a moment began; whether it was in time."""
    child = start(words)
    if moment != "start":
        await_moment(child, moment)
    time.sleep(wait_s)
    return kill(child)


def await_moment(child: subprocess.Popen[str], moment: str) -> None:
    """Wait for the end of what comes before it; before the start, for the first sign of life."""
    assert child.stdout is not None
    if moment == "start":
        assert select.select([child.stdout], [], [], 120)[0]
        return
    before = MOMENTS[MOMENTS.index(moment) - 1]
    while (line := child.stdout.readline()) and stage_ended(line) != before:
        pass
    assert line, child.communicate()[1]


def kill(child: subprocess.Popen[str]) -> bool:
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate(timeout=60)
    return child.returncode == -signal.SIGKILL


def asked(world: SmallWorld) -> Counter[str]:
    """How often the server was asked for each video so far."""
    return Counter(path for path, _ in world.server.requests)


def committed(out: Path) -> set[str]:
    """The videos that a part says what became of."""
    rows = (row for part in part_files(str(out / "videos")) for row in read_rows(part, VideoRow))
    paths = {row_key(uri): uri.removeprefix(f"http://{HOST}") for _, uri, _, _ in ROWS}
    return {paths[row.row_key] for row in rows}


def check_asked_once(by_one_run: Counter[str], done: set[str]) -> None:
    """A run asks for nothing that was committed, and for nothing twice."""
    assert by_one_run.keys() & done == set()
    assert set(by_one_run.values()) <= {1}


def check_result(out: Path, whole: Path) -> None:
    for split in ("all", "short", "long", "frames"):
        here, there = (str(o / "shards" / split) for o in (out, whole))
        assert read_manifest(here).dataset_id == read_manifest(there).dataset_id
    check_same(out, whole)


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_in_every_stage_and_run_again_it_ends_the_same(
    world: SmallWorld, whole: Whole, workers: int, tmp_path: Path
) -> None:
    rng = random.Random(RNG_SEED + workers)
    out = tmp_path / "out"
    words = world.command(out, f"run.workers={workers}")
    # Stages in their order, the long ones more than once: each kill finds the scraps of the others.
    moments = [*MOMENTS, "fetch", "fetch", "shard", "shard", REPORT]
    moments.sort(key=MOMENTS.index)
    kills = 0
    for moment in moments:
        done, before = committed(out), asked(world)
        kills += kill_in(words, moment, rng.uniform(0, whole.seconds[moment]))
        check_asked_once(asked(world) - before, done)
        if workers == 1:
            # The unit that was under way; with more workers on one host it may be two of each.
            assert len(asked(world).keys() - committed(out)) <= VIDEOS_PER_PART
    assert kills >= 12
    done, before = committed(out), asked(world)
    code, said, complained = finish(words)
    assert code == 0, complained
    check_asked_once(asked(world) - before, done)
    assert said.splitlines()[-2].startswith("dataset ")
    check_result(out, whole.out)
    # And then there is nothing left to do.
    world.server.requests.clear()
    code, said, _ = finish(words)
    assert code == 0 and said.count("done before") == len(STAGES)
    assert world.server.requests == []


@pytest.mark.parametrize("number", range(2))
def test_one_kill_anywhere_costs_one_unit_at_most(
    world: SmallWorld, whole: Whole, number: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{RNG_SEED} {number}")
    out = tmp_path / "out"
    words = world.command(out, "run.workers=1")
    child = start(words)
    time.sleep(rng.uniform(0, sum(whole.seconds.values())))
    kill(child)
    assert finish(words)[0] == 0
    assert world.fetched_again().total() <= VIDEOS_PER_PART
    check_result(out, whole.out)


@pytest.mark.parametrize("number", range(4))
def test_a_takedown_that_is_killed_and_run_again_ends_the_same(
    world: SmallWorld, whole: Whole, number: int, tmp_path: Path
) -> None:
    rng = random.Random(f"{RNG_SEED} takedown {number}")
    wanted, out = copy(whole.out, tmp_path / "wanted"), copy(whole.out, tmp_path / "out")
    began = time.monotonic()
    assert finish(takedown(wanted, world))[0] == 0
    took_s = time.monotonic() - began
    for _ in range(2):
        child = start(takedown(out, world))
        if number % 2:
            await_resharding(out, child)
            time.sleep(rng.uniform(0, 0.05))
        else:
            time.sleep(rng.uniform(0.3, 1.0) * took_s)
        kill(child)
    # Whichever command comes next finishes it.
    words = takedown(out, world) if number < 2 else world.command(out)
    code, _, complained = finish(words)
    assert code == 0, complained
    assert finish(world.command(wanted))[0] == finish(world.command(out))[0] == 0
    check_result(out, wanted)
    assert world.server.requests == []


def takedown(out: Path, world: SmallWorld) -> list[str]:
    return ["takedown", "--out", str(out), "--ids", str(world.folder / "ids.txt")]


def await_resharding(out: Path, child: subprocess.Popen[str]) -> None:
    """Wait until shards are written anew beside the old ones; the child may end before."""
    while child.poll() is None and not any(out.glob("shards/*/.takedown")):
        time.sleep(0.001)


def copy(out: Path, to: Path) -> Path:
    shutil.copytree(out, to, copy_function=shutil.copy2)
    return to


@pytest.mark.usefixtures("signals_as_they_are")
@pytest.mark.parametrize("first", [0, 1])
def test_a_stopped_command_says_one_sentence_and_goes_on_later(
    world: SmallWorld, whole: Whole, first: int, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = world.command(out, "run.workers=1")
    stopped = 0
    for number, moment in enumerate(("start", "match", "fetch", "label", "shard", REPORT)):
        sort = (signal.SIGTERM, signal.SIGINT)[(first + number) % 2]
        child = start(words)
        await_moment(child, moment)
        time.sleep(whole.seconds[moment] * (0.0 if moment == "start" else 0.4))
        child.send_signal(sort)
        _, complained = child.communicate(timeout=120)
        if (out / "report" / ".stages").exists():
            continue  # All was done, and Python about to end, before the signal came.
        assert child.returncode == 128 + sort, complained
        # The bar of a stage that was under way may stand before it, on a line of its own.
        assert complained.endswith(STOPPED) and "Traceback" not in complained
        assert complained.count("tagreel: ") == 1
        stopped += 1
    assert stopped >= 5
    code, _, complained = finish(words)
    assert code == 0, complained
    assert world.fetched_again().total() <= VIDEOS_PER_PART
    check_result(out, whole.out)


@pytest.mark.parametrize("change", ["grown", "shuffled", "split"])
def test_a_catalog_that_changed_between_a_kill_and_the_next_run_loses_nothing(
    world: SmallWorld, whole: Whole, change: str, tmp_path: Path
) -> None:
    rng = random.Random(f"{RNG_SEED} {change}")
    rows = rng.sample(ROWS, len(ROWS))
    first, second = f"{change}/first.csv", f"{change}/second.csv"
    write_rows(world.folder / first, rows[:12] if change == "grown" else ROWS)
    if change == "split":
        second = f"{change}/second"
        for number in range(3):
            write_rows(world.folder / second / f"{number}.csv", rows[number::3])
    else:
        write_rows(world.folder / second, rows)
    # Relative URIs would start from the catalog's folder; these are all of the web.
    out = tmp_path / "out"
    words = world.command(out, "run.workers=1", catalog=first)
    kill_in(words, "fetch", rng.uniform(0.3, 0.9) * whole.seconds["fetch"])
    kill_in(words, "shard", rng.uniform(0.2, 0.8) * whole.seconds["shard"])
    kill_in(words, REPORT, rng.uniform(0, 1) * whole.seconds[REPORT])
    done, before = committed(out), asked(world)
    assert finish(world.command(out, "run.workers=1", catalog=second))[0] == 0
    check_asked_once(asked(world) - before, done)
    assert world.fetched_again().total() <= VIDEOS_PER_PART
    check_result(out, whole.out)
