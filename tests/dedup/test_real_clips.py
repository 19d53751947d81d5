import csv
import re
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from dedup.fingerprint import fingerprint_target, fingerprint_video
from dedup.index import TargetIndex, TargetVideo
from dedup.matching import find_duplicates
from dedup.profiles import PROFILES

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def decode(path: Path, fps: int = 2) -> tuple[np.ndarray, np.ndarray, int, int]:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-i", str(path), "-map", "0:v:0"]
    scale = f"fps={fps}:round=up,scale=128:128:flags=area,format=gray"
    process = subprocess.run(
        [*command, "-vf", scale, "-f", "rawvideo", "-"], capture_output=True, check=True
    )
    frames = np.frombuffer(process.stdout, np.uint8).reshape(-1, 128, 128)
    size = re.search(rb"Video:.*?, (\d{2,5})x(\d{2,5})", process.stderr)
    assert size
    seconds = np.arange(len(frames), dtype=np.float32) / fps
    return frames, seconds, int(size[1]), int(size[2])


@pytest.mark.slow
@pytest.mark.skipif(not DATA.exists(), reason="needs the real clips")
def test_real_target_clips_are_found_in_their_other_encodings_and_nowhere_else():
    targets = []
    with (DATA / "targets.csv").open() as file:
        for row in csv.DictReader(file):
            frames, seconds, width, height = decode(DATA / row["uri"], fps=4)
            shown = fingerprint_target(frames, seconds, width=width, height=height)
            targets.append(TargetVideo("real", row["video_id"], shown))
    index = TargetIndex.build(targets)
    found = {}
    clips = [*DATA.glob("clips/neardup/*/*"), *DATA.glob("clips/sign_*/*/*")]
    for path in [*clips, *DATA.glob("clips/ucf101_frames/*/*")]:
        frames, seconds, width, height = decode(path)
        shown = fingerprint_video(frames, seconds, width=width, height=height)
        duplicates = find_duplicates(shown, index, PROFILES["scale"])
        if duplicates:
            found[path.stem] = [duplicate.target_video_id for duplicate in duplicates]
    assert found == {
        "carphone_pristine": ["carphone_pristine"],
        "carphone_distorted": ["carphone_pristine"],
        "pattern-hd-no-bar": ["pattern-hd-no-bar"],
        "pattern-longer-no-bar": ["pattern-hd-no-bar"],
        "pattern-sd-grey-bar": ["pattern-hd-no-bar"],
        "pattern-sd-with-large-logo-bar": ["pattern-hd-no-bar"],
        "pattern-sd-with-small-logo-bar": ["pattern-hd-no-bar"],
        # One shoot: their closest frames are 20 to 32 bits apart.
        "v_000062": ["v_000062", "v_000063"],
        "v_000063": ["v_000062", "v_000063"],
        "v_000064": ["v_000064"],
        "v_000065": ["v_000064"],
        "v_000066": ["v_000064"],
    }
