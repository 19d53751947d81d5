"""Thousands of spoilt videos: each is refused for a reason that has a name, or decodes whole."""

import io
import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import pytest

from formats.tables import Reason, VideoRow, read_rows
from formats.video import DecodeError, VideoOptions, normalise
from pipelines.__main__ import main
from tests.trials.hostile_media import write_catalog
from tests.trials.media_case import Maker
from tests.trials.mutations import mutated, small_videos

pytestmark = pytest.mark.trial
COUNT = 2_000
IN_JOB = 200
OPTIONS = VideoOptions(deadline_s=30.0, memory_bytes=1 << 30)
WHOLE_FRAMES = 28
"""Of the 30 that the unspoilt ones have, give or take what may be missing."""
GIVE_UP_S = 600.0
"""Nothing hangs as long as that on the slowest machine; without it, a hang would hang the test."""
OPEN_ENDED = (".ogv", ".gif")
"""Nothing in them says how long they are, or was cut off with the rest: a cut goes unseen."""
OF_MEDIA = {
    Reason.EMPTY,
    Reason.NOT_VIDEO,
    Reason.DAMAGED,
    Reason.TOO_FEW_FRAMES,
    Reason.TOO_SHORT,
    Reason.TOO_LONG,
    Reason.TOO_MANY_PIXELS,
    Reason.DECODER_TIMEOUT,
    Reason.DECODER_MEMORY,
    Reason.DECODER_CRASHED,
}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return small_videos(Maker(tmp_path_factory.mktemp("made"), {}))


def test_the_unspoilt_videos_are_stored(videos: dict[str, bytes], tmp_path: Path) -> None:
    assert {name: _outcome(name, content, tmp_path) for name, content in videos.items()} == (
        dict.fromkeys(videos, "stored")
    )


def test_every_spoilt_video_is_refused_with_a_reason_or_stored_whole(
    videos: dict[str, bytes], tmp_path: Path
) -> None:
    open_before = len(os.listdir("/proc/self/fd"))
    found = Counter[str]()
    with ThreadPoolExecutor(3) as pool:
        spoilt = (mutated(videos, number) for number in range(COUNT))
        running = [pool.submit(_outcome, *one, tmp_path) for one in spoilt]
        for outcome in running:
            found[outcome.result(GIVE_UP_S)] += 1
    assert found.keys() <= {"stored", *OF_MEDIA}
    assert found.total() == COUNT
    # The mutations are neither harmless nor all fatal.
    common = (found["stored"], found[Reason.DAMAGED], found[Reason.NOT_VIDEO])
    assert min(common) > COUNT // 50, found
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == open_before
    with pytest.raises(ChildProcessError):  # There is none, dead or alive.
        os.waitpid(-1, os.WNOHANG)


def test_spoilt_videos_of_a_catalog_each_have_one_row(
    videos: dict[str, bytes], tmp_path: Path
) -> None:
    world, out = tmp_path / "world", tmp_path / "out"
    world.mkdir()
    spoilt = dict(mutated(videos, number) for number in range(COUNT, COUNT + IN_JOB))
    for name, content in spoilt.items():
        (world / name).write_bytes(content)
    write_catalog(world / "catalog.jsonl", list(spoilt))
    words = "fetch.max_failed_fraction=1 fetch.videos_per_part=50 run.buckets=2 run.workers=2"
    for stage in ("expand", "match", "fetch"):
        where = ("--catalog", str(world / "catalog.jsonl"), "--out", str(out))
        assert main([stage, *where, "--set", words]) == 0
    tables = out.glob("videos/part-*.parquet")
    rows = [row for table in tables for row in read_rows(str(table), VideoRow)]
    assert {row.video_id for row in rows} == set(spoilt) and len(rows) == IN_JOB
    assert {row.status for row in rows} == {"rejected", "stored"}
    for row in rows:
        if row.part is None or row.offset is None or row.size_bytes is None:
            assert row.reason in OF_MEDIA, row.video_id
            continue
        with open(out / "videos" / row.part, "rb") as file:
            file.seek(row.offset)
            assert _frames(file.read(row.size_bytes)) == row.frames, row.video_id


def _outcome(name: str, content: bytes, folder: Path) -> str:
    """What becomes of a video; what is stored has been decoded by another decoder."""
    source, stored = folder / name, folder / f"{name}.stored.mp4"
    source.write_bytes(content)
    try:
        facts = normalise(str(source), str(stored), OPTIONS)
    except DecodeError as error:
        # A refusal that says nothing, or leaves something, is none of the reasons.
        clean = error.detail and not stored.exists()
        return error.reason if clean else f"{name}: {error}"
    finally:
        source.unlink()
    assert _frames(stored.read_bytes()) == facts.frames >= 2, name
    assert len(facts.gray_THW) == len(facts.seconds_T) >= 1, name
    stored.unlink()
    if "-cut-" in name and not name.endswith(OPEN_ENDED) and facts.frames < WHOLE_FRAMES:
        return f"{name}: cut, and nobody noticed"
    return "stored"


def _frames(content: bytes) -> int:
    """The frames of a stored video; none of them may be damaged."""
    with av.open(io.BytesIO(content)) as video:
        frames = list(video.decode(video=0))
    assert not any(frame.is_corrupt for frame in frames)
    return len(frames)
