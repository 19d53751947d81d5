"""Texts that strangers wrote go through the whole command unharmed and are text, nothing else."""

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from formats.shards import read_shard
from formats.video import encode_frames
from labelspace.hashtags import relevant_hashtags
from pipelines.__main__ import main
from tests.pipelines.takedown_world import contents, picture

MARK = '<hostile onx="1">'
TEXTS = (
    "two\nlines\r\nand\ttabs",
    "'single' \"double\" `back` \\",
    "\u202eright to left\u202c \u0627\u0644\u0639\u0631\u0628\u064a\u0629 \u200b\ufeff|",
    "nul\0and\x1b[31mescape\x7f",
    "../../../etc/passwd",
    "/var/tagreel-owned",
    "..\\..\\windows\\C:con",
    "x" * 400,
    "\U0001f3ac" * 80 + "\u0301" * 80,
    "=cmd|' /C calc'!A0",
    "+1+1;-2@SUM(A1),\"=1\"",
    f"<script>alert(1)</script>{MARK}",
    f"'\">{MARK}</style></script></title>-->]]>",
    "{{7*7}} ${HOME} $(id) `id` %s %(x)s {0} %00 &lt;&amp;#60;",
    "[link](javascript:alert(1)) ![x](http://127.0.0.1/x.png) | a | b |",
    "---\nlicense: mit\n---\n# Heading",
    "v1.2.tar.gz #yoga.mp4",
    "NULL", "None", "nan", "1e400", "true",
)  # fmt: skip
LABELS = (
    f"yoga {MARK}",
    "../../escape room",
    '=cmd|"/c calc"!A0',
    "\u202eright turn",
    "film \U0001f3ac party",
    "[a](javascript:b) | c",
    "w" * 300 + " wide",
)
TAGS = tuple(min(relevant_hashtags(label)) for label in LABELS[:6])
# What a file or folder of a dataset is called; anything else was named by a stranger.
NAME = re.compile(
    r"\.?([A-Za-z]+(_[A-Za-z]+)*|part-[\da-f]+(-of-\d+)?|(shard|piece)-\d+|limits\+[a-z+]+)(\.[a-z]+)?"
)
SETTINGS = (
    "label.min_videos=1 split.splits=all,frames fetch.max_failed_fraction=0.1 run.workers=2 "
    "deduplicate.max_duplicate_fraction=0.9"
)


def uri(number: int) -> str:
    """Where the post's video is: half of the names are hostile, too."""
    hostile = f"v{number} '%2e%2e' $(id)<b>&;=\u202e\U0001f3ac.mp4"
    return f"./{hostile}" if number % 2 else f"./v{number}.mp4"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    posts = []
    for number, text in enumerate(TEXTS):
        encode_frames(str(folder / uri(number)), picture(number, 15), fps=15)
        tag = TAGS[number % len(TAGS)]
        names = {"video_id": f"{number}{text}", "uri": uri(number), "uploader": text}
        posts.append({**names, "licence": text, "caption": f"{text} #{tag}", "duration_s": text})
    encode_frames(str(folder / "target.mp4"), picture(0, 15), fps=15, crf=30)
    target = {"video_id": TEXTS[12], "uri": "target.mp4", "label": TEXTS[11], "subset": "val"}
    pd.DataFrame([target]).to_csv(folder / "bench.csv", index=False)
    (folder / "posts.jsonl").write_text("".join(f"{json.dumps(post)}\n" for post in posts))
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in LABELS))
    return folder


@pytest.fixture(scope="module")
def out(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = {path: path.read_bytes() for path in world.iterdir()}
    folder = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, folder) == 0
    # Nothing was written anywhere else.
    assert {path: path.read_bytes() for path in world.iterdir()} == before
    assert list(folder.parent.iterdir()) == [folder]
    return folder


def build(world: Path, out: Path) -> int:
    files = ("--catalog", str(world / "posts.jsonl"), "--targets", str(world / "bench.csv"))
    words = ("--seed", str(world / "labels.txt"), "--out", str(out), "--set", SETTINGS)
    return main(["dataset", *files, *words])


def rows(out: Path, table: str) -> list[dict[str, object]]:
    parts = sorted(out.glob(f"{table}/part-*.parquet"))
    return pd.concat([pd.read_parquet(part) for part in parts]).to_dict("records")


def samples(out: Path) -> Iterator[tuple[str, dict[str, object]]]:
    for shard in sorted(out.glob("shards/all/*.tar")):
        for clip_id, _, facts in read_shard(str(shard)):
            yield clip_id, facts


@pytest.mark.slow
def test_every_text_is_in_the_tables_as_it_was_written(out: Path) -> None:
    ids = {f"{number}{text}": (uri(number), text) for number, text in enumerate(TEXTS)}
    matches = rows(out, "matches")
    assert {r["video_id"]: (r["uri"], r["uploader"]) for r in matches} == ids
    assert {row["uploader"]: row["licence"] for row in matches} == {t: t for t in TEXTS}
    for table in ("videos", "matches"):
        assert {row["video_id"] for row in rows(out, table)} == set(ids)
    ledger = pd.read_parquet(out / "ledger.parquet").set_index("video_id")
    leak = f"0{TEXTS[0]}"
    assert ledger["fate"].to_dict() == {**dict.fromkeys(ids, "clip"), leak: "duplicate"}
    found = rows(out, "duplicates")
    assert {(row["video_id"], row["target_video_id"]) for row in found} == {(leak, TEXTS[12])}
    named = set(pd.read_parquet(out / "labels.parquet")["label"])
    assert named == {*LABELS[: len(TAGS)]}


@pytest.mark.slow
def test_every_text_is_in_the_shards_as_it_was_written(out: Path) -> None:
    found = dict(samples(out))
    assert all(re.fullmatch(r"[0-9a-f]{32}", clip_id) for clip_id in found)
    facts = {
        (one["video_id"], one["uploader"], one["licence"], one["uri"], one["label"])
        for one in found.values()
    }
    assert facts == {
        (f"{number}{text}", text, text, uri(number), LABELS[number % len(TAGS)])
        for number, text in enumerate(TEXTS)
        if number
    }


@pytest.mark.slow
def test_no_text_became_the_name_of_a_file(out: Path) -> None:
    assert strange_names(out) == []
    assert all(path.resolve().is_relative_to(out.resolve()) for path in out.rglob("*"))


def strange_names(out: Path) -> list[str]:
    names = {part for name in contents(out) for part in name.split("/")}
    return [name for name in names if not NAME.fullmatch(name) or name in TEXTS]


class Elements(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.mark.slow
def test_the_pages_show_the_texts_and_run_none(out: Path) -> None:
    pages = sorted(out.rglob("*.html"))
    assert out / "report" / "index.html" in pages
    for page in pages:
        parser = Elements()
        content = page.read_text(encoding="utf-8")
        parser.feed(content)
        tags = [tag for tag, _ in parser.elements]
        names = {name for _, attributes in parser.elements for name, _ in attributes}
        assert "hostile" not in tags and not {name for name in names if name.startswith("on")}
        assert "alert(1)" not in "".join(re.findall(r"<script.*?</script>", content, re.S))
        links = [
            v for _, attributes in parser.elements for n, v in attributes if n in ("href", "src")
        ]
        assert not [link for link in links if link and re.match(r"\s*(javascript|https?):", link)]
        assert "\0" not in content and "\x1b" not in content
    shown = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert html.escape(LABELS[0]) in shown


@pytest.mark.slow
def test_the_card_keeps_its_head_and_its_tables(out: Path) -> None:
    card = (out / "DATASET_CARD.md").read_text(encoding="utf-8")
    assert MARK not in card and "](javascript:" not in card and "](http://127" not in card
    assert "\0" not in card and "\x1b" not in card and "\u202e" not in card
    assert [line for line in card.splitlines() if line == "# Heading"] == []


@pytest.mark.slow
def test_what_was_built_is_verified_and_taken_down_by_hostile_names(
    world: Path, out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", "--out", str(out)]) == 0
    gone = {4, 9, 11, 12, 13, 1, 3}
    by_id, by_uploader, by_uri = {4, 11}, {9, 12, 13}, {1, 3}
    lines = [
        *(f"id:{number}{TEXTS[number]}" for number in sorted(by_id)),
        *(f"uploader:{TEXTS[number]}" for number in sorted(by_uploader)),
        *(f"uri:{uri(number)}" for number in sorted(by_uri)),
    ]
    (tmp_path / "ids.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    assert main(["takedown", "--out", str(out), "--ids", str(tmp_path / "ids.txt")]) == 0
    left = {facts["video_id"] for _, facts in samples(out)}
    assert left == {f"{n}{text}" for n, text in enumerate(TEXTS) if n and n not in gone}
    for name, content in contents(out).items():
        for number in gone:
            assert f"{number}{TEXTS[number]}".encode() not in content, name
    assert main(["verify", "--out", str(out)]) == 0
    # And they stay away.
    assert build(world, out) == 0
    assert {facts["video_id"] for _, facts in samples(out)} == left
    assert strange_names(out) == []
    capsys.readouterr()
