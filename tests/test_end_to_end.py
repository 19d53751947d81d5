"""The whole path on rendered video, through a real HTTP server and the command line."""

import csv
import io
import json
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
import webdataset as wds
from PIL import Image

from formats.video import encode_frames
from pipelines.__main__ import main

ROOT = Path(__file__).parents[1]
HOST = "videos.test"
POSTS = (
    # (name, caption, seed of its picture, seconds)
    *((f"yoga{n}", "#yoga #fyp", n, 2.0) for n in range(4)),
    *((f"surf{n}", "look! #SurfingWater", 20 + n, 2.0) for n in range(3)),
    ("both", "#yoga #surfingwater", 30, 2.0),
    ("long0", "#yoga", 31, 56.0),
    ("short0", "#yoga", 32, 1.5),
    ("rare", "#archery", 40, 2.0),
    ("leak", "#yoga", 50, 2.0),
    ("page", "#yoga", None, 0.0),
    ("gone", "#yoga", None, 0.0),
    ("other", "#nature", 60, 2.0),
)


def picture(seed: int, count: int, fps: int) -> Iterator[np.ndarray]:
    """A textured scene that slides, another for each seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)
    scene = np.asarray(Image.fromarray(coarse).resize((320, 180), Image.Resampling.BICUBIC))
    for number in range(count):
        yield np.roll(scene, (number * 60 // fps) // 10, axis=1)[:120, :160].copy()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "videos").mkdir()
    rows = []
    for name, caption, seed, seconds in POSTS:
        path = folder / "videos" / f"{name}.mp4"
        if seed is not None:
            fps = 5 if seconds > 10 else 15
            encode_frames(str(path), picture(seed, int(seconds * fps), fps), fps=fps)
        elif name == "page":
            path.write_text("<html>not found</html>")
        rows.append([name, f"http://{HOST}/{name}.mp4", caption, f"user {name}"])
    (folder / "bench").mkdir()
    encode_frames(str(folder / "bench" / "target.mp4"), picture(50, 45, 15), fps=15, crf=32)
    table = [["video_id", "uri", "label", "subset"], ["t0", "bench/target.mp4", "yoga", "val"]]
    with open(folder / "bench.csv", "w", newline="") as file:
        csv.writer(file).writerows(table)
    write_catalog(folder / "catalog.csv", rows)
    return folder


def write_catalog(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([["video_id", "uri", "caption", "uploader"], *rows])


@contextmanager
def served(folder: Path) -> Iterator[str]:
    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(folder))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def build(world: Path, out: Path, catalog: str = "catalog.csv", *more: str) -> int:
    with served(world / "videos") as address:
        splits = "split.splits=all,short,long,long_center,frames"
        words = ["label.min_videos=2", splits, f"fetch.connect_to={HOST}={address}", *more]
        return main(
            [
                "dataset",
                "--seed",
                "kinetics",
                "--catalog",
                str(world / catalog),
                "--targets",
                str(world / "bench.csv"),
                "--out",
                str(out),
                "--set",
                " ".join(words),
            ]
        )


@pytest.fixture(scope="module")
def out(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, folder) == 0
    return folder


@pytest.mark.slow
def test_every_row_ends_with_its_one_fate(out: Path) -> None:
    ledger = pd.read_parquet(out / "ledger.parquet").set_index("video_id")
    fates = ledger["fate"].to_dict()
    clips = [
        name for name, _, _, _ in POSTS if name not in ("rare", "leak", "page", "gone", "other")
    ]
    assert fates == {
        **dict.fromkeys(clips, "clip"),
        "rare": "label_too_small",
        "leak": "duplicate",
        "page": "rejected",
        "gone": "rejected",
    }
    assert ledger.loc["page", "reason"] == "not_video" and ledger.loc["gone", "reason"] == "gone"
    summary = json.loads((out / "report" / "summary.json").read_text())
    assert summary["catalog_rows"] == len(POSTS) == sum(summary["fates"].values())
    assert summary["fates"]["unmatched"] == 1


@pytest.mark.slow
def test_the_shards_are_plain_webdataset_and_their_videos_play(out: Path) -> None:
    manifest = json.loads((out / "shards" / "all" / "MANIFEST.json").read_text())
    assert manifest["labels"] == ["yoga", "surfing water"]
    paths = [str(out / "shards" / "all" / shard["path"]) for shard in manifest["shards"]]
    samples = list(wds.WebDataset(paths, shardshuffle=False))
    facts = [json.loads(sample["json"]) for sample in samples]
    assert len(samples) == manifest["clips"] == 10
    assert {f["video_id"]: f["label"] for f in facts if f["video_id"] != "both"} == {
        **{f"yoga{n}": "yoga" for n in range(4)},
        **{f"surf{n}": "surfing water" for n in range(3)},
        "long0": "yoga",
        "short0": "yoga",
    }
    for sample in samples:
        with av.open(io.BytesIO(sample["mp4"])) as video:
            frames = sum(1 for _ in video.decode(video=0))
            assert frames >= 20 and video.streams.video[0].height == 120


@pytest.mark.slow
def test_an_image_set_has_the_frame_that_is_on_show_at_its_second(out: Path) -> None:
    paths = sorted(map(str, (out / "shards" / "frames").glob("*.tar")))
    samples = list(wds.WebDataset(paths, shardshuffle=False))
    assert len(samples) == 10
    videos = {facts["video_id"]: video for facts, video in clips_of(out / "shards" / "all")}
    for sample in samples:
        facts = json.loads(sample["json"])
        image = np.asarray(Image.open(io.BytesIO(sample["jpg"])), np.float64)
        with av.open(io.BytesIO(videos[facts["video_id"]])) as video:
            frames = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
            rate = float(video.streams.video[0].average_rate)
        distances = [np.abs(image - frame).mean() for frame in frames]
        shown = min(int(facts["start_s"] * rate), len(frames) - 1)
        # The scene moves on every few frames only, so that its neighbours may be as near.
        assert distances[shown] <= min(distances) + 1
        assert image.shape == frames[0].shape


def clips_of(folder: Path) -> Iterator[tuple[dict[str, str], bytes]]:
    paths = sorted(map(str, folder.glob("*.tar")))
    for sample in wds.WebDataset(paths, shardshuffle=False):
        yield json.loads(sample["json"]), sample["mp4"]


@pytest.mark.slow
def test_short_long_and_centre_hold_equally_many_videos(out: Path) -> None:
    splits = json.loads((out / "report" / "summary.json").read_text())["splits"]
    assert [splits[name]["videos"] for name in ("short", "long", "long_center")] == [1, 1, 1]
    assert splits["long"]["minutes"] == pytest.approx(56 / 60, abs=0.01)
    assert splits["long_center"]["minutes"] == pytest.approx(4 / 60, abs=0.01)


@pytest.mark.slow
def test_another_order_and_one_worker_give_the_same_dataset(
    world: Path, out: Path, tmp_path: Path
) -> None:
    with open(world / "catalog.csv", newline="") as file:
        rows = list(csv.reader(file))[1:]
    random.Random(1).shuffle(rows)
    write_catalog(world / "shuffled.csv", rows)
    again = tmp_path / "again"
    assert build(world, again, "shuffled.csv", "run.workers=1", "fetch.videos_per_part=3") == 0
    assert tars(again) == tars(out)
    ids = [json.loads((o / "report/summary.json").read_text())["dataset_id"] for o in (again, out)]
    assert ids[0] == ids[1]


def tars(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.glob("shards/*/*.tar"))}


@pytest.mark.slow
def test_a_finished_job_does_nothing_again(
    world: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.tar")}
    assert build(world, out) == 0
    assert capsys.readouterr().out.count("done before") == 8
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.tar")} == before


@pytest.mark.slow
def test_verify_finds_a_flipped_bit(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--out", str(out)]) == 0
    shard = next(out.glob("shards/all/*.tar"))
    whole = shard.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 1
    shard.write_bytes(damaged)
    assert main(["verify", "--out", str(out)]) == 1
    assert f"{shard}: its bytes changed" in capsys.readouterr().err
    shard.write_bytes(whole)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed", "kinetic"], "no seed set or file 'kinetic' (did you mean kinetics?)"),
        (["--catalog", "nowhere.csv"], "nowhere.csv: no such catalog"),
        (["--set", "label.min_video=2"], "did you mean 'min_videos'?"),
    ],
)
def test_a_wrong_word_is_one_sentence(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.csv"
    catalog.write_text("video_id,uri,hashtags\na,b.mp4,#nothing\n")
    assert main(["dataset", "--catalog", str(catalog), "--out", str(tmp_path / "o"), *words]) == 1
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


def test_a_catalog_without_a_match_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    catalog = tmp_path / "catalog.csv"
    catalog.write_text("video_id,uri,hashtags\na,b.mp4,#nothing\n")
    assert main(["dataset", "--catalog", str(catalog), "--out", str(tmp_path / "o")]) == 1
    assert "none of its 1 rows (0 of them unreadable) carries a hashtag" in (
        capsys.readouterr().err
    )


def test_a_full_disk_is_one_sentence_and_leaves_no_stage(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog.csv"
    catalog.write_text("video_id,uri,hashtags\na,b.mp4,#yoga\n")
    # A limit on the size of files is a full disk to whoever writes.
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)); "
        "from pipelines.__main__ import main; sys.exit(main(sys.argv[1:], ends_process=True))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            code,
            "dataset",
            "--catalog",
            str(catalog),
            "--out",
            str(tmp_path / "o"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "hashtags.parquet: cannot be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "o").glob("stages/*.json"))
