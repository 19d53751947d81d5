"""`labels.json`: what a label space depends on, how skewed it is, what it left out and why."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from formats.settings import significant
from formats.storage import write_text
from labelspace.hashtags import word_tools
from labelspace.space import LabelSpace, cumulative_curve, gini
from pipelines.run import Job, JobError

MANIFEST = "labels.json"
NO_VIDEO = "no_video"
WHY: Mapping[str, str] = {
    "label_subset": "not drawn by label.label_subset",
    "max_labels": "beyond the label.max_labels with the most videos",
    "min_videos": "fewer videos than label.min_videos",
    NO_VIDEO: "no video of theirs was stored, or all were duplicates",
}
"""Why a label is not in the label space; what came furthest first."""


@dataclass(frozen=True)
class SpaceFacts:
    """What the report and the card say of a label space, read off its manifest."""

    tools: Mapping[str, str]
    """Versions of what words, and the tables' bytes, depend on."""
    gini: float | None
    """Of the videos that carry each label; None for a space without a label."""
    dropped: tuple[tuple[str, int, str], ...]
    """Label, videos, and the limit that left it out; most videos first."""

    def reasons(self) -> dict[str, str]:
        """By label left out, the limit that left it out."""
        return {label: reason for label, _, reason in self.dropped}

    def count_reasons(self, labels_dropped: int) -> dict[str, int]:
        """Labels left out by reason, in the order of `WHY`; they add up to `labels_dropped`.

        Labels none of whose videos got as far as the label space are under `no_video`.
        """
        counts = Counter(reason for *_, reason in self.dropped)
        counts[NO_VIDEO] = labels_dropped - counts.total()
        return {reason: counts[reason] for reason in WHY if counts[reason]}


def settings_of(job: Job) -> dict[str, object]:
    """What of a job its label space depends on, besides the videos."""
    options = job.options
    return {
        "seed_set": Path(job.seed).name,
        "expand": significant(options.expand),
        "label": significant(options.label),
        "rng_seed": options.run.rng_seed,
        "tools": word_tools() | {"pyarrow": pa.__version__},
    }


def write_space_manifest(
    assigned: Mapping[str, int], space: LabelSpace, path: str, settings: Mapping[str, object]
) -> str:
    """Write a label space's manifest; `assigned` has the videos that train each label.

    Its skew is that of the videos that carry each label (paper Fig. 3).
    """
    skew = {
        "gini": gini(space.videos) if space.labels else None,
        "cumulative_curve": cumulative_curve(space.videos) if space.labels else [],
    }
    manifest = {
        **settings,
        "labels": len(space.labels),
        "videos": sum(assigned.values()),
        "skew": skew,
        "dropped": [
            {"label": label, "videos": videos, "reason": reason}
            for label, videos, reason in space.dropped
        ],
    }
    write_text(path, json.dumps(manifest, ensure_ascii=False, indent=1, sort_keys=True) + "\n")
    return path


def read_space_facts(folder: str) -> SpaceFacts:
    """What the manifest of a finished label stage says.

    Raises:
        JobError: there is no manifest, or it is damaged.
    """
    path = Path(folder) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        dropped = tuple((row["label"], row["videos"], row["reason"]) for row in content["dropped"])
        return SpaceFacts(content["tools"], content["skew"]["gini"], dropped)
    except FileNotFoundError as error:
        raise JobError(f"{path}: not there; run `make label` or `make dataset` first") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: damaged; delete it and run `make label` again") from error
