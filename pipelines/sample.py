"""The built-in sample world: a small social network, rendered on the spot (design 7).

A folder with a catalog of posts, their video files, a clean target set and the ground truth. The
files depend on the seed alone, not on how many processes made them.
"""

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from formats.storage import remove_leftovers, sha256_file, write_bytes
from formats.terminal import Terminal
from formats.video import encode_frames
from pipelines.world.posts import SAMPLE_HOST, Kind, Post, Target, plan_posts, plan_targets
from pipelines.world.reuploads import Recording, reuploaded
from pipelines.world.scenes import film_frames
from pipelines.world.truth import (
    FileFacts,
    TruthRow,
    World,
    commit,
    is_complete,
    write_csv,
    write_truth,
)
from pipelines.world.world_server import serve_world

__all__ = ["SAMPLE_HOST", "Plan", "World", "build_world", "render_world", "serve_world"]

_CRF = 25
_TRUNCATED_SHARE = 0.55
_WITHOUT_FILE = frozenset({Kind.DEAD, Kind.DENIED, Kind.SAME_URI})
_PAGE = b"""<!DOCTYPE html>
<html><head><title>Log in to continue</title></head>
<body><h1>This video is for members only</h1></body></html>
"""


@dataclass(frozen=True)
class Plan:
    """All that a world will hold."""

    rng_seed: int
    posts: tuple[Post, ...]
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class _Made:
    """One file, and how long its video is."""

    facts: FileFacts
    length_s: float | None


def build_world(folder: str, *, rng_seed: int = 0, workers: int = 0) -> World:
    """Render the sample world of a seed into a folder, or take it as it is if it is complete.

    `workers` processes render, 0 = one per CPU core; the files are the same for any number. A
    build that was killed begins again; no file that is not of this world is touched.

    Raises:
        StorageError: the folder cannot be written to.
    """
    world = World(folder)
    if not is_complete(world, rng_seed):
        plan = Plan(rng_seed, plan_posts(rng_seed), plan_targets(rng_seed))
        render_world(world, plan, workers=workers)
    return world


def render_world(world: World, plan: Plan, *, workers: int = 0) -> None:
    """Make every file of a plan and commit the world.

    Raises:
        StorageError: the folder cannot be written to.
    """
    Path(world.marker).unlink(missing_ok=True)
    for name in ("videos", "targets"):
        Path(world.folder, name).mkdir(parents=True, exist_ok=True)
        remove_leftovers(str(Path(world.folder, name)))
    jobs: list[Post | Target] = [p for p in plan.posts if p.kind not in _WITHOUT_FILE]
    jobs += plan.targets
    # Longest first, so that no process is left alone with a long one at the end.
    jobs.sort(key=lambda job: (-job.film.frames, job.video_id))
    made = {m.facts.path: m for m in _make_all(world.folder, plan.rng_seed, jobs, workers)}
    _write_tables(world, plan, made)
    tables = [
        _facts(world.folder, Path(p).name) for p in (world.catalog, world.targets, world.truth)
    ]
    commit(world, plan.rng_seed, [*(m.facts for m in made.values()), *tables])


def _make_all(
    folder: str, rng_seed: int, jobs: list[Post | Target], workers: int
) -> Iterator[_Made]:
    make = partial(_make, folder, rng_seed)
    with tqdm(total=len(jobs), desc="sample world", unit="video", file=Terminal()) as progress:
        for made in _map(make, jobs, workers or os.cpu_count() or 1):
            progress.update()
            yield made


def _map(make: "partial[_Made]", jobs: Iterable[Post | Target], workers: int) -> Iterator[_Made]:
    """Results in any order; the first error stops the rest."""
    if workers == 1:
        yield from map(make, jobs)
        return
    # Spawned, not forked: the caller may have threads, whose locks a fork would copy locked.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=spawn) as pool:
        futures = [pool.submit(make, job) for job in jobs]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _make(folder: str, rng_seed: int, job: Post | Target) -> _Made:
    """Write the file of one post or target."""
    path = job.path if isinstance(job, Post) else job.uri
    kind = job.kind if isinstance(job, Post) else Kind.CLEAN
    target = str(Path(folder, path))
    if kind in (Kind.HTML, Kind.ZERO):
        write_bytes(target, _PAGE if kind is Kind.HTML else b"")
        return _Made(_facts(folder, path), None)
    recording = _record(job, rng_seed)
    counted = _Counted(recording.frames_THWC)
    codec = "vp9" if path.endswith(".webm") else "h264"
    crf = recording.crf + 8 * (codec == "vp9")
    encode_frames(target, counted, fps=recording.fps, codec=codec, crf=crf)
    if kind is Kind.TRUNCATED:
        content = Path(target).read_bytes()
        write_bytes(target, content[: int(len(content) * _TRUNCATED_SHARE)])
    return _Made(_facts(folder, path), round(counted.frames / recording.fps, 3))


def _record(job: Post | Target, rng_seed: int) -> Recording:
    if isinstance(job, Post) and job.edit:
        return reuploaded(job.film, job.edit, rng_seed=rng_seed)
    return Recording(film_frames(job.film, rng_seed=rng_seed), job.film.fps, _CRF)


class _Counted:
    """Hands frames on and remembers how many."""

    def __init__(self, frames_THWC: Iterator[NDArray[np.uint8]]) -> None:
        self.frames = 0
        self._frames_THWC = frames_THWC

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for frame_HWC in self._frames_THWC:
            self.frames += 1
            yield frame_HWC


def _facts(folder: str, path: str) -> FileFacts:
    file = Path(folder, path)
    return FileFacts(path, file.stat().st_size, sha256_file(str(file)))


def _write_tables(world: World, plan: Plan, made: dict[str, _Made]) -> None:
    columns = ["video_id", "uri", "caption", "uploader", "licence"]
    posts = ([getattr(post, name) for name in columns] for post in plan.posts)
    write_csv(world.catalog, columns, posts)
    columns = ["video_id", "uri", "label", "subset"]
    targets = ([getattr(target, name) for name in columns] for target in plan.targets)
    write_csv(world.targets, columns, targets)
    write_truth(world, (_truth(post, made.get(post.path)) for post in plan.posts))


def _truth(post: Post, made: _Made | None) -> TruthRow:
    film, length_s = post.film, made.length_s if made else None
    timed = bool(film.actions) and length_s is not None and not post.edit
    return TruthRow(
        video_id=post.video_id,
        uri=post.uri,
        path=post.path,
        kind=post.kind,
        labels=film.actions,
        tagged=post.tagged,
        target_video_id=post.target_video_id,
        edit=post.edit,
        length_s=length_s,
        action_start_s=round(film.action_start / film.fps, 3) if timed else None,
        action_end_s=round(film.action_end / film.fps, 3) if timed else None,
    )
