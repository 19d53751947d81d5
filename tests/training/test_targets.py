from pathlib import Path

import pytest

from formats.shards import ShardError
from tests.training.moving_clips import LABELS, write_split
from training.options import Options, load_options
from training.targets import find_targets, open_targets
from training.truth import TargetError

OPTIONS: Options = load_options("sample", ["evaluate.splits=S1,S2"])


def parts(folder: Path, *names: str, labels: tuple[str, ...] = LABELS) -> str:
    for name in names:
        write_split(folder / name, [("aa", b"v", 0, 1.0)], labels=labels)
    return str(folder)


def test_a_target_is_its_training_videos_and_the_splits_that_are_asked_for(tmp_path: Path) -> None:
    folder = parts(tmp_path / "epic", "train", "S1", "S2", "val")
    (target,) = open_targets([f"{folder}/"], OPTIONS, str(tmp_path / "scratch"))
    assert (target.name, set(target.tests)) == ("epic", {"S1", "S2"})
    assert target.split("S1") == f"{folder}/S1"
    assert target.clips.scratch == str(tmp_path / "scratch")


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = parts(tmp_path / "epic", "train", "S1")
    with pytest.raises(ShardError, match="epic/S2/MANIFEST.json: not there"):
        open_targets([folder], OPTIONS, str(tmp_path / "scratch"))


def test_splits_with_different_labels_are_no_target(tmp_path: Path) -> None:
    folder = parts(tmp_path / "epic", "train", "S1")
    parts(tmp_path / "epic", "S2", labels=("up", "down", "still"))
    with pytest.raises(TargetError, match="its splits have different labels"):
        open_targets([folder], OPTIONS, str(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("folders", "message"),
    [([], "no target to measure on"), (["a/x", "b/x/"], "two targets have the same name")],
)
def test_targets_that_cannot_be_told_are_refused(folders: list[str], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        open_targets(folders, OPTIONS, "")


def test_the_targets_of_a_dataset_job_are_found(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "target_shards" / name).mkdir(parents=True)
    (tmp_path / "target_shards" / "file").write_text("")
    assert [Path(folder).name for folder in find_targets(str(tmp_path))] == ["a", "b"]
