"""The part of the report page that shows removed videos beside the target videos they match."""

from pathlib import Path

from pipelines.judging.precision import read_precision, say_precision
from pipelines.reporting.markup import foreign, text
from pipelines.reporting.pairs import (
    Pair,
    draw_pairs,
    read_evidence,
    say_evidence,
    say_source,
    say_target,
    show_pair,
    worst_pairs,
)
from pipelines.reporting.repost_report import repost_fields
from pipelines.reporting.summary import Summary

_HEIGHT = 144


def pair_fields(folder: str, summary: Summary, most: int) -> dict[str, str]:
    """The fields of the page's section on duplicates, with so many pairs of each kind at most.

    Raises:
        JobError: what the audit measured is damaged.
        TableError: a table is missing or damaged.
    """
    pairs = draw_pairs(folder, worst_pairs(read_evidence(folder), most), height=_HEIGHT)
    figures = "".join(map(_figure, pairs))
    return {
        "duplicates_note": _note(summary, len(pairs)),
        "duplicates_audit": _audit(Path(folder)),
        "duplicates": f'<div class="pairs">{figures}</div>' if pairs else "",
        **repost_fields(folder, summary, most=most, height=_HEIGHT),
    }


def _note(summary: Summary, shown: int) -> str:
    sets = summary.duplicates.target_sets.items()
    unseen = "".join(f" {foreign(n)}: {said}." for n, c in sets if (said := c.say_unseen()))
    if not summary.duplicates.count:
        return f"No video was found to overlap a target video.{unseen}"
    by_target = ", ".join(
        f"{count:,} of {foreign(target)}" for target, count in summary.duplicates.by_target.items()
    )
    by_chance = text(summary.duplicates.by_chance() or "", limit=400)
    removed = f"Videos removed: {summary.duplicates.count:,} ({by_target}).{unseen} {by_chance}"
    if not shown:
        return removed
    return (
        f"{removed} Here are the least certain pairs ({shown:,} shown), worst first, at their "
        "closest frames: the source on the left, the target on the right, turned as it matched. "
        "The dashed line is the part that was compared; the distance counts differing bits out "
        "of 256."
    )


def _audit(out: Path) -> str:
    found = read_precision(out)
    if found is None:
        return ""
    lines = "".join(f"<li>{text(line, limit=400)}</li>" for line in say_precision(found, out))
    return f'<p>Judged by eye, how many removals were right:</p><ul class="audit">{lines}</ul>'


def _figure(pair: Pair) -> str:
    return (
        f"<figure>{show_pair(pair)}<figcaption>{say_evidence(pair.row)}"
        f'<span class="sides"><span>{say_source(pair)}</span><span>{say_target(pair)}</span>'
        "</span></figcaption></figure>"
    )
