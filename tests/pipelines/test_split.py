import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from formats.tables import (
    ClipRow,
    LabelledRow,
    LabelRow,
    SplitQuotaRow,
    VideoRow,
    part_files,
    read_rows,
    write_rows,
)
from labelspace.sampling import random_subset, tail_preserving_subset
from pipelines.match import row_key
from pipelines.options import Options, RunOptions, SplitOptions
from pipelines.run import Job
from pipelines.split import run

TWO_BUCKETS = RunOptions(buckets=2)


def videos(lengths_s: Sequence[float], label_id: int = 0) -> list[LabelledRow]:
    keys = [row_key(f"{label_id}/{number}") for number in range(len(lengths_s))]
    return [
        LabelledRow(key, f"v{key[:6]}", label_id, (label_id,), length, 1.0)
        for key, length in zip(keys, lengths_s, strict=True)
    ]


def split(
    out: Path,
    rows: Sequence[LabelledRow],
    *,
    parts: int = 1,
    engine: RunOptions = TWO_BUCKETS,
    **options: object,
) -> tuple[dict[str, list[ClipRow]], list[SplitQuotaRow]]:
    """The clips of the real stage, and its report by label."""
    for part in range(parts):
        write_rows(str(out / f"labelled/part-{part}.parquet"), rows[part::parts], LabelledRow)
    counts = Counter(row.label_id for row in rows)
    labels = [LabelRow(n, f"label {n}", counts[n], counts[n]) for n in sorted(counts)]
    write_rows(str(out / "labels.parquet"), labels, LabelRow)
    settings = Options(run=engine, split=SplitOptions(**options))  # type: ignore[arg-type]
    job = Job(out, "kinetics", settings)
    run(job)
    clips = {
        name: sorted(
            (
                clip
                for part in part_files(job.path("clips", name))
                for clip in read_rows(part, ClipRow)
            ),
            key=lambda clip: clip.clip_id,
        )
        for name in settings.split.splits
    }
    return clips, list(read_rows(job.path("quotas.parquet"), SplitQuotaRow))


@pytest.fixture(scope="module")
def many() -> list[LabelledRow]:
    """3,000 videos of twelve labels with a long tail, a third short, a third long."""
    rng = random.Random(0)
    rows = []
    for label_id in range(12):
        lengths = [
            rng.choice((rng.uniform(1, 5), rng.uniform(55, 60), rng.uniform(6, 50)))
            for _ in range(1200 // (label_id + 1))
        ]
        rows += videos(lengths, label_id)
    return rows


def keys(clips: Sequence[ClipRow]) -> set[str]:
    return {clip.row_key for clip in clips}


def by_label(clips: Sequence[ClipRow]) -> Counter[int]:
    return Counter(clip.label_id for clip in clips)


def test_short_long_and_centre_hold_equally_many_videos_and_the_rest_is_reported(
    tmp_path: Path,
) -> None:
    rows = videos((2, 3, 4, 20, 56, 58)) + videos((2, 3), 1) + videos((20,), 2)
    clips, quotas = split(tmp_path, rows)
    assert {name: len(found) for name, found in clips.items()} == {
        "all": 9,
        "short": 2,
        "long": 2,
        "long_center": 2,
    }
    assert keys(clips["long"]) == keys(clips["long_center"])
    assert {(c.start_s, c.end_s) for c in clips["long_center"]} == {(26.0, 30.0), (27.0, 31.0)}
    assert quotas == [
        SplitQuotaRow(0, "label 0", 3, 2, 2, 2, 2, None),
        SplitQuotaRow(1, "label 1", 2, 0, 0, 0, 0, "no long video"),
        SplitQuotaRow(2, "label 2", 0, 0, 0, 0, 0, "no short and no long video"),
    ]
    ids = [clip.clip_id for found in clips.values() for clip in found]
    assert len(set(ids)) == len(ids)
    assert all(len(clip_id) == 32 and int(clip_id, 16) >= 0 for clip_id in ids)


def test_equal_minutes_leave_few_long_videos(tmp_path: Path) -> None:
    clips, _ = split(tmp_path, videos([4.0] * 28 + [56.0] * 28), budget="F2")
    assert [len(clips[name]) for name in ("short", "long", "long_center")] == [28, 2, 28]


def test_every_label_has_the_same_videos_or_minutes_in_the_three_splits(
    tmp_path: Path, many: list[LabelledRow]
) -> None:
    f1, _ = split(tmp_path / "f1", many, budget_videos=300)
    counts = [by_label(f1[name]) for name in ("short", "long", "long_center")]
    assert counts[0] == counts[1] == counts[2]
    assert counts[0].total() == 300
    f2, _ = split(tmp_path / "f2", many, budget="F2", budget_minutes=10)
    for label_id in range(12):
        seconds = {
            name: sum(c.end_s - c.start_s for c in f2[name] if c.label_id == label_id)
            for name in ("short", "long", "long_center")
        }
        # As nearly as whole videos can: half of one too much or too little.
        assert abs(seconds["short"] - seconds["long_center"]) <= (5 + 4) / 2
        assert abs(seconds["long"] - seconds["long_center"]) <= (60 + 4) / 2
    minutes = sum(c.end_s - c.start_s for c in f2["short"]) / 60
    assert minutes == pytest.approx(10, abs=12 * 2.5 / 60)


@pytest.mark.parametrize("sampling", ["random", "tail_preserving"])
def test_subsets_are_exact_nested_and_those_of_the_label_space_package(
    tmp_path: Path, many: list[LabelledRow], sampling: str
) -> None:
    found = []
    for size in (37, 500, 2000):
        clips, _ = split(
            tmp_path / str(size), many, splits=("all",), max_videos=size, sampling=sampling
        )
        assert len(clips["all"]) == size
        found.append(keys(clips["all"]))
    assert found[0] < found[1] < found[2]
    if sampling == "random":
        assert found[1] == set(random_subset((r.row_key for r in many), 500, rng_seed=0))
    else:
        of_label = {
            f"{n:09d}": [row.row_key for row in many if row.label_id == n] for n in range(12)
        }
        kept = tail_preserving_subset(of_label, 500, rng_seed=0)
        assert found[1] == {key for of_one in kept.values() for key in of_one}


@pytest.mark.parametrize("sampling", ["random", "tail_preserving"])
def test_clips_do_not_depend_on_order_parts_buckets_or_workers(
    tmp_path: Path, many: list[LabelledRow], sampling: str
) -> None:
    some = many[::3]
    options = {"max_videos": 400, "budget": "F2", "sampling": sampling}
    one = split(tmp_path / "one", some, engine=RunOptions(buckets=2, workers=1), **options)
    other = split(
        tmp_path / "other", some[::-1], parts=5, engine=RunOptions(buckets=7, workers=3), **options
    )
    assert one == other


def test_labels_without_room_in_the_minutes_are_in_none_of_the_three(
    tmp_path: Path, many: list[LabelledRow]
) -> None:
    clips, quotas = split(tmp_path, many, budget="F2", budget_minutes=5)
    labels = [set(by_label(clips[name])) for name in ("short", "long", "long_center")]
    assert labels[0] == labels[1] == labels[2] == {0, 1, 2, 3, 4}
    assert [q.label_id for q in quotas if q.reason == "no room in the budget"] == [*range(5, 12)]
    for name in ("short", "long", "long_center"):
        minutes = sum(c.end_s - c.start_s for c in clips[name]) / 60
        # As nearly as whole clips of five labels can.
        assert minutes == pytest.approx(5, abs=0.5)


def test_images_are_taken_of_the_videos_of_all(tmp_path: Path, many: list[LabelledRow]) -> None:
    some = many[::10]
    stored = [VideoRow(r.row_key, r.video_id, "stored", fps=5.0) for r in some]
    write_rows(str(tmp_path / "videos/part-0.parquet"), stored, VideoRow)
    clips, quotas = split(
        tmp_path, some, splits=("all", "frames"), max_videos=50, frames_per_video=20
    )
    assert {quota.reason for quota in quotas} == {None}
    images = Counter(clip.row_key for clip in clips["frames"])
    assert images == {c.row_key: min(20, round(c.end_s * 5)) for c in clips["all"]}
    assert all(clip.start_s == clip.end_s for clip in clips["frames"])
    shown = {(clip.row_key, int(clip.start_s * 5)) for clip in clips["frames"]}
    assert len(shown) == len(clips["frames"])


@pytest.mark.slow
def test_many_rows_are_counted_exactly(tmp_path: Path) -> None:
    """An engine that sends its buffers by the clock loses some of so many."""
    rows = [row for label_id in range(3) for row in videos([2.0] * 40_000, label_id)]
    clips, _ = split(tmp_path, rows, splits=("all",), max_videos=30_001)
    assert sorted(by_label(clips["all"]).values()) == [10_000, 10_000, 10_001]


def test_each_split_draws_its_labels_by_the_square_root_of_what_it_holds(tmp_path: Path) -> None:
    head = videos([3.0] * 500 + [57.0] * 400, label_id=0)
    tail = videos([3.0] * 60 + [57.0] * 40, label_id=1)
    clips, _ = split(tmp_path, head + tail, max_videos=200)
    for name, held in clips.items():
        counts = by_label(held)
        draws = {n: sum(c.repeats for c in held if c.label_id == n) for n in counts}
        assert sum(draws.values()) == pytest.approx(len(held)), name
        assert draws[0] / draws[1] == pytest.approx((counts[0] / counts[1]) ** 0.5), name
