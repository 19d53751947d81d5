import base64
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from training.evaluate import Predictions
from training.linear import Choice
from training.options import Options
from training.reporting import protocol_of
from training.results import Measured, Said, Where, judge, write_measured, write_summary
from training.transfer_pages import TEMPLATE, confusion_picture, write_overview, write_page
from training.truth import Truth

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "$title ${body} &lt;b&gt;",
    "日本語 \U0001f938 $x^2$ \\frac{",
)
CLIP_IDS = tuple(f"{i:03d}" for i in range(40))


class Elements(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, page: str):
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def measure(target: str = "discs", split: str = "val") -> tuple[Measured, list[dict[str, object]]]:
    rng = np.random.default_rng(0)
    label_id_V = rng.integers(0, 4, 40)
    truth = Truth("d", HOSTILE, {c: (int(i),) for c, i in zip(CLIP_IDS, label_id_V, strict=True)},
                  False)  # fmt: skip
    said = {}
    for name, noise in (("pre-trained", 0.5), ("random", 3.0)):
        scores_VC = np.eye(4)[label_id_V] + rng.normal(0, noise, (40, 4))
        choices = (Choice({"C": 0.1}, 0.5, 0.25, taken=True), Choice({"C": 1.0}, 0, 0, False, True))
        predictions = Predictions(scores_VC.astype(np.float32), CLIP_IDS)
        said[name] = Said("w", predictions, choices)
    where = Where("linear", target, split, {"train": "a", split: "b"})
    return judge(where, truth, said, protocol_of(Options()))


def test_hostile_labels_are_shown_as_they_are_and_do_nothing(tmp_path: Path) -> None:
    measured, _ = measure('<b onclick="x">')
    write_page(str(tmp_path), measured)
    write_overview(str(tmp_path), "linear", [measured])
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) == 2
    for page in pages:
        elements = Elements(page.read_text())
        assert not {"script", "iframe", "object"} & {tag for tag, _ in elements.found}
        assert not [1 for _, attributes in elements.found for a in attributes if a[:2] == "on"]
        assert '<b onclick="x">' in elements.text
    shown = Elements((tmp_path / "linear" / '<b onclick="x">.html').read_text())
    assert all(label in shown.text for label in HOSTILE)


def test_a_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    measured, _ = measure()
    write_page(str(tmp_path), measured)
    page = (tmp_path / "linear" / "discs.html").read_text()
    sources = [a["src"] or "" for _, a in Elements(page).found if "src" in a]
    assert len(sources) == 2
    for source in sources:
        kind, _, data = source.partition(",")
        assert kind == "data:image/png;base64"
        assert base64.b64decode(data)[:8] == b"\x89PNG\r\n\x1a\n"
    assert not re.search(r"https?://|url\(|@import", page)


def test_pages_have_the_colours_of_a_datasets_report_also_for_links() -> None:
    report = (TEMPLATE.parents[1] / "pipelines" / "report.html").read_text()
    shared = ("paper", "panel", "ink", "muted", "line", "accent")
    ours, theirs = (
        [re.findall(rf"--{name}: (#\w+)", page) for name in shared]
        for page in (TEMPLATE.read_text(), report)
    )
    assert ours == theirs
    assert "\na { color: var(--accent);" in TEMPLATE.read_text()


def test_a_page_shows_every_measure_choice_and_label(tmp_path: Path) -> None:
    measured, _ = measure()
    write_page(str(tmp_path), measured)
    text = Elements((tmp_path / "linear" / "discs.html").read_text()).text
    scores = measured.networks["pre-trained"].scores
    for share in (scores.top1, scores.top5, scores.mean_ap):
        assert f"{share.value:.1%} [{100 * share.low:.1f}, {100 * share.high:.1f}]" in text
    for words in ("difference", "overflows", "taken", "evaluate.holdout_fraction"):
        assert words in text
    for own in scores.per_label:
        assert f"{own.average_precision:.1%}" in text


def test_the_overview_leads_to_every_target_and_split(tmp_path: Path) -> None:
    results = [measure("a b")[0], measure("epic", "S1")[0]]
    write_overview(str(tmp_path), "linear", results)
    elements = Elements((tmp_path / "linear.html").read_text())
    links = [a["href"] for tag, a in elements.found if tag == "a"]
    assert links == ["linear/a%20b.html", "linear/epic-S1.html"]


def test_the_json_is_whole_and_readable(tmp_path: Path) -> None:
    measured, rows = measure()
    write_measured(str(tmp_path), measured, rows)
    write_summary(str(tmp_path), "linear", [measured])
    whole = json.loads((tmp_path / "linear" / "discs.json").read_text())
    labels = [own["label"] for own in whole["networks"]["random"]["scores"]["per_label"]]
    assert labels == list(HOSTILE)
    assert [video["clip_id"] for video in whole["videos"]] == list(CLIP_IDS)
    (summary,) = json.loads((tmp_path / "linear.json").read_text())["targets"]
    assert summary["networks"]["random"]["top1"] == whole["networks"]["random"]["scores"]["top1"]


def test_the_same_confusion_gives_the_same_picture() -> None:
    one, other = (measure()[0].networks["random"].scores for _ in range(2))
    assert confusion_picture(one) == confusion_picture(other)
    better = measure()[0].networks["pre-trained"].scores
    assert confusion_picture(better) != confusion_picture(one)


@pytest.mark.parametrize(("split", "name"), [("val", "discs"), ("S1", "discs-S1")])
def test_the_usual_split_is_not_named(split: str, name: str) -> None:
    assert measure(split=split)[0].name == name
