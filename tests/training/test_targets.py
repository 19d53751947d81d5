from pathlib import Path

import pytest

from tests.training.moving_clips import LABELS, write_split
from training.options import Options, load_options
from training.targets import check_targets, find_targets, open_targets
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
    with pytest.raises(TargetError, match="epic: this target set has no finished split S2: it"):
        open_targets([folder], OPTIONS, str(tmp_path / "scratch"))


def test_splits_with_different_labels_are_no_target(tmp_path: Path) -> None:
    folder = parts(tmp_path / "epic", "train", "S1")
    parts(tmp_path / "epic", "S2", labels=("up", "down", "still"))
    with pytest.raises(TargetError, match="its splits have different labels"):
        open_targets([folder], OPTIONS, str(tmp_path / "scratch"))


@pytest.mark.parametrize(
    ("folders", "message"),
    [([], "no target set to measure on"), (["a/x", "b/x/"], "two targets have the same name")],
)
def test_targets_that_cannot_be_told_are_refused(folders: list[str], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        open_targets(folders, OPTIONS, "")


def test_the_targets_of_a_dataset_job_are_found(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / "target_shards" / name).mkdir(parents=True)
    (tmp_path / "target_shards" / "file").write_text("")
    assert [Path(folder).name for folder in find_targets(str(tmp_path))] == ["a", "b"]


def test_a_target_that_is_too_small_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    check_targets([], OPTIONS)
    folder = parts(tmp_path / "tsub", "train", "S1", "S2")
    with pytest.raises(TargetError, match="tsub/train: 1 training videos of 1 labels are too few"):
        check_targets([folder], OPTIONS)
    clips = [(f"a{number}", b"v", number % 2, 1.0) for number in range(4)]
    write_split(tmp_path / "tsub" / "train", clips)
    check_targets([folder], OPTIONS)
