"""Real mp4s in real shards: a bright disc that moves as its label says, over a textured scene."""

import io
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import av
import numpy as np

from formats.shards import Manifest, dataset_id, digest_of, write_manifest, write_shard
from training.frames import Frames

LABELS = ("left", "right", "still")


def draw_motion(label: str, frames: int, rng_seed: int, size: tuple[int, int] = (48, 64)) -> Frames:
    """uint8 [T, H, W, 3]; the background says nothing of the label."""
    rng = np.random.default_rng(rng_seed)
    height, width = size
    scene = rng.integers(0, 120, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    y, x = np.mgrid[:height, :width]
    start, speed = rng.uniform(0, width), {"left": -2.0, "right": 2.0, "still": 0.0}[label]
    film = []
    for t in range(frames):
        away = (x - start - speed * t + width / 2) % width - width / 2
        disc = away**2 + (y - height / 2) ** 2 < 64
        film.append(np.where(disc[..., None], 230, scene).astype(np.uint8))
    return np.stack(film)


def encode(
    frames_THWC: Frames,
    fps: int = 15,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    **options: str,
) -> bytes:
    """An mp4 of the frames, H.264 unless another is named, with a key frame every 12."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = pix_fmt
        stream.options = {"g": "12", "crf": "18", "threads": "1", **options}
        for array in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(array, format="rgb24")))
        container.mux(stream.encode())
    # On a single core SVT-AV1 makes root's thread a real-time one, for good: nothing else would run
    # beside it and the processes that it starts.
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    return file.getvalue()


def write_split(
    folder: Path,
    clips: Sequence[tuple[str, bytes, int, float]],
    *,
    clips_per_shard: int = 100,
    labels: tuple[str, ...] = LABELS,
    label_ids: Mapping[str, Sequence[int]] = MappingProxyType({}),
) -> str:
    """Shards and a manifest of (clip_id, mp4, label_id, repeats); return the folder's name.

    Of JPEGs in the place of the mp4s it is a split of images.
    `label_ids` has the labels of clips that carry several.
    """
    entries = []
    for first in range(0, len(clips), clips_per_shard):
        part = [
            (
                clip_id,
                content,
                {
                    "label_id": label_id,
                    "label": labels[0],
                    "repeats": repeats,
                    **({"label_ids": list(label_ids[clip_id])} if clip_id in label_ids else {}),
                },
            )
            for clip_id, content, label_id, repeats in clips[first : first + clips_per_shard]
        ]
        suffix = ".jpg" if part[0][1].startswith(b"\xff\xd8") else ".mp4"
        entries.append(write_shard(str(folder / f"shard-{first:05d}.tar"), part, suffix=suffix))
    manifest = Manifest(
        dataset_id=dataset_id("0", folder.name, labels, entries),
        split=folder.name,
        config_digest="0",
        clips=len(clips),
        videos=len(clips),
        minutes=0.1,
        labels=labels,
        shards=tuple(entries),
    )
    write_manifest(str(folder), manifest)
    return str(folder)


def moving_split(folder: Path, per_label: int, *, rng_seed: int = 0, frames: int = 20) -> str:
    """A split with `per_label` videos of every label."""
    clips = []
    for label_id, label in enumerate(LABELS):
        for number in range(per_label):
            film = draw_motion(label, frames, rng_seed * 1000 + label_id * 100 + number)
            clip_id = digest_of(rng_seed, label, number)[:16]
            clips.append((clip_id, encode(film, preset="ultrafast"), label_id, 1.0))
    return write_split(folder, sorted(clips), clips_per_shard=4)


def two_motions_split(folder: Path, per_pair: int, *, rng_seed: int = 0, frames: int = 12) -> str:
    """A split whose videos show a motion above another; they carry the labels of both."""
    clips, label_ids = [], {}
    for pair in itertools.product(range(len(LABELS)), repeat=2):
        for number in range(per_pair):
            seeds = [rng_seed * 10_000 + pair[0] * 1000 + pair[1] * 100 + number * 2 + half
                     for half in (0, 1)]  # fmt: skip
            halves = [
                draw_motion(LABELS[label], frames, seed, (24, 64))
                for label, seed in zip(pair, seeds, strict=True)
            ]
            clip_id = digest_of(rng_seed, pair, number)[:16]
            content = encode(np.concatenate(halves, 1), preset="ultrafast")
            clips.append((clip_id, content, min(pair), 1.0))
            label_ids[clip_id] = sorted(set(pair))
    return write_split(folder, sorted(clips), clips_per_shard=8, label_ids=label_ids)
