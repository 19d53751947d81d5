"""Videos made on the spot, and what becomes of them."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from formats.mp4 import read_facts
from formats.tables import Reason
from formats.video import (
    DecodeError,
    VideoOptions,
    decode_rgb,
    normalise,
)

CLIPS = Path(__file__).parents[2].parent / "shared" / "data" / "clips"
OPTIONS = VideoOptions()
SOME = VideoOptions(min_duration_s=0.0)


def bars(count: int, height: int = 96, width: int = 160) -> Iterator[np.ndarray]:
    """A vertical bar that moves right two pixels a frame, over a gradient."""
    columns = np.arange(width)
    for number in range(count):
        frame = np.zeros((height, width, 3), np.uint8)
        frame[..., 1] = np.linspace(0, 200, height, dtype=np.uint8)[:, None]
        frame[:, (columns - 2 * number) % width < 16] = 255
        yield frame


def numbered(count: int) -> Iterator[np.ndarray]:
    """Frames that say their own number in brightness: frame k is 5 * k + 10 all over."""
    for number in range(count):
        yield np.full((64, 64, 3), 5 * number + 10, np.uint8)


def numbers(path: Path) -> list[int]:
    frames_THWC = decode_rgb(str(path), fps=None, height=64, width=64)
    return [round((float(frame.mean()) - 10) / 5) for frame in frames_THWC]


def ffmpeg(*args: object) -> None:
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([exe, "-v", "error", "-y", *map(str, args)], check=True)


def lavfi(path: Path, graph: str, *args: object) -> str:
    ffmpeg("-f", "lavfi", "-i", graph, *args, path)
    return str(path)


def reason(source: Path | str, options: VideoOptions = OPTIONS) -> Reason:
    stored = Path(source).parent / "refused.mp4"
    with pytest.raises(DecodeError) as caught:
        normalise(str(source), str(stored), options)
    assert not stored.exists()
    assert not [name for name in os.listdir(stored.parent) if name.startswith(".")]
    assert "\n" not in caught.value.detail and caught.value.detail
    return caught.value.reason


def shape(source: str, folder: Path, options: VideoOptions = SOME) -> tuple[int, int, float, int]:
    stored = normalise(source, str(folder / "stored.mp4"), options)
    facts = read_facts(str(folder / "stored.mp4"))
    assert (facts.width, facts.height, facts.frames) == (stored.width, stored.height, stored.frames)
    return stored.width, stored.height, round(stored.fps, 3), stored.frames


def stub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Puts a shell script in the decoder's place; `$real` in it is the real one."""
    path, real = tmp_path / "decoder.sh", tmp_path / "decoder"
    # A confined program may run what lies beside it.
    shutil.copy(imageio_ffmpeg.get_ffmpeg_exe(), real)
    path.write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(path))
