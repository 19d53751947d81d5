"""Units of real video, committed, killed and resumed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from formats.tables import MatchRow, VideoRow, read_rows, write_rows
from formats.video import encode_frames
from pipelines.fetch import plan_units, run
from pipelines.match import row_key
from pipelines.options import FetchOptions, Options
from pipelines.run import Job, JobError
from pipelines.units import Workplace, fetch_unit

NAMES = ("good0.mp4", "good1.mp4", "page.mp4", "none.mp4")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    for number in range(2):
        rng = np.random.default_rng(number)
        still = rng.integers(0, 255, (64, 96, 3), dtype=np.uint8)
        frames = (np.roll(still, shift, axis=1) for shift in range(15))
        encode_frames(str(folder / f"good{number}.mp4"), frames, fps=10)
    (folder / "page.mp4").write_text("<html>")
    (folder / "catalog.csv").write_text("video_id,uri,hashtags\n")
    return folder


def make_job(catalog: Path, out: Path, **fetch: object) -> Job:
    rows = sorted(
        (MatchRow(row_key(name), name, name, ("yoga",), ("yoga",)) for name in NAMES),
        key=lambda row: row.row_key,
    )
    write_rows(str(out / "matches" / "part-00000-of-00001.parquet"), rows, MatchRow)
    options = FetchOptions(**{"videos_per_part": 2, **fetch})  # type: ignore[arg-type]
    return Job(out, "kinetics", Options(fetch=options), catalog=str(catalog / "catalog.csv"))


def outcomes(out: Path) -> dict[str, tuple[str, str | None]]:
    rows = [row for part in out.glob("videos/*.parquet") for row in read_rows(str(part), VideoRow)]
    assert len({row.row_key for row in rows}) == len(rows)
    return {row.video_id: (row.status, row.reason) for row in rows}


WANTED = {
    "good0.mp4": ("stored", None),
    "good1.mp4": ("stored", None),
    "page.mp4": ("rejected", "not_video"),
    "none.mp4": ("rejected", "gone"),
}


def test_every_match_is_stored_or_rejected_with_its_reason(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    counts = run(job).counts
    assert outcomes(tmp_path) == WANTED
    assert counts == {"rejected": 2, "rejected:gone": 1, "rejected:not_video": 1, "stored": 2}
    for part in tmp_path.glob("videos/*.parquet"):
        for row in read_rows(str(part), VideoRow):
            if row.part is not None and row.offset is not None and row.size_bytes is not None:
                tar = (tmp_path / "videos" / row.part).read_bytes()
                assert tar[row.offset + 4 : row.offset + 8] == b"ftyp"
                assert row.fingerprint and len(row.fingerprint) == len(row.seconds)


def test_a_killed_run_goes_on_with_what_is_missing(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    run(job)
    parts = sorted(tmp_path.glob("videos/*.parquet"))
    assert len(parts) == 2
    kept, lost = parts
    before = kept.stat().st_mtime_ns
    # A kill between the tar and its table, and one in the middle of a tar.
    lost.unlink()
    (tmp_path / "videos" / ".part-x.tar.abc.tmp").write_text("half a tar")
    run(job)
    assert outcomes(tmp_path) == WANTED
    assert kept.stat().st_mtime_ns == before
    assert not list(tmp_path.glob("videos/.*"))


def test_nothing_is_planned_for_what_is_done(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    run(job)
    place = Workplace(job.path("videos"), str(catalog), job.options.fetch)
    matches = next(iter(tmp_path.glob("matches/*.parquet")))
    assert list(plan_units(str(matches), place)) == []


def test_a_unit_fetched_twice_leaves_the_same_bytes(catalog: Path, tmp_path: Path) -> None:
    job = make_job(catalog, tmp_path)
    place = Workplace(job.path("videos"), str(catalog), job.options.fetch)
    matches = next(iter(tmp_path.glob("matches/*.parquet")))
    (tmp_path / "videos").mkdir()
    unit = next(plan_units(str(matches), place))
    found = []
    for _ in range(2):
        assert list(fetch_unit(unit, place)) == [f"{place.videos}/{unit.part}.parquet"]
        found.append({p.name: p.read_bytes() for p in tmp_path.glob("videos/*")})
    assert found[0] == found[1]


def test_a_unit_to_try_again_that_still_fails_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    # Temporary DNS failure is the only thing that is worth another try here: no host is reached.
    place = Workplace(str(tmp_path / "videos"), str(tmp_path), FetchOptions())
    row = MatchRow(row_key("none.mp4"), "v", "none.mp4", ("yoga",), ("yoga",))
    matches = tmp_path / "matches.parquet"
    write_rows(str(matches), [row], MatchRow)
    unit = next(plan_units(str(matches), place))
    assert unit.first
    assert list(fetch_unit(replace(unit, matches=()), replace(place))) != []
    assert list(fetch_unit(replace(unit, matches=(), first=False), place)) == []


def test_other_options_do_not_mix_with_what_was_stored(catalog: Path, tmp_path: Path) -> None:
    run(make_job(catalog, tmp_path))
    with pytest.raises(JobError, match="crf was 23, is 30"):
        run(make_job(catalog, tmp_path, crf=30))
    assert run(make_job(catalog, tmp_path, deadline_s=60.0)).counts["stored"] == 2


def test_too_many_failures_stop_the_job(catalog: Path, tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"2 of 4 videos could not be stored.*gone 1"):
        run(make_job(catalog, tmp_path, max_failed_fraction=0.25))
