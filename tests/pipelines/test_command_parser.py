import pytest

from pipelines.command_parser import CommandParser


def test_a_wrong_word_is_one_line_that_names_the_variable_of_make(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parser = CommandParser()
    parser.add_argument("--rows", type=int)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--rows", "abc"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "tagreel: N (argument --rows): invalid int value: 'abc'\n"
