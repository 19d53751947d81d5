from dataclasses import replace
from pathlib import Path

import pytest

from formats.tables import TargetVideoRow, write_rows
from pipelines.label_manifest import read_space_facts
from pipelines.report import write_report
from pipelines.reporting.card import write_card
from pipelines.reporting.label_card import describe_covered, describe_space
from pipelines.reporting.summary import summarise
from tests.pipelines.finished_dataset import Post, write_finished

BAD = "x|<b>"
POSTS = [
    *(Post(f"a{number}", "tai chi") for number in range(3)),
    Post("b", "push up"),
    Post("c", BAD, "label_too_small", "min_videos"),
    Post("d", "ski", "not_sampled", "max_labels"),
    Post("e", "yoga", "not_sampled", "label_subset"),
    Post("f", "zumba", "rejected", "gone"),
    Post("g", "tai chi", "not_sampled"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"
    write_finished(out, POSTS, settings=("label.min_videos=1",))
    for target, labels in {
        "mine": ("tai chi", "pushing up", "push:door", "swim", "!", None, "swim"),
        "plain": (None,),
    }.items():
        rows = [TargetVideoRow(f"t{n}", f"t{n}.mp4", name) for n, name in enumerate(labels)]
        if target == "mine":  # One video carries two.
            rows[3] = replace(rows[3], label="tai chi", tasks=("=tai chi", "=swim", "noun=x"))
            del rows[6]
        write_rows(str(out / "target_videos" / f"{target}.parquet"), rows, TargetVideoRow)
    write_card(str(out), summarise(str(out)))
    write_report(str(out))
    return out


def test_labels_left_out_are_counted_by_reason_and_listed(out: Path) -> None:
    section = describe_space(str(out), summarise(str(out)), read_space_facts(str(out)))
    assert "found in the catalog: 6; 2 with 1 video or more were kept, 4 left out." in section
    by_reason, labels = section.split("\n\n")[3::2]
    assert [(line.split(" | ")[0], line.split()[-2]) for line in by_reason.splitlines()[2:]] == [
        (r"| label\_subset", "1"),
        (r"| max\_labels", "1"),
        (r"| min\_videos", "1"),
        (r"| no\_video", "1"),
    ]
    assert labels.splitlines()[2:] == [
        r"| ski | 1 | max\_labels |",
        r"| x\|&lt;b&gt; | 1 | min\_videos |",
        r"| yoga | 1 | label\_subset |",
        r"| zumba | 1 | no\_video |",
    ]


def test_the_skew_is_the_gini_coefficient_of_the_manifest(out: Path) -> None:
    assert "per label is 0.30 (0: all" in (out / "DATASET_CARD.md").read_text()
    assert "Gini coefficient: 0.30." in (out / "report" / "index.html").read_text()


def test_targets_with_labels_are_compared_by_each_definition(out: Path) -> None:
    _, table, definitions = describe_covered(str(out))
    assert table.splitlines() == [
        "| Target | Its labels | exact | stems | head |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| mine | 4 | 1 (25%) | 2 (50%) | 2 (50%) |",
    ]
    assert definitions.count("\n") == 2
    assert table in (out / "DATASET_CARD.md").read_text()


def test_the_tools_stand_beside_the_ids(out: Path) -> None:
    identity = (out / "DATASET_CARD.md").read_text().split("## Identity and checks")[1]
    assert "| nltk | 3.9 |\n| pyarrow | 23 |" in identity


def test_the_page_shows_what_was_left_out_and_what_is_covered(out: Path) -> None:
    page = (out / "report" / "index.html").read_text()
    assert "<h3>Labels left out</h3>" in page
    assert '<td class="n">1</td><td><bdi>x|&lt;b&gt;</bdi></td>' in page
    assert '<td><bdi>mine</bdi></td><td class="n">4</td><td class="n">1 (25%)</td>' in page
    assert "<bdi>plain</bdi></td>" not in page


def test_targets_without_labels_are_not_compared(tmp_path: Path) -> None:
    write_finished(tmp_path / "out", [Post("a", "ski"), Post("b", "ski", "duplicate")])
    assert describe_covered(str(tmp_path / "out")) == []
    write_report(str(tmp_path / "out"))
    assert "label space covers" not in (tmp_path / "out" / "report" / "index.html").read_text()


def test_the_funnel_tells_a_label_not_sampled_from_a_video_not_sampled(out: Path) -> None:
    page = (out / "report" / "index.html").read_text()
    assert "1 with too rare a label · \N{MINUS SIGN}2 with a label that was not sampled" in page
    assert "<p>\N{MINUS SIGN}1 not sampled into a split</p>" in page
