from pathlib import Path

import pytest

from pipelines.judging.verdicts import read_verdicts
from pipelines.run import JobError

KNOWN = {"aa": "near", "bb": "far", "cc": "far"}


def read(folder: Path, content: str, encoding: str = "utf-8") -> dict[str, str]:
    path = folder / "verdicts.csv"
    path.write_bytes(content.encode(encoding))
    return read_verdicts(str(path), KNOWN)


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        ("pair,verdict\naa,same\nbb,different\ncc,\n", "utf-8"),
        ("pair;verdict;note\r\naa;Same;x\r\nbb; DIFFERENT ;\r\n\r\n", "utf-8-sig"),
        ('verdict\tpair\tvideo_id\n"same"\taa\t"a\nb"\ndifferent\tbb\t=1\n', "utf-8"),
    ],
)
def test_verdicts_are_read_as_a_spreadsheet_may_have_saved_them(tmp_path, content, encoding):
    assert read(tmp_path, content, encoding) == {"aa": "same", "bb": "different"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("pair,verdict\nzz,same\n", "line 2: 'zz' is no pair of this audit"),
        ("pair,verdict\n,same\n", "line 2: '' is no pair of this audit"),
        ("pair,verdict\naa,same\nbb,maybe\n", "line 3: 'maybe' is no verdict; write same,"),
        ("pair,verdict\naa,same\naa,\n", "line 3: the pair aa stands there twice"),
        ("pair,verdict\n\x1b[31m,same\n", r"line 2: '\x1b[31m' is no pair"),
        ("pair,said\naa,same\n", "needs the columns pair and verdict"),
        ("", "needs the columns pair and verdict"),
        ("pair,verdict\naa\n" + "x" * 200_000, "cannot be read as a CSV file of verdicts"),
    ],
)
def test_what_is_no_verdict_on_a_known_pair_is_one_clear_sentence(tmp_path, content, message):
    with pytest.raises(JobError) as caught:
        read(tmp_path, content)
    said = str(caught.value)
    assert message in said and said.startswith(f"{tmp_path}/verdicts.csv")
    assert "\n" not in said and "\x1b" not in said


def test_a_file_that_is_not_there_or_no_text_is_one_clear_sentence(tmp_path):
    with pytest.raises(JobError, match="cannot be read as a CSV file of verdicts"):
        read_verdicts(str(tmp_path / "gone.csv"), KNOWN)
    with pytest.raises(JobError, match="cannot be read as a CSV file of verdicts"):
        read(tmp_path, "pair,verdict\naa,same\n", "utf-16")
