import shutil
from pathlib import Path

from formats.tables import TargetVideoRow, write_rows
from pipelines.benchmarks.target_files import TargetFile, find_target_files, record_folder
from pipelines.fetch_options import FetchOptions

OPTIONS = FetchOptions()
URIS = {
    "near": "videos/a.mp4",
    "whole": "{folder}/b.mp4",
    "outside": "../secret.mp4",
    "link": "link.mp4",
    "web": "https://example.org/c.mp4",
    "folder": "file://{folder}/d%20e.mp4",
}


def lay_out(path: Path) -> tuple[Path, Path]:
    """A job's folder and that of a target table, which has six videos."""
    out, folder = path / "out", path / "bench"
    folder.mkdir(parents=True)
    (folder / "link.mp4").symlink_to(path / "secret.mp4")
    rows = [TargetVideoRow(name, uri.format(folder=folder)) for name, uri in URIS.items()]
    write_rows(str(out / "target_videos" / "val.parquet"), rows, TargetVideoRow)
    record_folder("val", str(folder / "val.csv"), out)
    return out, folder


def test_a_target_video_is_found_by_its_table(tmp_path):
    out, folder = lay_out(tmp_path)
    wanted = {*(("val", name) for name in URIS), ("val", "unknown"), ("other", "near")}
    assert find_target_files(out, wanted, OPTIONS) == {
        ("val", "near"): TargetFile("videos/a.mp4", str(folder / "videos/a.mp4")),
        ("val", "whole"): TargetFile(f"{folder}/b.mp4", str(folder / "b.mp4")),
        ("val", "outside"): TargetFile("../secret.mp4", None),
        ("val", "link"): TargetFile("link.mp4", None),
        ("val", "web"): TargetFile("https://example.org/c.mp4", None),
        ("val", "folder"): TargetFile(f"file://{folder}/d%20e.mp4", str(folder / "d e.mp4")),
    }


def test_both_folders_may_move_together(tmp_path):
    out, _ = lay_out(tmp_path / "before")
    shutil.move(tmp_path / "before", tmp_path / "after")
    out = tmp_path / "after" / "out"
    (found,) = find_target_files(out, {("val", "near")}, OPTIONS).values()
    assert found.path is not None
    assert Path(found.path).resolve() == (tmp_path / "after/bench/videos/a.mp4").resolve()


def test_the_dataset_does_not_tell_where_its_owner_keeps_it(tmp_path):
    out, _ = lay_out(tmp_path)
    assert (out / "target_videos" / "val.folder").read_text() == "../bench"


def test_a_folder_whose_name_is_no_text_is_found(tmp_path):
    out = tmp_path / "out"
    folder = Path(str(tmp_path) + "/caf\udce9")
    folder.mkdir()
    write_rows(
        str(out / "target_videos" / "val.parquet"), [TargetVideoRow("a", "a.mp4")], TargetVideoRow
    )
    record_folder("val", str(folder / "val.csv"), out)
    (found,) = find_target_files(out, {("val", "a")}, OPTIONS).values()
    assert found.path is not None
    assert Path(found.path).resolve() == folder / "a.mp4"


def test_without_a_record_the_uri_alone_is_known(tmp_path):
    out, _ = lay_out(tmp_path)
    (out / "target_videos" / "val.folder").unlink()
    assert find_target_files(out, {("val", "near")}, OPTIONS) == {
        ("val", "near"): TargetFile("videos/a.mp4", None)
    }
