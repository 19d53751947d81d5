import json
from pathlib import Path

import pytest

from formats.tables import HashtagRow, read_rows
from pipelines.options import ExpandOptions, Options
from pipelines.run import Job, run_stage


def expand(folder: Path, labels: str, **options: object) -> tuple[set[str], dict[str, object]]:
    seeds = folder / "labels.txt"
    seeds.write_text(labels)
    job = Job(folder / "out", str(seeds), Options(expand=ExpandOptions(**options)))  # type: ignore[arg-type]
    run_stage("expand", job)
    rows = read_rows(job.path("hashtags.parquet"), HashtagRow)
    return {row.hashtag for row in rows}, json.loads(Path(job.path("expansion.json")).read_text())


def test_what_a_person_should_look_at_is_written_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = "surfing kite\nkite surf\nyoga\nriding or walking with horse\n"
    _, findings = expand(tmp_path, labels, max_hashtags_per_label=20, blocklist=("yoga",))
    shared = ["kite surf", "surfing kite"]
    assert findings["collisions"] == {"kitesurf": shared, "surfkite": shared}
    assert findings["truncated"] == {
        "riding or walking with horse": {"choices": 1392, "hashtags": 20}
    }
    assert findings["without_hashtags"] == ["yoga"]
    assert set(findings["tools"]) == {"stemmer", "nltk", "unicode"}  # type: ignore[call-overload]
    said = capsys.readouterr().err
    assert "1 labels have more than expand.max_hashtags_per_label = 20 spellings" in said
    assert "1 labels have no hashtag that is long enough and not blocked" in said


@pytest.mark.parametrize(
    ("parentheses", "hashtags"), [("drop", {"yoga"}), ("keep", {"hotyoga", "yogahot"})]
)
def test_remarks_are_dropped_or_kept(tmp_path: Path, parentheses: str, hashtags: set[str]) -> None:
    assert expand(tmp_path, "yoga (hot)\n", parentheses=parentheses)[0] == hashtags


def test_verbs_of_a_verbnet_folder_join_and_a_new_verb_makes_the_stage_run_again(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "verbnet"
    folder.mkdir()

    def write(*verbs: str) -> None:
        members = "".join(f'<MEMBER name="{verb}"/>' for verb in verbs)
        (folder / "x-1.xml").write_text(f"<VNCLASS><MEMBERS>{members}</MEMBERS></VNCLASS>")

    job = Job(tmp_path / "out", "verb_noun", Options(expand=ExpandOptions(verbnet=str(folder))))
    verbs = []
    for members in (("frobnicate",), ("frobnicate", "yodel")):
        write(*members)
        _, done = run_stage("expand", job)
        assert not done
        rows = list(read_rows(job.path("hashtags.parquet"), HashtagRow))
        verbs.append({row.label for row in rows if row.role == "verb"})
    assert verbs[1] - verbs[0] == {"yodel"}
    assert {"frobnicate", "catch"} <= verbs[0]
