from pathlib import Path

import pytest

from pipelines.judging.evaluation import write_evaluation
from pipelines.reporting.recall_report import recall_card, recall_section
from tests.pipelines.judging.test_evaluation import RESULT


def test_nothing_is_said_of_what_was_not_measured(tmp_path: Path) -> None:
    assert recall_card(str(tmp_path)) == []
    assert recall_section(str(tmp_path)) == ""


@pytest.mark.parametrize("part", ["card", "section"])
def test_card_and_page_hold_the_recall_of_each_edit(part: str, tmp_path: Path) -> None:
    write_evaluation(str(tmp_path), RESULT)
    if part == "card":
        said, row = "\n\n".join(recall_card(str(tmp_path))), "| pip50 | half as wide | 2 | 0.500 |"
    else:
        said, row = recall_section(str(tmp_path)), '<td>half as wide</td><td class="n">0.500</td>'
    assert row in said
    assert "Mean recall over the edits 0.750, without picture-in-picture 1.000" in said
    assert "test/b" not in said
