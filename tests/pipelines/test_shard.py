import io
import json
from pathlib import Path

import numpy as np
import pytest
import webdataset as wds
from PIL import Image

from formats.shards import Manifest, add_member, open_for_writing, read_manifest
from formats.tables import (
    ClipRow,
    LabelledRow,
    LabelRow,
    MatchRow,
    VideoRow,
    part_files,
    read_rows,
    write_rows,
)
from formats.video import encode_frames
from pipelines import shard, split
from pipelines.match import row_key
from pipelines.options import Options, RunOptions, SplitOptions
from pipelines.run import Job
from pipelines.verify import verify
from tests.formats.generated_video import numbered

FPS = 10
FRAMES = {"long one": 40, "short one": 12}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job up to the label stage with two stored videos."""
    out = tmp_path_factory.mktemp("world")
    (out / "videos").mkdir()
    videos, matches, labelled = [], [], []
    with open(out / "videos/part-0.tar", "wb") as file, open_for_writing(file) as tar:
        for name, count in FRAMES.items():
            encode_frames(str(out / "video.mp4"), numbered(count), fps=FPS, crf=5)
            content = (out / "video.mp4").read_bytes()
            key, uri, seconds = row_key(name), f"https://example.org/{name}", count / FPS
            offset = add_member(tar, f"{key}.mp4", content)
            stored = {"part": "part-0.tar", "offset": offset, "size_bytes": len(content)}
            facts = {"duration_s": seconds, "width": 64, "height": 64, "fps": float(FPS)}
            videos.append(VideoRow(key, name, "stored", **stored, **facts))  # type: ignore[arg-type]
            matches.append(MatchRow(key, name, uri, ("yoga",), ("yoga",)))
            labelled.append(LabelledRow(key, name, 0, (0,), seconds, 1.0))
    write_rows(str(out / "videos/part-0.parquet"), videos, VideoRow)
    write_rows(str(out / "matches/part-0.parquet"), matches, MatchRow)
    write_rows(str(out / "labelled/part-0.parquet"), labelled, LabelledRow)
    write_rows(str(out / "labels.parquet"), [LabelRow(0, "yoga", 2, 2)], LabelRow)
    return out


def sharded(out: Path, **options: object) -> Job:
    """The job with its clips chosen and packed by the real stages."""
    settings = Options(run=RunOptions(buckets=2), split=SplitOptions(**options))  # type: ignore[arg-type]
    job = Job(out, "kinetics", settings)
    split.run(job)
    shard.run(job)
    return job


def images(out: Path) -> list[tuple[bytes, dict[str, object]]]:
    """JPEG and facts of every image, as plain WebDataset reads them."""
    paths = sorted(map(str, (out / "shards/frames").glob("*.tar")))
    samples = wds.WebDataset(paths, shardshuffle=False)
    return [(sample["jpg"], json.loads(sample["json"])) for sample in samples]


def number_of(jpeg: bytes) -> int:
    picture = np.asarray(Image.open(io.BytesIO(jpeg)), np.float64)
    assert picture.shape == (64, 64, 3)
    return round((picture.mean() - 10) / 5)


def test_images_are_the_middle_frames_of_equal_pieces(world: Path) -> None:
    sharded(world, splits=("all", "frames"), frames_per_video=2, frame_choice="center")
    taken = sorted((facts["video_id"], facts["second"], number_of(j)) for j, facts in images(world))
    assert taken == [
        ("long one", 1.05, 10),
        ("long one", 3.05, 30),
        ("short one", 0.35, 3),
        ("short one", 0.95, 9),
    ]


def test_an_image_at_random_is_the_frame_on_show_at_its_second_byte_for_byte_the_same(
    world: Path,
) -> None:
    job = sharded(world, splits=("all", "frames"), frames_per_video=30)
    before = images(world)
    assert {facts["video_id"] for _, facts in before} == set(FRAMES)
    for jpeg, facts in before:
        assert facts["start_s"] == facts["end_s"] == facts["second"]
        assert number_of(jpeg) == int(float(str(facts["second"])) * FPS)
    shard.run(job)
    assert images(world) == before
    # The short video has twelve frames to give, and gives each once.
    assert verify(world)["clips"] == (2 + 30 + 12)


def test_an_image_set_leaves_the_bytes_of_the_other_splits_alone(world: Path) -> None:
    sharded(world, splits=("all",))
    alone = (world / "shards/all/shard-00000.tar").read_bytes()
    sharded(world, splits=("all", "frames"))
    assert (world / "shards/all/shard-00000.tar").read_bytes() == alone
    assert b'"second"' not in alone


def test_what_a_killed_run_counted_is_not_taken_for_what_there_is(world: Path) -> None:
    stale = [{"path": "shard-00000.tar", "clips": 9, "bytes": 9, "sha256": "0"}]
    (world / "shards/short").mkdir(parents=True, exist_ok=True)
    (world / "shards/short/.entries").write_text(json.dumps(stale))
    job = sharded(world, splits=("all", "short"))
    assert read_manifest(job.path("shards", "short")).shards == ()
    assert not (world / "shards/short/.entries").exists()


def test_a_manifest_counts_videos_once_and_minutes_by_clip(world: Path) -> None:
    job = sharded(world, splits=("all", "frames"), frames_per_video=5)
    clips = [row for f in part_files(job.path("clips/frames")) for row in read_rows(f, ClipRow)]
    found: dict[str, Manifest] = {
        name: read_manifest(job.path("shards", name)) for name in ("all", "frames")
    }
    assert len(clips) == 10
    assert {name: (m.clips, m.videos, m.minutes) for name, m in found.items()} == {
        "all": (2, 2, round((4.0 + 1.2) / 60, 3)),
        "frames": (10, 2, 0.0),
    }
