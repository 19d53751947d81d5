"""How much of a target's label list the label space of a finished job covers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from formats.storage import write_text
from formats.tables import LabelRow, read_rows
from labelspace.overlap import DEFINITIONS, Overlap, overlap
from labelspace.target_labels import read_target_labels
from pipelines.run import JobError

LABELS = "labels.parquet"
REPORT = "report/overlap.json"
_EXAMPLES = 10


def compare(out: Path, lists: Sequence[str]) -> dict[str, Overlap]:
    """The overlap with each target list, by its name or path; written to `report/overlap.json`.

    Raises:
        JobError: the job has no label space yet.
        SeedError: a list cannot be read.
    """
    labels = _read_labels(out)
    found = {name: overlap(labels, read_target_labels(name)) for name in lists}
    content = {
        "definitions": dict(DEFINITIONS),
        "labels": len(labels),
        "targets": {name: _as_json(covered) for name, covered in found.items()},
    }
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False)
    write_text(str(out / REPORT), text + "\n")
    return found


def target_overlaps(folder: str, target_labels: Mapping[str, Iterable[str]]) -> dict[str, Overlap]:
    """The overlap with the labels of the job's own target sets, by set, sorted.

    A target set without a label is left out: it has no label list to cover.

    Raises:
        JobError: the job has no label space yet.
        LabelError: a label of a target holds no letter or digit.
    """
    labels = _read_labels(Path(folder))
    wanted = {name: set(filter(None, found)) for name, found in sorted(target_labels.items())}
    return {name: overlap(labels, found) for name, found in wanted.items() if found}


def describe(name: str, found: Overlap) -> str:
    """The overlap with one target list as a table for people, with examples of both kinds."""
    total = len(found.targets)
    width = max(map(len, DEFINITIONS))
    lines = [f"{name}: {total:,} labels"]
    for definition, sentence in DEFINITIONS.items():
        covered = len(found.covered(definition))
        share = found.fractions()[definition]
        lines.append(f"  {definition:<{width}}  {covered:>6,}/{total:,}  {share:>6.1%}  {sentence}")
    tightest = next(iter(DEFINITIONS))
    for kind, labels in (
        ("covered", found.covered(tightest)),
        ("not covered", found.uncovered(tightest)),
    ):
        more = " ..." if len(labels) > _EXAMPLES else ""
        lines.append(f"  {tightest}, {kind}: {' | '.join(labels[:_EXAMPLES]) or 'none'}{more}")
    return "\n".join(lines)


def _read_labels(out: Path) -> list[str]:
    path = out / LABELS
    if not path.exists():
        raise JobError(f"{out}: holds no {LABELS}; run `make label` or `make dataset` first")
    return [row.label for row in read_rows(str(path), LabelRow)]


def _as_json(found: Overlap) -> dict[str, object]:
    shares = found.fractions()
    return {
        "labels": list(found.targets),
        "overlap": {
            name: {
                "covered": list(found.covered(name)),
                "fraction": shares[name],
                "not_covered": list(found.uncovered(name)),
            }
            for name in DEFINITIONS
        },
    }
