import json
from pathlib import Path

import pyarrow as pa
import pytest

from formats.tables import (
    DuplicateRow,
    LabelledRow,
    LabelRow,
    LedgerRow,
    MatchRow,
    VideoRow,
    part_files,
    read_rows,
    write_rows,
)
from labelspace.hashtags import word_tools
from labelspace.sampling import square_root_repeats
from labelspace.space import gini
from pipelines import label
from pipelines.ledger import write_ledger
from pipelines.options import LabelOptions, Options, RunOptions
from pipelines.run import Job, JobError

VIDEOS = {"yoga": 9, "zumba": 7, "archery": 6, "ski": 5, "lunge": 2}


def job(out: Path, *, rng_seed: int = 0, **options: int) -> Job:
    """A job whose videos are all stored; the last carries all labels, one is a duplicate."""
    labels = [(name,) for name, videos in VIDEOS.items() for _ in range(videos - 1)]
    rows = [
        MatchRow(f"{number:032x}", f"v{number}", f"u{number}", tuple(sorted(names)), ())
        for number, names in enumerate([*labels, tuple(VIDEOS), ("yoga",)])
    ]
    videos = [VideoRow(row.row_key, row.video_id, "stored", duration_s=2.0) for row in rows]
    last = rows[-1]
    duplicate = DuplicateRow(last.row_key, last.video_id, "bench", "t", 1, 0.0, 3, "raw")
    for table, content in (("matches", rows), ("videos", videos), ("duplicates", [duplicate])):
        write_rows(str(out / table / "part-0.parquet"), content, type(content[0]))
    chosen = Options(
        run=RunOptions(rng_seed=rng_seed, buckets=2),
        label=LabelOptions(**{"min_videos": 3, **options}),
    )
    return Job(out, "/home/someone/actions.txt", chosen)


def run(made: Job) -> tuple[list[LabelRow], list[LabelledRow], dict]:
    label.run(made)
    rows = [
        row for path in part_files(made.path("labelled")) for row in read_rows(path, LabelledRow)
    ]
    manifest = json.loads((made.out / "labels.json").read_text())
    return list(read_rows(made.path("labels.parquet"), LabelRow)), rows, manifest


def test_every_video_with_a_kept_label_trains_one_and_its_repeats_follow_that_label(
    tmp_path: Path,
) -> None:
    space, rows, _ = run(job(tmp_path))
    assert [(row.label, row.videos) for row in space] == [
        (name, videos) for name, videos in VIDEOS.items() if name != "lunge"
    ]
    assert len(rows) == sum(row.assigned for row in space) == 8 + 6 + 5 + 4 + 1
    repeats = square_root_repeats({row.label: row.assigned for row in space})
    assert {row.repeats for row in rows} == set(repeats.values())
    assert all(row.repeats == repeats[space[row.label_id].label] for row in rows)
    assert max(rows, key=lambda row: len(row.labels)).labels == (0, 1, 2, 3)


def test_the_square_root_weights_are_computed_once_a_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = tmp_path / "calls"

    def counted(counts: dict[str, int]) -> dict[str, float]:
        # A file, for Beam may run a copy of this function.
        with calls.open("a") as file:
            file.write("x")
        return square_root_repeats(counts)

    monkeypatch.setattr(label, "square_root_repeats", counted)
    run(job(tmp_path))
    assert calls.read_text() == "x"


def test_the_manifest_says_what_the_space_depends_on_its_skew_and_what_was_left_out(
    tmp_path: Path,
) -> None:
    space, rows, manifest = run(job(tmp_path, max_labels=3, label_subset=2))
    kept = {row.label for row in space}
    counts = [row.videos for row in space]
    assert manifest.pop("skew") == {
        "cumulative_curve": [[0.0, 0.0], [0.5, counts[0] / sum(counts)], [1.0, 1.0]],
        "gini": gini(counts),
    }
    (undrawn,) = {"yoga", "zumba", "archery"} - kept
    assert manifest.pop("dropped") == [
        {"label": undrawn, "reason": "label_subset", "videos": VIDEOS[undrawn]},
        {"label": "ski", "reason": "max_labels", "videos": 5},
        {"label": "lunge", "reason": "min_videos", "videos": 2},
    ]
    assert manifest.pop("expand")["forms"] == ["original", "stem"]
    assert manifest == {
        "seed_set": "actions.txt",
        "label": {"min_videos": 3, "max_labels": 3, "label_subset": 2},
        "rng_seed": 0,
        "tools": word_tools() | {"pyarrow": pa.__version__},
        "labels": 2,
        "videos": len(rows),
    }


def test_the_same_job_elsewhere_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        run(job(tmp_path / name, label_subset=2))
    for name in ("labels.json", "labels.parquet"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_a_smaller_label_subset_lies_inside_a_larger_one_and_another_seed_draws_another(
    tmp_path: Path,
) -> None:
    def drawn(size: int, rng_seed: int) -> list[str]:
        out = tmp_path / f"{size}-{rng_seed}"
        return [row.label for row in run(job(out, rng_seed=rng_seed, label_subset=size))[0]]

    one, three = drawn(1, 0), drawn(3, 0)
    assert set(one) < set(three)
    assert three == sorted(three, key=lambda name: -VIDEOS[name])
    assert len({*one, *(name for seed in (1, 2, 3) for name in drawn(1, seed))}) > 1


def test_a_video_without_a_kept_label_has_the_fate_of_its_best_label(tmp_path: Path) -> None:
    made = job(tmp_path, max_labels=3, label_subset=2)
    undrawn = run(made)[2]["dropped"][0]["label"]
    write_ledger(made)
    videos = read_rows(str(tmp_path / "matches" / "part-0.parquet"), MatchRow)
    labels = {row.row_key: row.labels for row in videos}
    fates = {
        (labels[row.row_key], row.fate, row.reason, row.stage)
        for row in read_rows(str(tmp_path / "ledger.parquet"), LedgerRow)
        if row.stage == "label"
    }
    assert fates == {
        ((undrawn,), "not_sampled", "label_subset", "label"),
        (("ski",), "not_sampled", "max_labels", "label"),
        (("lunge",), "label_too_small", "min_videos", "label"),
    }


def test_a_space_without_a_label_says_what_to_lower(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"no label has label\.min_videos = 10 videos left"):
        label.run(job(tmp_path, min_videos=10))
