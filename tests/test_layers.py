"""The house rules that a reader may rely on: who imports whom, and which library lives where."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("labelspace", "dedup", "formats", "pipelines", "training")
LEAVES = {"labelspace", "dedup", "formats"}
MAY_IMPORT = {
    "labelspace": set(),
    "dedup": set(),
    "formats": set(),
    "pipelines": LEAVES,
    "training": {"formats"},
}
HOMES = {
    "apache_beam": "pipelines",
    "torch": "training",
    "av": "training",
    "webdataset": "training",
    "sklearn": "training",
    "nltk": "labelspace",
    "faiss": "dedup",
    "imagehash": "dedup",
    "ffmpeg": "formats",
    "imageio_ffmpeg": "formats",
    "urllib3": "pipelines",
    "protego": "pipelines",
}
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_its_layer_may(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    names = imported(path)
    assert names & set(PACKAGES) <= MAY_IMPORT[package] | {package}
    strangers = {name for name in names if HOMES.get(name, package) != package}
    assert not strangers


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_is_one_idea_long(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 300


def test_packages_hold_no_code_of_their_own() -> None:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            body = ast.parse(path.read_text()).body
            assert all(isinstance(node, ast.ImportFrom | ast.Expr) for node in body), path


def test_a_stage_is_one_word_in_the_makefile_and_one_module() -> None:
    from pipelines.run import STAGES

    makefile = (ROOT / "Makefile").read_text()
    assert f"STAGES := {' '.join(STAGES)}\n" in makefile
    assert all((ROOT / "pipelines" / f"{stage}.py").exists() for stage in STAGES)
