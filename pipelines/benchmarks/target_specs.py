"""What stands for a target set on the command line: a table's path, or `NAME:FOLDER`."""

import os
from typing import NamedTuple

_NUMBERED = ("ucf101", "hmdb51")
NAMES = (
    "kinetics",
    *(f"{name}{suffix}" for name in _NUMBERED for suffix in ("", "-2", "-3")),
    "something-something-v1",
    "epic-kitchens-55",
    "epic-kitchens-100",
)
"""The benchmarks that `pipelines.benchmarks.target_benchmarks` reads."""
_LISTS = (".csv", ".txt")


class Spec(NamedTuple):
    """A benchmark, and the folder that its files lie in."""

    name: str
    folder: str


def read_spec(text: str) -> Spec | None:
    """The benchmark that is meant; None for the path of a table.

    >>> read_spec("ucf101-2:/data/ucf"), read_spec("bench.csv")
    (Spec(name='ucf101-2', folder='/data/ucf'), None)
    """
    name, colon, folder = text.partition(":")
    return Spec(name, folder) if colon and name in NAMES else None


def files_of(text: str) -> list[str]:
    """The files that say which videos the set has: the table, or the authors' lists."""
    spec = read_spec(text)
    if spec is None:
        return [text]
    found = (
        os.path.join(folder, name)
        for folder, _, names in os.walk(spec.folder)
        for name in names
        if name.lower().endswith(_LISTS)
    )
    return sorted(found)
