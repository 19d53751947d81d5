from pathlib import Path

import numpy as np
import pytest

from dedup import index
from dedup.fingerprint import Fingerprint
from dedup.index import FLAT_MOST_CODES, TargetIndex, TargetVideo
from formats.tables import TargetHashRow, TargetVideoRow, write_rows
from pipelines.benchmarks.target_sets import (
    SetFolder,
    TargetSet,
    describe_piece,
    plan_pieces,
    read_fingerprints,
    read_set,
    write_piece,
)
from pipelines.run import JobError


def video(name: str, hashes: int) -> TargetVideoRow:
    return TargetVideoRow(name, f"{name}.mp4", hashes=hashes)


def write_parts(folder: SetFolder, units: list[list[TargetVideoRow]]) -> list[TargetVideo]:
    """Random hashes of the units' videos, as `hash_unit` leaves them; what they are hashes of."""
    rng, videos = np.random.default_rng(0), []
    for number, unit in enumerate(units):
        rows: list[TargetHashRow] = []
        for one in unit:
            codes = rng.integers(0, 256, (one.hashes, 32), dtype=np.uint8)
            seconds = np.arange(one.hashes, dtype=np.float32)
            fingerprint = Fingerprint(codes, seconds, ("full",) * one.hashes)
            videos.append(TargetVideo("bench", one.video_id, fingerprint))
            for code, second in zip(codes, seconds, strict=True):
                rows.append(
                    TargetHashRow(one.video_id, None, float(second), "full", code.tobytes())
                )
        write_rows(folder.part(number), rows, TargetHashRow)
    return videos


def test_pieces_are_ranges_of_whole_videos_with_so_many_hashes_at_most():
    units = [[video("a", 4), video("b", 0), video("c", 3)], [video("d", 3), video("e", 11)]]
    units.append([video("f", 1)])
    plans = plan_pieces("bench", units, most=7)
    assert [(p.first_video, p.last_video, p.parts, p.videos, p.hashes) for p in plans] == [
        ("a", "c", (0,), 2, 7),
        ("d", "d", (1,), 1, 3),
        ("e", "e", (1,), 1, 11),
        ("f", "f", (2,), 1, 1),
    ]
    assert [plan.number for plan in plans] == [0, 1, 2, 3]
    assert plan_pieces("bench", [[video("a", 0)], []]) == []


def test_the_whole_set_and_not_the_piece_decides_how_it_is_searched():
    half = FLAT_MOST_CODES // 2
    flat = plan_pieces("bench", [[video("a", half), video("b", half)]], most=half)
    hashed = plan_pieces("bench", [[video("a", half), video("b", half + 1)]], most=half)
    assert [plan.hashed for plan in flat] == [False, False]
    assert [plan.hashed for plan in hashed] == [True, True]


def test_pieces_hold_the_videos_of_their_range_whatever_part_these_are_in(tmp_path: Path):
    folder = SetFolder(str(tmp_path))
    units = [[video("a", 4), video("b", 3)], [video("c", 70_000)], [video("d", 2)]]
    videos = write_parts(folder, units)
    for most, sizes in ((80_000, [4]), (70_002, [2, 2]), (1, [1, 1, 1, 1])):
        pieces = []
        for plan in plan_pieces("bench", units, most=most):
            write_piece(plan, folder)
            pieces.append(describe_piece(plan, folder))
            assert plan.first_video in ("a", "b", "c", "d")
        assert [piece.videos for piece in pieces] == sizes
        loaded = [TargetIndex.load(f"{tmp_path}/{piece.path}").rows for piece in pieces]
        assert [name for rows in loaded for _, name in rows.videos] == ["a", "b", "c", "d"]
        codes = np.concatenate([rows.codes for rows in loaded])
        assert np.array_equal(codes, TargetIndex.build(videos).rows.codes)


def test_a_set_of_many_hashes_has_tables_in_each_of_its_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("pipelines.benchmarks.target_sets.FLAT_MOST_CODES", 5)
    folder, units = SetFolder(str(tmp_path)), [[video("a", 3), video("b", 3)]]
    write_parts(folder, units)
    for plan in plan_pieces("bench", units, most=3):
        write_piece(plan, folder)
        assert len(TargetIndex.load(folder.piece(plan.number)).tables) == index.TABLES


def test_fingerprints_are_read_video_by_video_across_row_groups(tmp_path: Path):
    folder = SetFolder(str(tmp_path))
    units = [[video("a", 2), video("b", 66_000)], [video("c", 1)]]
    wanted = {one.video_id: one.fingerprint for one in write_parts(folder, units)}
    found = list(read_fingerprints([folder.part(0), folder.part(1)]))
    assert [name for name, _ in found] == ["a", "b", "c"]
    for name, fingerprint in found:
        assert np.array_equal(fingerprint.codes, wanted[name].codes)
        assert np.array_equal(fingerprint.seconds, wanted[name].seconds)
        assert fingerprint.versions == wanted[name].versions


def finished(folder: SetFolder, key: str = "key") -> TargetSet:
    units = [[video("a", 3)]]
    folder.begin(key)
    write_parts(folder, units)
    (plan,) = plan_pieces("bench", units)
    write_piece(plan, folder)
    pieces = (describe_piece(plan, folder),)
    made = TargetSet("bench", 2.0, "flat", videos=1, failed=0, hashes=3, pieces=pieces)
    folder.commit(made)
    return made


def test_a_set_is_finished_if_it_was_committed_for_the_same_key(tmp_path: Path):
    folder = SetFolder(str(tmp_path / "bench"))
    assert folder.finished("key") is None
    made = finished(folder)
    assert folder.finished("key") == made == read_set(folder.path)
    assert folder.finished("other") is None


def test_a_piece_that_is_gone_or_cut_short_is_not_whole(tmp_path: Path):
    folder = SetFolder(str(tmp_path / "bench"))
    (piece,) = finished(folder).pieces
    assert folder.is_whole(piece)
    Path(folder.piece(0)).write_bytes(b"cut")
    assert not folder.is_whole(piece)
    Path(folder.piece(0)).unlink()
    assert not folder.is_whole(piece)


def test_beginning_keeps_the_parts_of_the_same_key_and_nothing_of_another(tmp_path: Path):
    folder = SetFolder(str(tmp_path / "bench"))
    finished(folder)
    folder.begin("key")
    assert folder.finished("key") is None
    assert Path(folder.part(0)).exists()
    folder.begin("other")
    assert not Path(folder.part(0)).exists()
    folder.clean()
    assert [path.name for path in Path(folder.path).iterdir()] == [".key"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pieces": [{}]}', '{"pieces": 1}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: str):
    (tmp_path / "MANIFEST.json").write_text(content)
    with pytest.raises(JobError, match="MANIFEST.json: not the manifest of a target set"):
        read_set(str(tmp_path))


def test_a_manifest_that_names_a_file_elsewhere_is_refused(tmp_path: Path):
    folder = SetFolder(str(tmp_path / "bench"))
    finished(folder)
    manifest = tmp_path / "bench" / "MANIFEST.json"
    manifest.write_text(manifest.read_text().replace("piece-00000", "../piece-00000"))
    with pytest.raises(JobError, match="a piece outside of its folder"):
        read_set(folder.path)
    with pytest.raises(JobError, match="not the manifest of a target set"):
        read_set(str(tmp_path / "nowhere"))
