import re
import subprocess
import sys
from pathlib import Path

import pytest

from formats.tables import TableError
from pipelines.reporting import card
from pipelines.reporting.card import count_licences, write_card
from pipelines.reporting.markdown import escape
from pipelines.reporting.summary import summarise
from pipelines.tallies import Tally
from pipelines.yields import Yields, write_yields
from tests.pipelines.finished_dataset import Post, write_finished

HOSTILE = "a|b `c`\n# d <img src=x> [e](http://f) *g* $h$"
ESCAPED = r"a\|b \`c\` \# d &lt;img src=x&gt; \[e\](http\://f) \*g\* \$h\$"
POSTS = [
    Post("v1", HOSTILE, licence="CC|0\n\n## x"),
    Post("v2", HOSTILE, licence=None),
    Post("v3", "tai chi"),
    Post("v4", "tai chi", licence=None),
    Post("v5", "yoga", "label_too_small"),
    Post("v6", "tai chi", "duplicate", target="my_bench"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "my_set"
    settings = ("label.min_videos=2", "split.splits=all,short")
    write_finished(out, POSTS, settings=settings, seed="/home/someone/actions.txt")
    write_card(str(out), summarise(str(out)))
    return out


@pytest.fixture(scope="module")
def sections(out) -> dict[str, str]:
    parts = re.split(r"^#+ (.*)\n", (out / "DATASET_CARD.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], (part.strip() for part in parts[2::2]), strict=True))


def test_the_sections_are_these_and_no_label_adds_one(sections):
    assert list(sections) == [
        r"Dataset card: my\_set",
        "How it was made",
        "Label space",
        "Splits",
        "Overlap with benchmarks",
        "Licences",
        "Use",
        "Limits",
        "Taking an item down",
        "Identity and checks",
        "Citation",
    ]


def test_labels_with_marks_of_markdown_stay_in_their_cells(sections):
    table = sections["Label space"].split("\n\n")[1]
    assert table.splitlines() == [
        "| Label | Videos | Of them it trains |",
        "| --- | ---: | ---: |",
        f"| {ESCAPED} | 2 | 2 |",
        "| tai chi | 2 | 2 |",
    ]
    assert "| yoga | 1 |" in sections["Label space"]


def test_every_row_of_every_table_has_the_cells_of_its_head(out):
    tables = re.findall(r"(?:^\|.*\n)+", (out / "DATASET_CARD.md").read_text(), re.MULTILINE)
    assert len(tables) == 11
    for table in tables:
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
        assert len(cells) == 1, table


def test_licences_are_counted_for_the_videos_of_the_dataset_alone(sections):
    assert sections["Licences"].split("\n\n")[1].splitlines() == [
        "| Licence | Videos |",
        "| --- | ---: |",
        "| not stated | 2 |",
        "| CC BY 4.0 | 1 |",
        r"| CC\|0 \#\# x | 1 |",
    ]


def test_licences_counted_in_slices_are_the_same(out, monkeypatch):
    whole = count_licences(str(out), 4)
    monkeypatch.setattr(card, "_KEYS_AT_ONCE", 1)
    assert count_licences(str(out), 4) == whole
    assert whole.total() == 4


def test_the_overlap_names_each_target_and_what_it_removed(sections):
    assert r"| my\_bench | 1 | 1 |" in sections["Overlap with benchmarks"]
    assert "profile aggressive" in sections["Overlap with benchmarks"]


def test_without_a_target_the_card_warns(tmp_path):
    out = tmp_path / "out"
    write_finished(out, POSTS[:3])
    write_card(str(out), summarise(str(out)))
    assert "**no overlap was removed**" in (out / "DATASET_CARD.md").read_text()


def test_options_that_differ_are_listed_and_no_folder_of_the_builder_s(out, sections):
    assert r"| label.min\_videos | 2 | 50 |" in sections["How it was made"]
    assert "Seed set: actions.txt\n" in sections[r"Dataset card: my\_set"]
    assert "/home/someone" not in (out / "DATASET_CARD.md").read_text()


@pytest.mark.slow
def test_the_code_in_the_card_reads_the_shards_with_plain_webdataset(out, sections):
    pytest.importorskip("webdataset")
    (code,) = re.findall(r"```python\n(.*?)```", sections["Identity and checks"], re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=out, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    read = sorted(line.split()[-3] for line in done.stdout.replace("\n#", " #").splitlines())
    assert read == ["v1", "v2", "v3", "v4"]


def test_the_same_dataset_gives_the_same_card(out):
    before = (out / "DATASET_CARD.md").read_bytes()
    write_card(str(out), summarise(str(out)))
    assert (out / "DATASET_CARD.md").read_bytes() == before


def test_a_missing_table_is_named(tmp_path):
    out = tmp_path / "out"
    write_finished(out, POSTS[:3])
    summary = summarise(str(out))
    (out / "labels.parquet").unlink()
    with pytest.raises(TableError, match=r"labels\.parquet"):
        write_card(str(out), summary)


def test_text_is_cut_at_a_length():
    assert escape("x" * 500) == "x" * 119 + "…"


def test_what_fetching_brought_is_said_without_naming_a_host(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_finished(out, POSTS, settings=("label.min_videos=2",))
    write_card(str(out), summarise(str(out)))
    assert "Fetching:" not in (out / "DATASET_CARD.md").read_text()
    hosts = (("secret.example", Tally({"stored": 6, "rejected:gone": 2}, source_bytes=3_000)),)
    write_yields(Yields(hosts, hosts=1), str(out / "yield.json"))
    write_card(str(out), summarise(str(out)))
    text = (out / "DATASET_CARD.md").read_text()
    assert (
        "\n\nFetching: 6 of 8 videos stored (75.0 %), 3.0 KB from 1 host; link rot: 2 of 2 "
        "failures gone or denied; no decoder has run.\n\n"
    ) in text
    assert "secret.example" not in text
