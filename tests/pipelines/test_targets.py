from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dedup.index import open_index
from formats.shards import read_manifest, read_shard
from formats.tables import TargetHashRow, TargetVideoRow, count_rows, read_rows
from pipelines import targets
from pipelines.benchmarks import target_units
from pipelines.benchmarks.target_sets import read_set
from pipelines.options import Options, RunOptions, TargetsOptions
from pipelines.run import Job, JobError, run_stage
from tests.pipelines.finished_dataset import encode_video


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 7 target videos of one second."""
    folder = tmp_path_factory.mktemp("bench")
    for number in range(7):
        encode_video(folder / f"{number:02d}.mp4", f"target {number}", size=(48, 64))
    return folder


def write_table(path: Path, numbers: list[int], folder: Path) -> str:
    lines = [f"v{n:02d},{folder / f'{n:02d}.mp4'},sport {n % 2},{'val' * (n < 3)}" for n in numbers]
    path.write_text("\n".join(["video_id,uri,label,subset", *lines]) + "\n")
    return str(path)


@pytest.fixture
def tables(tmp_path: Path, bench: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
    """Two target tables: 5 videos in three units, and 2 videos in one."""
    monkeypatch.setattr(targets, "_UNIT_VIDEOS", 2)
    tables = tmp_path / "tables"
    tables.mkdir()
    for file in bench.iterdir():
        (tables / file.name).hardlink_to(file)
    first = write_table(tables / "first.csv", [4, 3, 2, 1, 0], Path())
    return first, write_table(tables / "second.csv", [5, 6], Path())


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the videos that are decoded."""
    seen: list[str] = []

    def spy(video, *rest):
        seen.append(video.video_id)
        return hash_target(video, *rest)

    hash_target = target_units.hash_target
    monkeypatch.setattr(target_units, "hash_target", spy)
    return seen


def job(out: Path, *tables: str, workers: int = 2, **options: float) -> Job:
    settings = Options(run=RunOptions(workers=workers), targets=TargetsOptions(**options))
    return Job(out, "kinetics", settings, targets=tables)


def contents(out: Path) -> dict[str, bytes]:
    """What the stage left, by path."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for name in ("targets", "target_videos", "target_shards")
        for path in (out / name).rglob("*")
        if path.is_file() and path.name[0] != "."
    }


def test_a_set_leaves_its_hashes_its_videos_an_index_a_manifest_and_shards(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    out = tmp_path / "out"
    record, _ = run_stage("targets", job(out, *tables))
    assert sorted(contents(out)) == [
        "target_shards/first/val/MANIFEST.json",
        "target_shards/first/val/shard-00000.tar",
        "target_videos/first.folder",
        "target_videos/first.parquet",
        "target_videos/second.folder",
        "target_videos/second.parquet",
        "targets/first/MANIFEST.json",
        "targets/first/part-00000.parquet",
        "targets/first/part-00001.parquet",
        "targets/first/part-00002.parquet",
        "targets/first/piece-00000.index",
        "targets/second/MANIFEST.json",
        "targets/second/part-00000.parquet",
        "targets/second/piece-00000.index",
    ]
    assert not list(out.rglob(".work"))
    first = read_set(str(out / "targets" / "first"))
    assert (first.target, first.hash_fps, first.search) == ("first", 4.0, "flat")
    assert (first.videos, first.failed, first.pieces[0].videos) == (5, 0, 5)
    videos = list(read_rows(str(out / "target_videos/first.parquet"), TargetVideoRow))
    assert [video.video_id for video in videos] == [f"v{n:02d}" for n in range(5)]
    assert sum(video.hashes for video in videos) == first.hashes == first.pieces[0].hashes
    assert record.counts["hashes"] == first.hashes + count_rows(
        str(out / "targets/second/part-00000.parquet")
    )
    index = open_index(targets.index_files(job(out, *tables))[1])
    assert index.rows.videos == (("second", "v05"), ("second", "v06"))
    row = next(read_rows(str(out / "targets/first/part-00001.parquet"), TargetHashRow))
    assert (row.video_id, row.label, row.second) == ("v02", "sport 0", 0.0)


def test_labelled_videos_of_a_subset_become_shards(tmp_path: Path, tables: tuple[str, str]) -> None:
    run_stage("targets", job(tmp_path / "out", *tables))
    folder = tmp_path / "out" / "target_shards" / "first" / "val"
    assert read_manifest(str(folder)).labels == ("sport 0", "sport 1")
    read = read_shard(str(folder / "shard-00000.tar"))
    clips = {facts["video_id"]: facts for _, _, facts in read}
    assert sorted(clips) == ["v00", "v01", "v02"]
    assert (clips["v01"]["label_id"], clips["v01"]["end_s"]) == (1, 1.0)


def test_a_set_is_the_same_bytes_whatever_the_workers_and_the_order_of_its_table(
    tmp_path: Path, tables: tuple[str, str], bench: Path
) -> None:
    run_stage("targets", job(tmp_path / "a", *tables, workers=1))
    write_table(Path(tables[0]), [2, 4, 0, 3, 1], Path())
    run_stage("targets", job(tmp_path / "b", *tables, workers=3))
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_another_set_comes_and_goes_without_the_first_being_hashed_again(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str]
) -> None:
    out = tmp_path / "out"
    run_stage("targets", job(out, tables[0]))
    before = contents(out)
    hashed.clear()
    run_stage("targets", job(out, *tables))
    assert sorted(hashed) == ["v05", "v06"]
    assert {name: contents(out)[name] for name in before} == before
    run_stage("targets", job(out, tables[0]))
    assert sorted(hashed) == ["v05", "v06"]
    assert contents(out) == before
    run_stage("targets", job(out))
    assert contents(out) == {}


def test_another_option_or_table_makes_a_set_anew(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str]
) -> None:
    out, (_, second) = tmp_path / "out", tables
    run_stage("targets", job(out, second))
    run_stage("targets", job(out, second, hash_fps=1.0))
    write_table(Path(second), [6], Path())
    run_stage("targets", job(out, second, hash_fps=1.0))
    assert sorted(hashed) == ["v05", "v05", "v06", "v06", "v06"]
    assert read_set(str(out / "targets" / "second")).videos == 1


def test_a_killed_run_goes_on_with_the_units_that_it_had_not_finished(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_stage("targets", job(tmp_path / "whole", tables[0]))
    hashed.clear()
    write_piece = targets.write_piece
    monkeypatch.setattr(targets, "write_piece", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="division by zero"):
        run_stage("targets", job(tmp_path / "out", tables[0]))
    monkeypatch.setattr(targets, "write_piece", write_piece)
    (tmp_path / "out/targets/first/.work/videos-00001.parquet").unlink()
    assert len(hashed) == 5
    hashed.clear()
    run_stage("targets", job(tmp_path / "out", tables[0]))
    assert sorted(hashed) == ["v02", "v03"]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda piece: piece.write_bytes(piece.read_bytes()[:-1])]
)
def test_a_piece_that_is_gone_or_cut_short_is_written_anew_from_the_hashes(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str], damage: Callable[[Path], object]
) -> None:
    run_stage("targets", job(tmp_path, *tables))
    before = contents(tmp_path)
    hashed.clear()
    damage(tmp_path / "targets/first/piece-00000.index")
    run_stage("targets", job(tmp_path, *tables))
    assert contents(tmp_path) == before
    assert hashed == []


def test_a_set_that_has_lost_hashes_with_a_piece_is_made_anew(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str]
) -> None:
    run_stage("targets", job(tmp_path, *tables))
    before = contents(tmp_path)
    hashed.clear()
    (tmp_path / "targets/second/piece-00000.index").unlink()
    (tmp_path / "targets/second/part-00000.parquet").unlink()
    run_stage("targets", job(tmp_path, *tables))
    assert contents(tmp_path) == before
    assert sorted(hashed) == ["v05", "v06"]


def test_too_many_unreadable_videos_stop_the_job_until_they_are_mended(
    tmp_path: Path, tables: tuple[str, str], hashed: list[str], bench: Path
) -> None:
    out, broken = tmp_path / "out", Path(tables[0]).parent / "03.mp4"
    broken.unlink()
    broken.write_text("<html>")
    wanted = "target set first: 1 of 5 videos cannot be read, so a leak of theirs would go unseen"
    with pytest.raises(JobError, match=wanted):
        run_stage("targets", job(out, tables[0]))
    hashed.clear()
    record, _ = run_stage("targets", job(out, tables[0], max_failed_fraction=0.5))
    assert (record.counts["videos"], record.counts["failed"]) == (5, 1)
    # Only the unit with the broken video is looked at again.
    assert sorted(hashed) == ["v02", "v03"]
    with pytest.raises(JobError, match=wanted):
        run_stage("targets", job(out, tables[0], max_failed_fraction=0.1))
    broken.unlink()
    broken.hardlink_to(bench / "03.mp4")
    # A set that lacks too much by now is made anew, in case it has been mended.
    record, _ = run_stage("targets", job(out, tables[0]))
    assert record.counts["failed"] == 0


def test_two_tables_of_one_name_are_refused(tmp_path: Path, tables: tuple[str, str]) -> None:
    twice = replace(job(tmp_path / "out"), targets=(tables[0], str(tmp_path / "first.csv")))
    with pytest.raises(JobError, match="two target tables have one name"):
        run_stage("targets", twice)


def test_a_set_that_is_none_leaves_what_others_gave(
    tmp_path: Path, tables: tuple[str, str]
) -> None:
    out, empty, wrong = tmp_path / "out", tmp_path / "empty", tmp_path / "wrong.csv"
    record, _ = run_stage("targets", job(out, *tables))
    before = contents(out)
    empty.mkdir()
    wrong.write_text("id,uri\na,a.mp4\n")
    for table, said in ((f"ucf101:{empty}", "empty: "), (str(wrong), "needs the columns")):
        with pytest.raises(JobError, match=said):
            run_stage("targets", job(out, tables[0], table))
    assert contents(out) == before
    assert run_stage("targets", job(out, *tables)) == (record, True)


def test_an_unfinished_set_has_no_index(tmp_path: Path, tables: tuple[str, str]) -> None:
    with pytest.raises(JobError, match="not the manifest of a target set"):
        targets.index_files(job(tmp_path / "out", tables[0]))


def test_pieces_frames_and_tasks_become_shards_and_hashes(tmp_path: Path, bench: Path) -> None:
    frames = tmp_path / "clips" / "77"
    frames.mkdir(parents=True)
    for number in range(24):
        picture = Image.new("RGB", (65, 48), (9 * number, 40, 90))
        picture.paste((250, 250, 20), (number, 10, number + 20, 30))
        picture.save(frames / f"{number + 1:05d}.jpg")
    encode_video(tmp_path / "long.mp4", "a long one", 6, size=(48, 64))
    (tmp_path / "mixed.csv").write_text(
        "video_id,uri,subset,start_s,end_s,label_verb,label_noun\n"
        "piece,long.mp4,train,2,4.5,open,door\n"
        "beyond,long.mp4,train,5,9,open,cup\n"
        "frames,clips/77,val,,,take,cup\n"
    )
    done = job(tmp_path / "out", str(tmp_path / "mixed.csv"))
    run_stage("targets", done)
    rows = {
        r.video_id: r
        for r in read_rows(done.path("target_videos", "mixed.parquet"), TargetVideoRow)
    }
    assert {name: round(row.duration_s, 1) for name, row in rows.items()} == {
        "piece": 2.5,
        "beyond": 1.0,
        "frames": 2.0,
    }
    assert all(row.hashes and row.source_sha256 is None for row in rows.values())
    manifest = read_manifest(done.path("target_shards", "mixed.noun", "train"))
    assert (manifest.labels, manifest.clips) == (("cup", "door"), 2)
    assert read_manifest(done.path("target_shards", "mixed.verb", "val")).labels == ("open", "take")
    assert sorted(p.name for p in Path(done.path("target_shards")).iterdir()) == [
        "mixed.noun",
        "mixed.verb",
    ]


def test_what_a_benchmark_lacks_on_disk_is_listed(tmp_path: Path, bench: Path) -> None:
    (tmp_path / "Archery").mkdir()
    (tmp_path / "Archery" / "v_Archery_g01_c01.mp4").hardlink_to(bench / "01.mp4")
    listed = "Archery/v_Archery_g01_c01.avi 1\nArchery/v_Archery_g01_c02.avi 1\n"
    (tmp_path / "trainlist01.txt").write_text(listed)
    named = f"ucf101:{tmp_path}"
    with pytest.raises(JobError, match=r"1 of 2 videos cannot be read.*ucf101\.failed lists them"):
        run_stage("targets", job(tmp_path / "out", named))
    lines = (tmp_path / "out" / "target_videos" / "ucf101.failed").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["v_Archery_g01_c02"]
    kept = job(tmp_path / "out", named, max_failed_fraction=0.5)
    assert run_stage("targets", kept)[0].counts["failed"] == 1
    assert read_manifest(kept.path("target_shards", "ucf101", "train")).clips == 1
