import json
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.profiles import PROFILES
from formats.edits import AS_IS
from pipelines.judging.edit_recall import EditRecall
from pipelines.judging.evaluation import (
    EVALUATION,
    Evaluation,
    SourceHits,
    lines,
    read_evaluation,
    sentences,
    write_evaluation,
)
from pipelines.run import JobError

RESULT = Evaluation(
    profile="scale",
    thresholds={"one_frame": 40, "two_frames": 48, "three_frames": 52, "apart": 40},
    targets=("val", "test"),
    target_videos=900,
    rng_seed=0,
    videos=("val/a", "val/\N{SNOWMAN}", "test/b"),
    unreadable=1,
    kin=0,
    edits=(
        EditRecall("gray", "no colour", 2, 2, 0, 0, ()),
        EditRecall("pip50", "half as wide", 2, 1, 1, 0, ("test/b",)),
    ),
    as_is=EditRecall(AS_IS, "nothing", 2, 2, 0, 0, ()),
    recall=0.75,
    recall_without_pip=1.0,
    wrong_share=0.25,
    source=SourceHits(5000, 12, 11),
)


@pytest.mark.parametrize("result", [RESULT, replace(RESULT, source=None)])
def test_an_evaluation_is_read_back_as_it_was_written(result: Evaluation, tmp_path: Path) -> None:
    assert read_evaluation(str(tmp_path)) is None
    write_evaluation(str(tmp_path), result)
    assert read_evaluation(str(tmp_path)) == result
    assert [path.name for path in tmp_path.iterdir()] == [EVALUATION]


def test_people_are_told_each_edit_and_what_it_comes_to() -> None:
    said = "\n".join(lines(RESULT))
    assert said.splitlines()[0].split()[:4] == ["edit", "found", "of", "recall"]
    assert [line.split()[:6] for line in said.splitlines()[1:4]] == [
        ["as_is", "2", "2", "1.000", "0", "0"],
        ["gray", "2", "2", "1.000", "0", "0"],
        ["pip50", "1", "2", "0.500", "1", "0"],
    ]
    assert "2 of 900 target videos were edited in 2 ways" in said
    assert "profile scale (40/48/52 bits, 40 apart)" in said
    rules = {**vars(PROFILES["aggressive"]), "still": 0}
    assert "profile scale (40/66/74/84 bits, 16 apart)" in "\n".join(
        sentences(replace(RESULT, thresholds=rules))
    )
    rules["still"] = 48
    assert "profile scale (40/66/74/84 bits, 48 of a still picture, 16 apart)" in "\n".join(
        sentences(replace(RESULT, thresholds=rules))
    )
    assert "recall over the edits 0.750, without picture-in-picture 1.000" in said
    assert "a wrong target was named for 25.00% of the files" in said
    assert "Of 5,000 stored source videos 12 are like a target, 11 of them known" in said


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"edits": [{}], "as_is": {}}'])
def test_a_damaged_file_is_refused_by_name(content: str, tmp_path: Path) -> None:
    (tmp_path / EVALUATION).write_text(content)
    with pytest.raises(JobError, match=r"dedup_eval\.json: damaged; run `make dedup-eval` again"):
        read_evaluation(str(tmp_path))


def test_a_file_of_another_version_is_refused(tmp_path: Path) -> None:
    write_evaluation(str(tmp_path), RESULT)
    told = json.loads((tmp_path / EVALUATION).read_text())
    (tmp_path / EVALUATION).write_text(json.dumps({**told, "new": 1}))
    with pytest.raises(JobError, match="damaged"):
        read_evaluation(str(tmp_path))
