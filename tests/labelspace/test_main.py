import subprocess
import sys

import pytest

from labelspace.__main__ import main


def test_the_command_prints_the_papers_example() -> None:
    command = [sys.executable, "-m", "labelspace", "catching fish"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "#catchfish\n#catchingfish\n#fishcatch\n#fishcatching\n"


def test_forms_and_limits_are_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dancing bears", "--forms", "stem", "--max-hashtags", "1"]) == 0
    out, err = capsys.readouterr()
    assert out == "#dancbear\n"
    assert err == (
        "'dancing bears' has more spellings than the 1 printed; "
        "given up first: word orders far from its own\n"
    )


def test_a_remark_in_parentheses_is_expanded_on_request(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["yoga (hot)", "--forms", "original", "--keep-parentheses"]) == 0
    assert capsys.readouterr().out == "#hotyoga\n#yogahot\n"


@pytest.mark.parametrize("arguments", [["--", "!?"], ["fish", "--forms", "root"]])
def test_a_label_that_cannot_be_expanded_is_an_error_in_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_a_limit_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fish", "--max-hashtags", "0"])
    assert "--max-hashtags must be at least 1, got 0" in capsys.readouterr().err
