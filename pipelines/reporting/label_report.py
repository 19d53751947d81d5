"""The report page on the label space: its skew, what it left out, what of targets it covers."""

from collections import defaultdict
from collections.abc import Sequence

from formats.tables import LabelRow
from pipelines.benchmarks.target_overlap import USED, count_covered
from pipelines.label_manifest import WHY, SpaceFacts, read_space_facts
from pipelines.reporting.markup import foreign, percent, table, text
from pipelines.reporting.plots import (
    cumulative_shares,
    draw_cumulative_share,
    draw_videos_per_label,
)
from pipelines.reporting.summary import Summary, dataset_options
from pipelines.yields import counted

_TABLE_END = 12
_EXAMPLES = 5


def label_fields(folder: str, labels: Sequence[LabelRow], summary: Summary) -> dict[str, str]:
    """The fields of the page's section on the label space.

    Raises:
        JobError: the label space has no manifest.
        TableError: a target's table is damaged.
    """
    facts = read_space_facts(folder)
    min_videos = dataset_options(folder).label.min_videos
    return {
        **_kept(labels, summary, min_videos),
        "gini": "" if facts.gini is None else f"Gini coefficient: {facts.gini:.2f}.",
        "labels_dropped": _left_out(summary, facts),
        "labels_overlap": _covered(folder),
    }


def _kept(labels: Sequence[LabelRow], summary: Summary, min_videos: int) -> dict[str, str]:
    ranked = sorted(labels, key=lambda row: (-row.videos, row.label_id))
    counts = [row.videos for row in ranked]
    if not counts:
        nothing = '<p class="none">No label was kept.</p>'
        empty = dict.fromkeys(("labels_note", "tail_plot", "share_plot"), "")
        return empty | {"labels_table": nothing}
    fifth = max(1, len(counts) // 5)
    found, were = summary.labels_matched, "was" if summary.labels_matched == 1 else "were"
    are = "is" if len(counts) == 1 else "are"
    largest_hold = "largest holds" if fifth == 1 else f"{fifth:,} largest hold"
    note = (
        f"{counted(found, 'seed label')} {were} found in the catalog, {len(counts):,} {are} "
        f"kept ({counted(min_videos, 'video')} or more). The {largest_hold} "
        f"{cumulative_shares(counts)[fifth]:.0%} of the videos; the median label has "
        f"{counts[len(counts) // 2]:,}. A video counts for each of its labels."
    )
    return {
        "labels_note": note,
        "tail_plot": draw_videos_per_label(counts, min_videos=min_videos),
        "share_plot": draw_cumulative_share(counts),
        "labels_table": _labels_table(ranked),
    }


def _labels_table(ranked: Sequence[LabelRow]) -> str:
    rows = [
        (f"{rank:,}", foreign(row.label), f"{row.videos:,}", f"{row.assigned:,}")
        for rank, row in enumerate(ranked, 1)
    ]
    half = _TABLE_END if len(rows) > 2 * _TABLE_END else -(-len(rows) // 2)
    ends = [part for part in (rows[:half], rows[half:][-half:]) if part]
    head = ("#:n", "Label", "Videos:n", "Trains:n")
    return f'<div class="columns">{"".join(table(head, end) for end in ends)}</div>'


def _left_out(summary: Summary, facts: SpaceFacts) -> str:
    counts = facts.count_reasons(summary.labels_dropped)
    if not counts:
        return ""
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for label, _, reason in facts.dropped:
        labels[reason].append(label)
    rows = [
        (
            text(WHY[reason]),
            f"{count:,}",
            ", ".join(foreign(label, 40) for label in labels[reason][:_EXAMPLES]),
        )
        for reason, count in counts.items()
    ]
    head = ("Why", "Labels:n", "The largest of them")
    return f"<h3>Labels left out</h3>{table(head, rows)}"


def _covered(folder: str) -> str:
    covered = count_covered(folder)
    if not covered:
        return ""
    rows = [
        (
            foreign(target, 40),
            f"{total:,}",
            *(f"{count:,} ({percent(count, total)})" for count in by.values()),
        )
        for target, (total, by) in covered.items()
    ]
    head = ("Target", "Its labels:n", *(f"{name}:n" for name in USED))
    words = " ".join(f"<b>{name}</b>: {text(sentence)}" for name, sentence in USED.items())
    return (
        "<h3>Labels of the targets that the label space covers</h3>"
        f'<p class="note">{words}</p>{table(head, rows)}'
    )
