"""A takedown that dies at any of its renames and deletions, and is run again (F2)."""

import shutil
from pathlib import Path

import pytest

from pipelines.__main__ import main
from tests.pipelines.takedown_world import build, contents, copy, crash_at, write_world

pytestmark = pytest.mark.trial

IDS = "yoga-1\nuri:surf0.mp4\nuploader:anna0\nid:leak-0\ntwin-1\nnobody\npage-0\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    (folder / "ids.txt").write_text(IDS)
    return folder


@pytest.fixture(scope="module")
def whole(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("jobs") / "out"
    assert build(world, out) == 0
    return out


def test_killed_anywhere_and_run_again_it_ends_the_same(
    world: Path, whole: Path, tmp_path: Path
) -> None:
    def words(out: Path) -> list[str]:
        return ["takedown", "--out", str(out), "--ids", str(world / "ids.txt")]

    taken = copy(whole, tmp_path / "taken" / "out")
    done = crash_at(0, words(taken))
    assert done.returncode == 0
    total = int(done.stderr.split()[-1])
    assert total > 40
    wanted = contents(taken)
    for number in range(1, total + 1, max(1, total // 24)):
        out = copy(whole, tmp_path / f"killed{number}" / "out")
        assert crash_at(number, words(out)).returncode == 137
        # Killed a second time while it makes good what the first kill left.
        crash_at(1 + number // 3, words(out))
        assert main(words(out)) == 0
        found = contents(out)
        assert {p for p in found | wanted if found.get(p) != wanted.get(p)} == set(), number
        shutil.rmtree(out)
