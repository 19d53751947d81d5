"""What a random training clip costs, from the bytes of a shard, beside two peers on the same bytes.

Run: python -m benchmarks.loader [FOLDER_OF_VIDEOS]

The videos are stored as fetch stores them and put into one shard; without a folder those of
`benchmarks/fetch.py` are made. All sides visit the same list of (video, first frame) in turns, so
other load on the machine weighs on all alike; each on one thread of a process of its own, as a
worker is, so that no side leaves another its memory in pieces. A turn is the whole list: the others
have emptied the caches before it, and in turns of 24 clips (16 ms) filling them again is a tenth of
what is measured. All processes are started anew several times. CPU time is user + system. Peers get
the video's bytes out of the tar by its known place. The clips of a batch of 8 are at hand together
on every side, as a worker needs them; those of the peers are not stacked yet.

    ours, yuv     the planes as stored, in one piece of memory for a batch of 8
    ours, rgb     scaled to 128x171, converted and cropped
    torchcodec    RGB at the stored size, nothing scaled (where torchcodec can be imported)
    PyAV          a container per clip, seek, `to_ndarray` of the scaled frames
    (libavcodec)  no peer but the floor: packets at hand are decoded from the key frame before the
                  first wanted one to the last, and the frames thrown away

Memory is what such a process has more at its peak than before its first clip.
"""

import functools
import importlib.util
import io
import multiprocessing
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import torch

from benchmarks.fetch import make_clips
from formats.shards import Manifest, ShardEntry, dataset_id, write_manifest, write_shard
from formats.video import DecodeError, VideoOptions, normalise
from training.clip_options import ClipOptions
from training.frames import StoredVideo
from training.store import Shard, ShardStore, StoredClip
from training.transforms import to_batch
from training.videos import VideoReader, Where

LENGTHS = (8, 32)
CLIPS, STARTS, ROUNDS, BATCH = 240, 5, 3, 8
CONTEXT = multiprocessing.get_context("spawn")
HEIGHT, WIDTH, CROP = 128, 171, 112
WANTED = {8: 1500, 32: 550}
PEERS = ("torchcodec", "PyAV")
Pick = tuple[StoredClip, int, float]
"""(video, number of its frames, where in it a clip starts, in [0, 1))."""
Side = Callable[[list[Pick], int], object]
"""(what to read, frames of a clip) -> the clips of a batch, all at hand as a worker needs them."""


def main(folder: str | None) -> None:
    """Print the storage, then one line per side and length."""
    with tempfile.TemporaryDirectory() as scratch:
        sources = sorted(p for p in Path(folder).rglob("*") if p.is_file()) if folder else None
        stored = store(sources or make_clips(Path(scratch)), Path(scratch))
        entry = write_split(stored, Path(scratch) / "split")
        print(f"{entry.clips} videos in one shard of {entry.bytes / 1e6:.1f} MB")
        for length in LENGTHS:
            print_costs(str(Path(scratch) / "split"), length)


def store(sources: list[Path], scratch: Path) -> list[Path]:
    """The videos as fetch stores them; prints their size and how near they are to their source."""
    stored, sizes, nearness = [], [], []
    for number, source in enumerate(sources):
        path = scratch / f"{number:08x}.mp4"
        try:
            video = normalise(str(source), str(path), VideoOptions())
        except DecodeError:
            continue
        if min(video.width, video.height) == VideoOptions().stored_short_edge:
            stored.append(path)
            sizes.append(path.stat().st_size / 1000 / video.duration_s * 10)
            nearness.append(psnr(source, path, (video.width, video.height)))
    print(
        f"stored: {np.mean(sizes):.0f} kB per 10 s (median {np.median(sizes):.0f}), "
        f"PSNR-Y {np.mean(nearness):.1f} dB (median {np.median(nearness):.1f})"
    )
    return stored


def psnr(source: Path, stored: Path, size: tuple[int, int]) -> float:
    """PSNR of the brightness, to the source's frames that fetch takes, scaled alike."""
    # One frame a second on both sides, in a time base that can say so: else pairs are wrong.
    paired = "setsar=1,format=yuv420p,settb=1/1000,setpts=N/TB"
    graph = (
        f"[0:v]setpts=PTS-STARTPTS,fps='clip(source_fps,1,{VideoOptions().max_fps})',"
        f"scale={size[0]}:{size[1]}:flags=bicubic+accurate_rnd+full_chroma_int+bitexact:"
        f"out_range=tv:out_color_matrix=bt601,{paired}[a];[1:v]{paired}[b];[a][b]psnr=shortest=1"
    )
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    words = [exe, "-nostdin", "-i", source, "-i", stored, "-lavfi", graph, "-f", "null", "-"]
    told = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True).stderr
    found = re.findall(r"PSNR y:(inf|[\d.]+)", told)
    return min(float(found[-1]), 60.0)


def write_split(videos: list[Path], folder: Path) -> ShardEntry:
    """One shard of all videos, with its manifest."""
    facts = {"label_id": 0, "label": "any"}
    clips = ((path.stem, path.read_bytes(), facts) for path in videos)
    entry = write_shard(str(folder / "shard-00000.tar"), clips)
    identity = dataset_id("0", "split", ["any"], [entry])
    count = len(videos)
    manifest = Manifest(identity, "split", "0", count, count, 0.0, ("any",), (entry,))
    write_manifest(str(folder), manifest)
    return entry


def open_shard(folder: str) -> Shard:
    """The one shard of the split."""
    split = ShardStore(folder, ClipOptions())
    return split.open(split.manifest.shards[0])


def picks(shard: Shard, length: int) -> list[Pick]:
    """The same random clips for every side; videos of fewer frames are left out."""
    clips = [StoredClip(shard, number) for number in range(len(shard.index))]
    long = [(clip, n) for clip in clips if (n := StoredVideo(clip).num_frames) >= length]
    rng = random.Random(0)
    return [(*rng.choice(long), rng.random()) for _ in range(CLIPS)]


def print_costs(folder: str, length: int) -> None:
    """CPU time of every side, in turns, and its memory."""
    names = list(all_sides())
    memory: dict[str, list[float]] = {name: [] for name in names}
    spent: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(STARTS):
        # How memory happens to lie in a process is worth two per cent.
        with ExitStack() as stack:
            pools = {name: stack.enter_context(CONTEXT.Pool(1)) for name in names}
            for name, pool in pools.items():
                memory[name].append(pool.apply(first_round, (folder, name, length)))
            for number in range(ROUNDS):
                for name in random.Random(number).sample(names, len(names)):
                    spent[name].append(pools[name].apply(turn, (folder, name, length)))
    each = {name: float(np.median(seconds)) / CLIPS for name, seconds in spent.items()}
    best_peer = min((name for name in names if name in PEERS), key=each.__getitem__)
    print(f"\n{length} frames; wanted {WANTED[length]} clips per core-second, 1.7 times the peers")
    print(f"{'side':14} {'ms a clip':>10} {'clips/core-s':>13} {'best peer / it':>15} {'MiB':>5}")
    for name in names:
        # Round by round: the machine's speed changes from one to the next.
        ratio = float(np.median(np.divide(spent[best_peer], spent[name])))
        print(
            f"{name:14} {1e3 * each[name]:10.2f} {1 / each[name]:13.0f} {ratio:15.2f} "
            f"{np.median(memory[name]):5.0f}"
        )


def first_round(folder: str, name: str, length: int) -> float:
    """MiB that a side takes at its peak beyond what the imports did."""
    # Else torchcodec converts colours on every core, at ten times the CPU time.
    torch.set_num_threads(1)
    side, chosen = prepared(folder, name, length)
    before = status_mib("VmRSS")
    # The peak so far is forgotten.
    Path("/proc/self/clear_refs").write_text("5")
    in_batches(side, chosen, length)
    return status_mib("VmHWM") - before


def turn(folder: str, name: str, length: int) -> float:
    """Seconds of CPU for all clips."""
    side, chosen = prepared(folder, name, length)
    before = time.process_time()
    in_batches(side, chosen, length)
    return time.process_time() - before


@functools.cache
def prepared(folder: str, name: str, length: int) -> tuple[Side, list[Pick]]:
    """A side of this process, and what it is asked for."""
    return all_sides()[name], picks(open_shard(folder), length)


def in_batches(side: Side, chosen: list[Pick], length: int) -> None:
    """What a worker does one time after the other."""
    for first in range(0, len(chosen), BATCH):
        side(chosen[first : first + BATCH], length)


def all_sides() -> dict[str, Side]:
    """Name -> what makes the clips of a batch."""
    sides: dict[str, Side] = {"ours, yuv": ours("yuv"), "ours, rgb": ours("rgb")}
    if importlib.util.find_spec("torchcodec"):
        sides["torchcodec"] = torchcodec
    return {**sides, "PyAV": naive_pyav, "(libavcodec)": bare}


def ours(output: str) -> Side:
    """The loader's own reader, as its workers use it."""
    readers = {
        length: VideoReader(
            replace(ClipOptions(output=output, height=HEIGHT, width=WIDTH), num_frames=length)
        )
        for length in LENGTHS
    }

    def side(chosen: list[Pick], length: int) -> object:
        clips = [(clip, Where((start, 0.5, 0.5, 0.9))) for clip, _, start in chosen]
        if output == "yuv":
            return readers[length].planes(clips)
        return to_batch([readers[length].squares(clip, where) for clip, where in clips])

    return side


def torchcodec(chosen: list[Pick], length: int) -> object:
    """RGB at the stored size, with the faster of its ways to seek."""
    from torchcodec.decoders import VideoDecoder

    clips = []
    for clip, frames, start in chosen:
        first = int(start * (frames - length + 1))
        decoder = VideoDecoder(
            clip.read(0, clip.size), num_ffmpeg_threads=1, seek_mode="approximate"
        )
        clips.append(decoder.get_frames_in_range(first, first + length).data)
    return clips


def naive_pyav(chosen: list[Pick], length: int) -> object:
    """What a tutorial shows."""
    clips = []
    for clip, frames, start in chosen:
        first = int(start * (frames - length + 1))
        found = []
        with av.open(io.BytesIO(clip.read(0, clip.size))) as container:
            stream = container.streams.video[0]
            rate, base = stream.average_rate, stream.time_base
            assert rate
            assert base
            container.seek(int(first / rate / base), stream=stream)
            for frame in container.decode(stream):
                if round((frame.pts or 0) * base * rate) >= first:
                    found.append(frame.to_ndarray(format="rgb24", width=WIDTH, height=HEIGHT))
                if len(found) == length:
                    break
        clips.append(np.stack(found))
    return clips


def bare(chosen: list[Pick], length: int) -> None:
    """The least that any loader of these files must do."""
    for clip, frames, start in chosen:
        decoder, packets, keys = demuxed(clip)
        first = int(start * (frames - length + 1))
        decoder.flush_buffers()
        for content in packets[max(k for k in keys if k <= first) : first + length]:
            decoder.decode(av.Packet(content))


@functools.cache
def demuxed(clip: StoredClip) -> tuple[av.VideoCodecContext, list[bytes], list[int]]:
    """A decoder, the packets of a video (without B-frames, as we store), which are key frames."""
    with av.open(io.BytesIO(clip.read(0, clip.size))) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        decoder = av.CodecContext.create(stream.codec_context.codec, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        decoder.thread_count = 1
        decoder.extradata = stream.codec_context.extradata
        keys = [number for number, packet in enumerate(packets) if packet.is_keyframe]
        return decoder, [bytes(packet) for packet in packets], keys


def status_mib(field: str) -> float:
    """A line of what the system knows of this process."""
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
