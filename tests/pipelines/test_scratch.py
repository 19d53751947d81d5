import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipelines.scratch import own_scratch


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The machine's temporary folder."""
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    return place


def test_all_that_is_temporary_lies_in_one_folder_that_goes(tmp_path: Path, place: Path) -> None:
    code = "import tempfile; print(tempfile.mkdtemp())"
    with own_scratch(tmp_path / "out"):
        (own,) = place.iterdir()
        assert Path(tempfile.mkdtemp()).parent == own
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert Path(said.stdout.strip()).parent == own
    assert list(place.iterdir()) == []
    assert (tempfile.tempdir, os.environ["TMPDIR"]) == (str(place), "/elsewhere")


def test_what_a_killed_run_on_the_same_folder_left_goes_and_nobody_elses(
    tmp_path: Path, place: Path
) -> None:
    code = (
        "import os, sys, tempfile; from pathlib import Path; "
        "from pipelines.scratch import own_scratch\n"
        "with own_scratch(Path(sys.argv[1])): tempfile.mkdtemp(); os._exit(9)"
    )
    for name in ("out", "other"):
        words = [sys.executable, "-c", code, str(tmp_path / name)]
        environment = {**os.environ, "TMPDIR": str(place)}
        done = subprocess.run(words, cwd=Path(__file__).parents[2], env=environment, check=False)
        assert done.returncode == 9
    (place / "mine").mkdir()
    assert len(list(place.iterdir())) == 3
    with own_scratch(tmp_path / "out"):
        assert len(list(place.iterdir())) == 3
    assert len(list(place.iterdir())) == 2 and (place / "mine").exists()
