from pathlib import Path

from formats.tables import ClipRow, LabelledRow, LabelRow, to_batch, write_rows
from pipelines.options import Options, RunOptions, SplitOptions
from pipelines.run import Job
from pipelines.split import choose_clips, label_quotas


def videos(*lengths_s: float) -> list[LabelledRow]:
    return [
        LabelledRow(f"{number:032x}", f"v{number}", 7, (7,), length, 1.0)
        for number, length in enumerate(lengths_s)
    ]


def choose(rows: list[LabelledRow], options: Options) -> dict[str, list[ClipRow]]:
    found: dict[str, list[ClipRow]] = {name: [] for name in options.split.splits}
    for name, clip in choose_clips(7, [to_batch(rows, LabelledRow)], options, None):
        found[name].append(clip)
    return found


def test_short_long_and_centre_hold_equally_many_videos() -> None:
    chosen = choose(videos(2, 3, 4, 20, 56, 58), Options())
    assert {name: len(clips) for name, clips in chosen.items()} == {
        "all": 6,
        "short": 2,
        "long": 2,
        "long_center": 2,
    }
    assert [c.row_key for c in chosen["long"]] == [c.row_key for c in chosen["long_center"]]
    assert {(c.start_s, c.end_s) for c in chosen["long_center"]} == {(26.0, 30.0), (27.0, 31.0)}


def test_equal_minutes_leave_few_long_videos() -> None:
    options = Options(split=SplitOptions(budget="F2"))
    chosen = choose(videos(*[4.0] * 28, *[56.0] * 28), options)
    assert [len(chosen[name]) for name in ("short", "long", "long_center")] == [28, 2, 28]


def test_clips_do_not_depend_on_the_order_of_the_videos() -> None:
    rows = videos(2, 3, 4, 56, 58)
    assert choose(rows, Options()) == choose(rows[::-1], Options())


def test_ids_differ_between_splits_and_hold_no_dot() -> None:
    chosen = choose(videos(2, 56), Options())
    ids = [clip.clip_id for clips in chosen.values() for clip in clips]
    assert len(set(ids)) == len(ids) == 5
    assert all(len(clip_id) == 32 and int(clip_id, 16) >= 0 for clip_id in ids)


def job(out: Path, **split: object) -> Job:
    options = Options(run=RunOptions(buckets=1), split=SplitOptions(**split))  # type: ignore[arg-type]
    rows = [
        LabelledRow(f"{n:032x}", f"v{n}", int(n >= 90), (int(n >= 90),), 2.0, 1.0)
        for n in range(100)
    ]
    write_rows(str(out / "labelled" / "part-0.parquet"), rows, LabelledRow)
    labels = [LabelRow(0, "head", 90, 90), LabelRow(1, "tail", 10, 10)]
    write_rows(str(out / "labels.parquet"), labels, LabelRow)
    return Job(out, "kinetics", options)


def test_fewer_videos_keep_the_tail_or_are_taken_at_random(tmp_path: Path) -> None:
    assert label_quotas(job(tmp_path)) is None
    assert label_quotas(job(tmp_path, max_videos=30)) == {0: 20, 1: 10}
    random = label_quotas(job(tmp_path, max_videos=30, sampling="random"))
    assert random is not None and sum(random.values()) == 30
    assert random[1] < 10
