import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from formats.tables import LedgerRow, write_rows
from pipelines.report import write_report
from pipelines.reporting.summary import AccountingError
from tests.pipelines.finished_dataset import Post, write_finished

HOSTILE = """<script>alert('x')</script><img src="http://evil.example/" onerror=alert(1)>"""
VOID = {"meta", "img", "br"}
POSTS = [
    Post(f"v1{HOSTILE}", HOSTILE, hashtags=(HOSTILE, "$name ${facts}")),
    Post("v2\u202e", HOSTILE),
    Post("v3", "tai chi", "rejected", "not_video"),
    Post("v4", "tai chi", "retry_later", "busy"),
    Post(f"d{HOSTILE}", "tai chi", "duplicate", target="bench", min_distance=41),
    Post("s", "yoga", "label_too_small"),
]


class Page(HTMLParser):
    """Tags, attributes and text of a page; refuses unbalanced tags."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "out"
    write_finished(folder, POSTS, settings=("label.min_videos=2",))
    return folder


@pytest.fixture(scope="module")
def content(out) -> str:
    write_report(str(out))
    return (out / "report" / "index.html").read_text()


def test_what_strangers_wrote_stays_text(content):
    page = Page(content)
    assert page.tags["script"] == 0
    assert page.text.count(HOSTILE) == 3  # the label twice, a hashtag; ids are cut
    assert "#$name ${facts}" in page.text
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]


def test_the_page_needs_no_other_file_and_no_network(content):
    page = Page(content)
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "action")]
    assert len(sources) == 2 * 3 + 2  # two clips of three frames, one pair
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    assert not {"script", "link", "iframe", "object", "base"} & set(page.tags)
    assert "@import" not in content
    assert set(re.findall(r"url\((.)", content)) == {"#"}
    (policy,) = [value for tag, _, value in page.attributes if "default-src" in (value or "")]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_funnel_shows_what_is_left_and_what_was_lost(content):
    funnel = Page(re.search(r'<ol class="funnel">.*?</ol>', content, re.DOTALL)[0]).text
    assert funnel.replace("\N{MINUS SIGN}", "-") == (
        "catalog rows 16 100% -1 unreadable · -2 repeated URIs · -7 without a relevant "
        "hashtag matched 6 38% -1 rejected · -1 to try again later fetched 4 25% -1 duplicates of "
        "a target video not duplicate 3 19% -1 with too rare a label labelled 2 12% none lost "
        "in a clip 2 12%"
    )


def test_reasons_come_with_what_they_mean_and_what_to_do(content):
    shown = Page(re.search(r'<section id="rejected">.*?</section>', content, re.DOTALL)[0]).text
    assert shown == (
        "Videos that were not stored Rejected not_video 1 Not a video file: often a web page, an "
        "image or a playlist. List the address of the file, not of the page that shows it. To be "
        "tried again when fetch runs next busy 1 The server asks to slow down (429, 503). "
        "Nothing: the next run tries again."
    )


def test_a_duplicate_is_shown_with_its_evidence(content):
    shown = section(content)
    assert shown.tags["svg"] == shown.tags["image"] == 2
    assert "Videos removed: 1 (1 of bench )." in shown.text
    assert (
        "41 bits · whole frame / whole picture, mirrored · 2 frames alike · offset +0.2 s"
        in shown.text
    )
    assert "at 0.5 s https://example.org/d<script>" in shown.text
    assert "bench : target of d<script>" in shown.text


def test_a_missing_target_video_is_said_in_the_picture_s_place(out, content):
    (file,) = (out.parent / "target_videos").glob("*.mp4")
    file.rename(file.with_suffix(".away"))
    try:
        write_report(str(out))
    finally:
        file.with_suffix(".away").rename(file)
    shown = section((out / "report" / "index.html").read_text())
    assert shown.tags["svg"] == 1
    assert "the target video's file is not there any more" in shown.text


def test_an_option_says_how_many_pairs_are_shown(out, content):
    config = out / "config.toml"
    before = config.read_text()
    config.write_text(before.replace("duplicate_pairs = 50", "duplicate_pairs = 0"))
    write_report(str(out))
    config.write_text(before)
    shown = section((out / "report" / "index.html").read_text())
    assert shown.tags["svg"] == 0
    assert "Videos removed: 1 (1 of bench )." in shown.text


def section(content: str) -> Page:
    return Page(re.search(r'<section id="duplicates">.*?</section>', content, re.DOTALL)[0])


def test_the_same_dataset_gives_the_same_page(out, content):
    write_report(str(out))
    assert (out / "report" / "index.html").read_text() == content


def test_the_summary_is_written_beside_the_page(out, content):
    summary = json.loads((out / "report" / "summary.json").read_text())
    assert summary["catalog_rows"] == sum(summary["fates"].values()) == 16
    assert all(split["dataset_id"] in content for split in summary["splits"].values())


def test_a_dataset_in_which_nothing_was_kept_still_has_a_page(tmp_path):
    out = tmp_path / "out"
    write_finished(out, [Post("r", "tai chi", "rejected", "gone")])
    write_report(str(out))
    page = Page((out / "report" / "index.html").read_text())
    assert "No label was kept." in page.text
    assert "No video was found to overlap a target video." in page.text


def test_counts_that_do_not_add_up_leave_no_page(tmp_path):
    out = tmp_path / "out"
    write_finished(out, [Post("r", "tai chi", "rejected", "gone")])
    write_rows(str(out / "ledger.parquet"), [], LedgerRow)
    with pytest.raises(AccountingError):
        write_report(str(out))
    assert not (out / "report").exists()
