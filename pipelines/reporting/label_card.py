"""The card on the label space: what was kept and left out, and what of targets it covers."""

from collections.abc import Sequence
from pathlib import Path

from formats.tables import LabelRow, read_rows
from pipelines.benchmarks.target_overlap import USED, count_covered
from pipelines.label_manifest import NO_VIDEO, WHY, SpaceFacts
from pipelines.reporting.markdown import escape, table
from pipelines.reporting.summary import Summary, dataset_options, matched_labels
from pipelines.yields import counted

_ENDS = 20


def describe_space(folder: str, summary: Summary, facts: SpaceFacts) -> str:
    """The card's section on the label space.

    Raises:
        TableError: a table is missing or damaged.
    """
    rows = read_rows(str(Path(folder) / "labels.parquet"), LabelRow)
    ranked = sorted(rows, key=lambda row: (-row.videos, row.label_id))
    min_videos = dataset_options(folder).label.min_videos
    skew = (
        ""
        if facts.gini is None
        else f" The Gini coefficient of videos per label is {facts.gini:.2f} (0: all equally many)."
    )
    intro = (
        f"Seed labels found in the catalog: {summary.labels_matched:,}; "
        f"{summary.labels_kept:,} with {counted(min_videos, 'video')} or more were kept, "
        f"{summary.labels_dropped:,} left out. "
        "`labels.parquet` and every MANIFEST.json list them in the order of `label_id`; "
        f"`labels.json` says what they depend on.{skew}"
    )
    return "\n\n".join(
        [intro, *_kept(ranked), *_left_out(folder, summary, facts, {row.label for row in ranked})]
    )


def describe_covered(folder: str) -> list[str]:
    """Paragraphs on how many labels of each target set the label space covers; none without labels.

    Raises:
        TableError: a target's table is damaged.
    """
    covered = count_covered(folder)
    if not covered:
        return []
    rows = [
        (
            escape(target),
            f"{total:,}",
            *(f"{count:,} ({count / total:.0%})" for count in by.values()),
        )
        for target, (total, by) in covered.items()
    ]
    head = ("Target", "Its labels:", *(f"{name}:" for name in USED))
    definitions = "\n".join(f"- *{name}*: {sentence}" for name, sentence in USED.items())
    return [
        "Labels of a target that the label space covers, by definition:",
        table(head, rows),
        definitions,
    ]


def _kept(ranked: Sequence[LabelRow]) -> list[str]:
    rows = [(escape(row.label), f"{row.videos:,}", f"{row.assigned:,}") for row in ranked]
    head = ("Label", "Videos:", "Of them it trains:")
    if len(rows) <= 2 * _ENDS:
        return [table(head, rows)]
    return [
        f"The {_ENDS} largest:",
        table(head, rows[:_ENDS]),
        f"The {_ENDS} smallest:",
        table(head, rows[-_ENDS:]),
    ]


def _left_out(folder: str, summary: Summary, facts: SpaceFacts, kept: set[str]) -> list[str]:
    counts = facts.count_reasons(summary.labels_dropped)
    if not counts:
        return []
    reasons = facts.reasons()
    posts = sorted(matched_labels(folder).items(), key=lambda item: (-item[1], item[0]))
    labels = [
        (escape(label), f"{count:,}", escape(reasons.get(label, NO_VIDEO)))
        for label, count in posts
        if label not in kept
    ]
    by_reason = [(escape(name), WHY[name], f"{count:,}") for name, count in counts.items()]
    return [
        "Left out, by reason:",
        table(("Reason", "Meaning", "Labels:"), by_reason),
        f"Those with the most posts that matched (at most {_ENDS} shown):",
        table(("Label", "Posts:", "Reason"), labels[:_ENDS]),
    ]
