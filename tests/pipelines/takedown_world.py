"""A small real dataset, built from files by the real stages, for tests of what changes one."""

import csv
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from formats.video import encode_frames
from pipelines.__main__ import main

POSTS = (
    # (video_id, file, caption, uploader, seed of its picture, seconds)
    *(
        (f"yoga-{n}", f"yoga{n}.mp4", "#yoga #xyogafan", f"anna{n % 2}", n, 1.0 + n // 4)
        for n in range(7)
    ),
    *((f"surf-{n}", f"surf{n}.mp4", "#surfingwater", f"bert{n}", 20 + n, 1.5) for n in range(3)),
    ("both-0", "both.mp4", "#yoga #surfingwater", "carl", 30, 1.0),
    ("rare-0", "rare.mp4", "#archery", "dora", 40, 1.0),
    ("leak-0", "leak.mp4", "#yoga", "emil", 50, 1.0),
    ("page-0", "page.mp4", "#yoga", "frida", None, 0.0),
    ("twin-0", "twin.mp4", "#yoga", "gert", 60, 1.0),
    ("twin-1", "twin.mp4", "#surfingwater", "hans", 60, 1.0),
    ("other-0", "other.mp4", "#nature", "ida", 70, 1.0),
)
SETTINGS = (
    "label.min_videos=2 split.splits=all,short,long,frames split.frames_per_video=2 "
    "split.short_s=0.5,1.2 split.long_s=1.4,2.5 split.center_s=0.5 "
    "shard.clips_per_shard=3 fetch.videos_per_part=4 fetch.max_failed_fraction=0.9 run.workers=2 "
    "deduplicate.max_duplicate_fraction=0.9 fetch.max_host_failed_fraction=1"
)


# Crashes at the n-th rename or deletion; says how many there were if it gets that far.
CRASH = """
import os, sys
from pipelines.__main__ import main
count = 0
def on_event(event, _):
    global count
    if event in ("os.rename", "os.remove", "os.rmdir"):
        count += 1
        if count == int(sys.argv[1]):
            os._exit(137)
sys.addaudithook(on_event)
code = main(sys.argv[2:])
print(count, file=sys.stderr)
sys.exit(code)
"""


def write_world(folder: Path) -> None:
    """The videos, a catalog of them and a target table."""
    for _, name, _, _, seed, seconds in POSTS:
        path = folder / name
        if seed is None:
            path.write_text("<html>not found</html>")
        elif not path.exists():
            encode_frames(str(path), picture(seed, int(seconds * 15)), fps=15)
    encode_frames(str(folder / "target.mp4"), picture(50, 15), fps=15, crf=32)
    (folder / "bench.csv").write_text("video_id,uri,label,subset\nt0,target.mp4,yoga,val\n")
    write_catalog(folder / "catalog.csv", POSTS)


def write_catalog(path: Path, posts: tuple[tuple, ...]) -> None:
    with open(path, "w", newline="") as file:
        rows = [[video_id, uri, caption, who] for video_id, uri, caption, who, *_ in posts]
        csv.writer(file).writerows([["video_id", "uri", "caption", "uploader"], *rows])


def picture(seed: int, count: int) -> Iterator[np.ndarray]:
    """A textured scene that slides, another for each seed."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((320, 180), Image.Resampling.BICUBIC))
    for number in range(count):
        yield np.roll(scene, number // 2, axis=1)[:120, :160].copy()


def build(world: Path, out: Path, *more: str, catalog: str = "catalog.csv") -> int:
    """`make dataset` of the world's catalog."""
    return main(
        [
            "dataset",
            *("--seed", "kinetics", "--catalog", str(world / catalog)),
            *("--targets", str(world / "bench.csv"), "--out", str(out)),
            *("--set", " ".join([SETTINGS, *more])),
        ]
    )


def crash_at(number: int, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command that dies at its n-th rename or deletion; 0: at none."""
    return subprocess.run(
        [sys.executable, "-c", CRASH, str(number), *words],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def copy(out: Path, to: Path) -> Path:
    """A copy of a dataset with the same times, so that nothing looks changed."""
    shutil.copytree(out, to, copy_function=shutil.copy2)
    return to


def contents(out: Path) -> dict[str, bytes]:
    """Every file of a dataset."""
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
