from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.trials.small_world import SmallWorld, finish, small_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallWorld]:
    with small_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(scope="module")
def whole(world: SmallWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    code, _, complained = finish(world.command(out))
    assert code == 0, complained
    return out
