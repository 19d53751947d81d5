import json
import subprocess
from pathlib import Path

import pytest

from formats.tables import LabelRow, write_rows
from labelspace.hashtags import LabelError
from labelspace.overlap import DEFINITIONS, overlap
from pipelines.__main__ import main
from pipelines.overlap import compare, describe, target_overlaps
from pipelines.run import JobError

ROOT = Path(__file__).parents[2]
OURS = ("yoga", "juggling balls", "drumming")
CLASSES = """verb_id,class_key,verbs
0,drumming,['drumming']
1,drum-on,['drum-on']
2,keep-aloft,"['keep-aloft', 'juggle-ball']"
3,sleep,['sleep']
"""
SAID = """{path}: 4 labels
  exact              1/4   25.0%  {exact}
  stems              1/4   25.0%  {stems}
  head               2/4   50.0%  {head}
  members            2/4   50.0%  {members}
  member_heads       3/4   75.0%  {member_heads}
  exact, covered: drumming
  exact, not covered: drum-on | keep-aloft | sleep"""


@pytest.fixture
def out(tmp_path: Path) -> Path:
    rows = [LabelRow(number, label, 9, 9) for number, label in enumerate(OURS)]
    write_rows(str(tmp_path / "out" / "labels.parquet"), rows, LabelRow)
    return tmp_path / "out"


@pytest.fixture
def classes(tmp_path: Path) -> str:
    path = tmp_path / "EPIC_verb_classes.csv"
    path.write_text(CLASSES)
    return str(path)


def test_the_command_prints_each_definition_with_its_number_and_sentence(
    out: Path, classes: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["overlap", "--out", str(out), classes, "kinetics"]) == 0
    said = capsys.readouterr().out
    epic, kinetics, written = said.strip().split("\n\n")
    assert epic == SAID.format(path=classes, **DEFINITIONS)
    assert kinetics.startswith("kinetics: 400 labels\n")
    assert "2/400    0.5%" in kinetics
    assert kinetics.splitlines()[-2] == "  exact, covered: juggling balls | yoga"
    assert kinetics.splitlines()[-1].count(" | ") == 9 and kinetics.endswith(" ...")
    assert written == f"the same with every label: {out}/report/overlap.json"


def test_the_report_holds_every_label_and_is_the_same_every_time(out: Path, classes: str) -> None:
    compare(out, [classes])
    report = out / "report" / "overlap.json"
    content = report.read_bytes()
    labels = ["drum-on", "drumming", "keep-aloft", "sleep"]

    def split(*covered: str) -> dict[str, object]:
        rest = [label for label in labels if label not in covered]
        share = len(covered) / len(labels)
        return {"covered": list(covered), "fraction": share, "not_covered": rest}

    assert json.loads(content) == {
        "definitions": dict(DEFINITIONS),
        "labels": 3,
        "targets": {
            classes: {
                "labels": labels,
                "overlap": {
                    "exact": split("drumming"),
                    "stems": split("drumming"),
                    "head": split("drum-on", "drumming"),
                    "members": split("drumming", "keep-aloft"),
                    "member_heads": split("drum-on", "drumming", "keep-aloft"),
                },
            }
        },
    }
    assert json.dumps(json.loads(content), indent=1, sort_keys=True) + "\n" == content.decode()
    compare(out, [classes])
    assert report.read_bytes() == content


def test_a_table_for_people_says_when_nothing_is_covered() -> None:
    assert describe("mine", overlap(["yoga"], ["sleep"])).splitlines()[-2:] == [
        "  exact, covered: none",
        "  exact, not covered: sleep",
    ]


@pytest.mark.parametrize(
    ("folder", "name", "message"),
    [
        ("out", "kinetcs", "no target list or file 'kinetcs' (did you mean kinetics?)"),
        ("empty", "kinetics", "holds no labels.parquet; run `make label` or `make dataset` first"),
    ],
)
def test_what_cannot_be_compared_is_one_sentence_and_leaves_no_file(
    out: Path, folder: str, name: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["overlap", "--out", str(out.parent / folder), name]) == 1
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert said.err.startswith("tagreel: ") and message in said.err
    assert not (out.parent / folder / "report").exists()


def test_the_jobs_own_targets_are_compared_by_their_labels(out: Path) -> None:
    targets = {"val": ["yoga", "yoga", "ski", ""], "bare": ["", ""], "all": iter(["drumming"])}
    found = target_overlaps(str(out), targets)
    assert found == {"all": overlap(OURS, ["drumming"]), "val": overlap(OURS, ["yoga", "ski"])}
    assert list(found) == ["all", "val"]
    with pytest.raises(LabelError, match="needs a letter or digit"):
        target_overlaps(str(out), {"val": ["--"]})
    with pytest.raises(JobError, match=r"holds no labels\.parquet"):
        target_overlaps(str(out / "nowhere"), targets)


def test_make_passes_every_label_list_to_the_command() -> None:
    words = ["make", "--dry-run", "overlap", "OUT=my out", "LABELS=kinetics a/b.csv"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    command = 'python -m pipelines overlap --out "my out" "kinetics" "a/b.csv"\n'
    # Run by make itself, make says where it enters and leaves.
    assert command in done.stdout
