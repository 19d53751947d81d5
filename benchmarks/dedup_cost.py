"""What it costs to fingerprint a source video, beside vPDQ and bare decoders, and the plan.

Run: python -m benchmarks.dedup_cost PYTHON_WITH_VPDQ CLIP...; benchmarks.dedup prints it, too.
"""

import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from benchmarks.fetch import our_args
from dedup.fingerprint import Fingerprint, fingerprint_target, fingerprint_video
from dedup.index import PIECE_MOST_CODES, TargetIndex, TargetVideo
from formats.edits import master_options
from formats.video import VideoOptions, decode_gray, normalise
from pipelines.options import TargetsOptions

CLIPS, ROUNDS = 6, 3
SOURCES, TARGETS = 65_000_000, 413_000
"""The paper's videos; those of Kinetics, EPIC-Kitchens and Something-Something together."""
SIZES, QUERIES, CODES_PER_VIDEO = (2**19, 2**21), 4096, 512
VPDQ = """\
import json, sys, time
import vpdq
before = time.process_time()
for path in sys.argv[1:]:
    vpdq.computeHash(path, seconds_per_hash=1.0, thread_count=1)
print(json.dumps(time.process_time() - before))
"""
PYAV = """\
import json, sys, time
import av
before = time.process_time()
for path in sys.argv[1:]:
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        for frame in container.decode(video=0):
            pass
print(json.dumps(time.process_time() - before))
"""


def print_costs(clips: Sequence[Path], scratch: Path, vpdq_python: str) -> None:
    """CPU of each way to hash or decode, in the same rounds; then what all of it comes to."""
    videos = [ten_seconds(clip, scratch / f"cost{n}.mp4") for n, clip in enumerate(clips[:CLIPS])]
    ways: dict[str, Callable[[], float]] = {
        "ours: checked, confined decode + fingerprint": lambda: sum(map(ours_s, videos)),
        "  of that, the fingerprint": lambda: sum(map(hashing_s, videos)),
        "  of that, a child process that does nothing": lambda: sum(ffmpeg_s() for _ in videos),
        "fetch: checked, stored at 128 lines + fingerprint": lambda: sum(map(fetch_s, videos)),
        "bare ffmpeg that stores the same and hashes nothing": lambda: sum(
            ffmpeg_s("-threads", "1", "-i", str(video), *our_args(), str(scratch / "bare.mp4"))
            for video in videos
        ),
        "bare ffmpeg, decode alone": lambda: sum(ffmpeg_s(*bare(video)) for video in videos),
        "bare PyAV, decode alone": lambda: python_s(vpdq_python, PYAV, videos),
        "vPDQ, 1 hash a second": lambda: python_s(vpdq_python, VPDQ, videos),
    }
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            spent[name].append(1000 * way() / len(videos))
    print(f"{f'CPU ms of a 340x256 video of 10 s, best of {ROUNDS} rounds':56}")
    for name, costs in spent.items():
        told = f"{min(costs):12.1f}" if min(costs) > 0 else "not there".rjust(12)
        print(f"{name:56}{told}")
    print_plan(videos, min(next(iter(spent.values()))))


def ten_seconds(clip: Path, made: Path) -> Path:
    """The clip as H.264 of 340x256, 28 frames a second and 10 s, repeated if it is shorter."""
    # Of a file of ours, for not every container ends, or has times, when it is repeated.
    master = f"{made}.master.mp4"
    normalise(str(clip), master, master_options(VideoOptions()))
    size = "scale=340:256,setsar=1,fps=28,format=yuv420p"
    args = ["-stream_loop", "-1", "-i", master, "-t", "10", "-an", "-vf", size]
    ffmpeg(*args, "-c:v", "libx264", str(made))
    return made


def ours_s(video: Path) -> float:
    """CPU seconds of the decoder's child and of this process."""
    before = own_s() + children_s()
    hashed(video, fingerprint_video)
    return own_s() + children_s() - before


def fetch_s(video: Path) -> float:
    """The same of all that fetch does with a file that is there."""
    before = own_s() + children_s()
    stored = normalise(str(video), f"{video}.stored", VideoOptions())
    size = {"width": stored.width, "height": stored.height}
    fingerprint_video(stored.gray_THW, stored.seconds_T, **size)
    return own_s() + children_s() - before


def hashing_s(video: Path) -> float:
    """CPU seconds of the fingerprint alone."""
    gray_THW, seconds_T, width, height = decode_gray(str(video), VideoOptions())
    before = own_s()
    fingerprint_video(gray_THW, seconds_T, width=width, height=height)
    return own_s() - before


def hashed(video: Path, kind: Callable[..., Fingerprint]) -> Fingerprint:
    """The fingerprint of a file, sampled as the stages sample sources and targets."""
    fps = TargetsOptions().hash_fps if kind is fingerprint_target else VideoOptions().hash_fps
    options = VideoOptions(hash_fps=fps)
    gray_THW, seconds_T, width, height = decode_gray(str(video), options)
    return kind(gray_THW, seconds_T, width=width, height=height)


def bare(video: Path) -> list[str]:
    """Arguments to decode a file and keep nothing."""
    return ["-threads", "1", "-i", str(video), "-map", "0:v:0", "-f", "null", "-"]


def ffmpeg(*args: str) -> None:
    """Run ffmpeg."""
    start = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*start, *args], check=True, stdout=subprocess.DEVNULL)


def ffmpeg_s(*args: str) -> float:
    """CPU seconds of one ffmpeg; without arguments, of one that only starts."""
    before = children_s()
    ffmpeg(*(args or ["-version"]))
    return children_s() - before


def python_s(python: str, program: str, videos: Sequence[Path]) -> float:
    """CPU seconds that a program says it spent on the videos; 0 if it lacks a library."""
    words = [python, "-c", program, *map(str, videos)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        return 0.0
    done.check_returncode()
    spent: float = json.loads(done.stdout)
    return spent


def own_s() -> float:
    """CPU seconds of this process."""
    return time.process_time()


def children_s() -> float:
    """CPU seconds of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def print_plan(videos: Sequence[Path], source_ms: float) -> None:
    """Core-hours of each step for as many sources and targets as the paper and its benchmarks."""
    codes = statistics.fmean(len(hashed(video, fingerprint_video).codes) for video in videos)
    before = own_s() + children_s()
    rows = statistics.fmean(len(hashed(video, fingerprint_target).codes) for video in videos)
    target_s = (own_s() + children_s() - before) / len(videos)
    steps = {
        f"decode and fingerprint {SOURCES:,} sources of 10 s": SOURCES * source_ms / 1000,
        f"decode and hash {TARGETS:,} targets, {rows:,.0f} codes each": TARGETS * target_s,
    }
    queries = SOURCES * codes
    name = f"look up {codes:.1f} codes of each source in {TARGETS * rows:,.0f}"
    steps[name] = queries * search_s(TARGETS * rows)
    print(f"\n{'core-hours':>66}")
    for name, seconds in steps.items():
        print(f"{name:56}{seconds / 3600:10,.0f}")
    print(f"{'all':56}{sum(steps.values()) / 3600:10,.0f}")
    print("The look-up is scaled from random codes, and leaves out comparing what it finds.")


def search_s(rows: float) -> float:
    """CPU seconds of one look-up among so many codes: by pieces, each at a start and so much a row.

    Both are measured on indexes of two sizes.
    """
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, (QUERIES, 32), dtype=np.uint8)
    spent = []
    for size in SIZES:
        index = TargetIndex.build(random_videos(size, rng), hashed=True)
        spent.append(min(looked_up_s(index, queries) for _ in range(ROUNDS + 1)) / QUERIES)
    per_row = max(0.0, (spent[1] - spent[0]) / (SIZES[1] - SIZES[0]))
    start = max(0.0, spent[0] - per_row * SIZES[0])
    return start * math.ceil(rows / PIECE_MOST_CODES) + per_row * rows


def looked_up_s(index: TargetIndex, queries: np.ndarray) -> float:
    """CPU seconds of looking for the queries."""
    before = own_s()
    index.search(queries, 52)
    return own_s() - before


def random_videos(codes: int, rng: np.random.Generator) -> Iterator[TargetVideo]:
    """Target videos of random hashes, so many in all."""
    seconds = np.zeros(CODES_PER_VIDEO, np.float32)
    for number in range(codes // CODES_PER_VIDEO):
        some = rng.integers(0, 256, (CODES_PER_VIDEO, 32), dtype=np.uint8)
        shown = Fingerprint(some, seconds, ("full",) * CODES_PER_VIDEO)
        yield TargetVideo("random", str(number), shown)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        print_costs([Path(word) for word in sys.argv[2:]], Path(folder), sys.argv[1])
