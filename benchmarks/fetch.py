"""What fetching costs: download, check, store and fingerprint, beside bare ffmpeg loops.

Run: python -m benchmarks.fetch [FOLDER_OF_VIDEOS]

Without a folder, 40 clips of 640x360 and 10 s are made: windows that wander over textures with the
spectrum of photographs, under some grain. The peers get local files and check nothing; they are one
ffmpeg per clip that scales the short edge to 128 and drops the sound:

    default   x264's default preset, what a script around ffmpeg does
    ours      the preset, key frames and decoder settings that fetch stores with

`fetch` is the stage from a local web server that runs in another process, with two workers. CPU is
user + system time of all processes of a side; of the stage, less what it takes for one address that
is not there (`start`: Python, Beam, the counts). Memory is the peak over time of the proportional
set sizes of the stage's processes.
"""

import functools
import http.server
import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np

from formats.tables import MatchRow, write_rows
from formats.video import VideoOptions, encode_frames
from pipelines.fetch_options import FetchOptions
from pipelines.identity import row_key
from pipelines.options import Options, RunOptions
from pipelines.run import Job

CLIPS, SIDES, FPS, SECONDS = 40, (640, 360), 30, 10
SCALE = "scale='if(gt(iw,ih),-2,128)':'if(gt(iw,ih),128,-2)'"
ROUNDS = 3


def main(folder: str | None) -> None:
    """Print one table: CPU by side, ratios, peak memory."""
    with tempfile.TemporaryDirectory() as scratch:
        videos = sorted(Path(folder).iterdir()) if folder else make_clips(Path(scratch))
        spent: dict[str, list[float]] = {"default": [], "ours": [], "fetch": []}
        peaks = []
        (Path(scratch) / "nothing").mkdir()
        nothing = [Path(scratch) / "nothing" / "nothing.mp4"]
        start, _, _ = fetch_cost(nothing, Path(scratch) / "start")
        for number in range(ROUNDS):
            spent["default"].append(loop(videos, [*default_args()], scratch))
            spent["ours"].append(loop(videos, [*our_args()], scratch))
            cpu, peak, stored = fetch_cost(videos, Path(scratch) / f"out{number}")
            spent["fetch"].append(cpu - start)
            peaks.append(peak)
    seconds = {side: float(np.median(values)) for side, values in spent.items()}
    print(f"{len(videos)} videos, {stored} stored; median of {ROUNDS} rounds")
    for side, cpu in seconds.items():
        print(f"{side:8} {cpu:7.2f} CPU s  {1000 * cpu / len(videos):7.0f} ms a video")
    print(f"{'start':8} {start:7.2f} CPU s, once a job")
    print(f"fetch/default {seconds['fetch'] / seconds['default']:.2f}")
    print(f"fetch/ours    {seconds['fetch'] / seconds['ours']:.2f}")
    print(f"peak memory of all processes {max(peaks):.0f} MiB")


def make_clips(folder: Path) -> list[Path]:
    """The generated clips, as H.264 of x264's default preset."""
    paths = [folder / f"clip{number:02}.mp4" for number in range(CLIPS)]
    with multiprocessing.Pool() as pool:
        pool.map(make_clip, paths)
    return paths


def make_clip(path: Path) -> None:
    """One clip; its name is its seed."""
    rng = np.random.default_rng(int(path.stem[-2:]))
    encode_frames(str(path), wander(rng), fps=FPS, crf=21)


def wander(rng: np.random.Generator) -> Iterator[np.ndarray]:
    """RGB frames [360, 640, 3] of a window that wanders over a texture of 1/f spectrum."""
    width, height = SIDES
    rows, columns = 2 * height, 2 * width
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(rows), np.fft.fftfreq(columns), indexing="ij"))
    radius[0, 0] = 1
    planes = [
        np.fft.ifft2(np.fft.fft2(rng.standard_normal((rows, columns))) / radius).real
        for _ in range(3)
    ]
    texture = np.stack([128 + 48 * plane / plane.std() for plane in planes], axis=-1)
    phases = rng.uniform(0, 2 * np.pi, 2)
    for frame in range(FPS * SECONDS):
        x, y = (0.5 + 0.5 * np.sin(phases + np.array([0.011, 0.017]) * frame)) * (width, height)
        window = texture[int(y) : int(y) + height, int(x) : int(x) + width]
        grain = rng.normal(0, 2, (height, width, 1))
        yield (window + grain).clip(0, 255).astype(np.uint8)


def default_args() -> list[str]:
    """How a script would call ffmpeg."""
    return ["-vf", SCALE, "-c:v", "libx264", "-an"]


def our_args() -> list[str]:
    """The same with the encoder settings that fetch stores with."""
    options = VideoOptions()
    gop = f"keyint={options.gop}:min-keyint={options.gop}:scenecut=0:open-gop=0"
    quick = ["-preset", options.preset, "-crf", str(options.crf), "-tune", "fastdecode"]
    return ["-vf", SCALE, "-c:v", "libx264", *quick, "-bf", "0", "-x264-params", gop, "-an"]


def loop(videos: list[Path], args: list[str], scratch: str) -> float:
    """CPU seconds of one ffmpeg per video, one after the other."""
    before = children_s()
    for video in videos:
        start = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
        subprocess.run([*start, "-i", str(video), *args, f"{scratch}/loop.mp4"], check=False)
    return children_s() - before


def children_s() -> float:
    """CPU seconds of all children that have ended, and of theirs."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def fetch_cost(videos: list[Path], out: Path) -> tuple[float, float, int]:
    """CPU seconds, peak MiB and stored videos of the stage in processes of its own."""
    handler = functools.partial(QuietHandler, directory=str(videos[0].parent))
    context = multiprocessing.get_context("fork")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    port = server.server_address[1]
    process = context.Process(target=server.serve_forever, daemon=True)
    process.start()
    rows = []
    for video in videos:
        uri = f"http://127.0.0.1:{port}/{video.name}"
        rows.append(MatchRow(row_key(uri), video.stem, uri, ("yoga",), ("yoga",)))
    write_rows(str(out / "matches" / "part-0.parquet"), rows, MatchRow)
    before = children_s()
    command = [sys.executable, "-m", "benchmarks.fetch", "--stage", str(out), str(port)]
    with open(out / "log.txt", "w") as log:
        child = subprocess.Popen(command, stderr=log)
    peak = watch(child.pid, child)
    if child.returncode:
        raise SystemExit((out / "log.txt").read_text())
    cpu = children_s() - before
    process.kill()
    process.join()
    stored = json.loads((out / "counts.json").read_text()).get("stored", 0)
    return cpu, peak, stored


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder without a line of log for each request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def watch(pid: int, child: "subprocess.Popen[bytes]") -> float:
    """Peak MiB of a process and all below it, until it ends."""
    peak = 0.0
    while child.poll() is None:
        peak = max(peak, sum(map(proportional_mib, family(pid))))
        time.sleep(0.02)
    return peak


def family(pid: int) -> Iterator[int]:
    """A process and all that it started."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(word) for t in tasks for word in (t / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from family(child)


def proportional_mib(pid: int) -> float:
    """Memory of one process, what it shares divided among those that share it."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if "Pss:" in line), 0.0)


def run_stage(out: str, port: str) -> None:
    """The stage fetch, two workers, from the server on that port."""
    # Imported only in the child that runs it.
    from pipelines.fetch import run

    settings = Options(
        run=RunOptions(workers=2, buckets=2),
        fetch=FetchOptions(
            allow_addresses=(f"127.0.0.1:{port}",),
            videos_per_part=10,
            downloads_per_host=8,
            host_gap_s=0,
            max_failed_fraction=1.0,
        ),
    )
    outcome = run(Job(Path(out), "kinetics", settings))
    Path(out, "counts.json").write_text(json.dumps(outcome.counts))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stage"]:
        run_stage(*sys.argv[2:])
    else:
        main(sys.argv[1] if sys.argv[1:] else None)
