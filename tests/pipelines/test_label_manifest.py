import json
from pathlib import Path

import pytest

from labelspace.space import build_label_space
from pipelines.label_manifest import (
    MANIFEST,
    WHY,
    SpaceFacts,
    read_space_facts,
    write_space_manifest,
)
from pipelines.run import JobError

SPACE = build_label_space({"taï chi": 30, "yoga": 10, "ski": 1}, min_videos=5)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    write_space_manifest({}, SPACE, str(tmp_path / MANIFEST), {"tools": {"nltk": "3"}})
    found = read_space_facts(str(tmp_path))
    assert found == SpaceFacts({"nltk": "3"}, 0.25, (("ski", 1, "min_videos"),))
    assert found.reasons() == {"ski": "min_videos"}


def test_a_space_without_a_label_has_no_skew(tmp_path: Path) -> None:
    space = build_label_space({"ski": 1}, min_videos=5)
    write_space_manifest({}, space, str(tmp_path / MANIFEST), {"tools": {}})
    assert read_space_facts(str(tmp_path)).gini is None


def test_reasons_add_up_to_the_labels_left_out() -> None:
    dropped = (("a", 9, "label_subset"), ("b", 2, "min_videos"), ("c", 1, "min_videos"))
    counts = SpaceFacts({}, None, dropped).count_reasons(7)
    assert counts == {"label_subset": 1, "min_videos": 2, "no_video": 4}
    assert SpaceFacts({}, None, ()).count_reasons(0) == {}


def test_every_limit_of_a_space_has_its_words() -> None:
    space = build_label_space(
        {"a": 9, "b": 8, "c": 7, "d": 1}, min_videos=5, max_labels=2, subset=1
    )
    assert {reason for *_, reason in space.dropped} == set(WHY) - {"no_video"}


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"dropped": [{"label": "a"}]})])
def test_a_damaged_manifest_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(JobError, match=r"labels\.json: damaged"):
        read_space_facts(str(tmp_path))


def test_a_missing_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"labels\.json: not there"):
        read_space_facts(str(tmp_path))
