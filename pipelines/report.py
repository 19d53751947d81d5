"""The report page: one HTML file without scripts or references, opened straight from disk.

Labels, ids and hashtags come from strangers: nothing of theirs gets into the page but as text.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from string import Template

import pyarrow.compute as pc

from formats.storage import write_text
from formats.tables import Fate, LabelRow, LedgerRow, read_rows
from pipelines.reporting.card import read_snippet
from pipelines.reporting.empty_splits import why_empty
from pipelines.reporting.label_report import label_fields
from pipelines.reporting.markup import byte_size, duration, foreign, meter, percent, table, text
from pipelines.reporting.pair_report import pair_fields
from pipelines.reporting.reasons import advice_on
from pipelines.reporting.recall_report import recall_section
from pipelines.reporting.stills import ClipStrip, LabelStrips, Still, label_strips
from pipelines.reporting.summary import (
    Summary,
    dataset_options,
    read_columns,
    summarise,
    write_summary,
)
from pipelines.reporting.yield_report import yield_section
from pipelines.yields import counted

MAX_LABELS, CLIPS_PER_LABEL = 30, 4

# Of the videos not sampled, those that a limit on labels left out.
_LABEL_NOT_SAMPLED = "label_not_sampled"
# Of the duplicates, those of another video of the source.
_REPOST = "repost"
# (what is left, the fates lost on the way to it): the catalog minus all of them is the clips.
_STEPS: Sequence[tuple[str, Sequence[str]]] = (
    ("matched", ("unreadable", "merged", "filtered", "unmatched")),
    ("fetched", (Fate.REJECTED, Fate.RETRY_LATER)),
    ("not duplicate", (Fate.DUPLICATE, _REPOST)),
    ("labelled", (Fate.LABEL_TOO_SMALL, _LABEL_NOT_SAMPLED)),
    ("in a clip", (Fate.NOT_SAMPLED, Fate.TAKEN_DOWN)),
)
_LOST_WORDS = {
    "unreadable": "unreadable",
    "merged": "repeated URIs",
    "filtered": "left out by a filter",
    "unmatched": "without a relevant hashtag",
    Fate.REJECTED: "rejected",
    Fate.RETRY_LATER: "to try again later",
    Fate.DUPLICATE: "duplicates of a target video",
    _REPOST: "re-posts of another video",
    Fate.LABEL_TOO_SMALL: "with too rare a label",
    _LABEL_NOT_SAMPLED: "with a label that was not sampled",
    Fate.NOT_SAMPLED: "not sampled into a split",
    Fate.TAKEN_DOWN: "taken down",
}


def write_report(folder: str) -> None:
    """Write `report/summary.json` and `report/index.html` of a finished dataset.

    Where a frame of a target video is not to be had any more, the page says so in its place.

    Raises:
        AccountingError: the fates do not add up to the catalog.
        JobError: a stage is not done, or the label space has no manifest.
    """
    summary = summarise(folder)
    write_summary(folder, summary)
    shown = next(iter(summary.splits))
    strips = label_strips(folder, shown, max_labels=MAX_LABELS, per_label=CLIPS_PER_LABEL)
    most_pairs = dataset_options(folder).report.duplicate_pairs
    labels = list(read_rows(str(Path(folder) / "labels.parquet"), LabelRow))
    template = Template(files("pipelines").joinpath("report.html").read_text(encoding="utf-8"))
    page = template.substitute(
        name=text(Path(folder).resolve().name),
        lead=_lead(summary),
        facts=_facts(summary),
        funnel=_funnel(_lost(folder, summary), summary.catalog_rows),
        reasons=_reasons(summary),
        hosts=yield_section(folder),
        splits=_splits(folder, summary),
        clips_note=f"{_sentence(strips, len(labels))} Split <i>{text(shown)}</i>, chosen by hash.",
        clips="".join(map(_label, strips)),
        stages=_stages(summary),
        ids=_ids(summary),
        snippet=text(read_snippet(shown), limit=1000),
        **label_fields(folder, labels, summary),
        duplicates_recall=recall_section(folder),
        **pair_fields(folder, summary, most_pairs),
    )
    write_text(str(Path(folder) / "report" / "index.html"), page)


def _lead(summary: Summary) -> str:
    return (
        f"{counted(summary.labels_kept, 'label')}, found by their hashtags in "
        f"{counted(summary.catalog_rows, 'post')} of public video. Dataset id "
        f'<span class="id">{text(summary.dataset_id[:16])}</span>.'
    )


def _facts(summary: Summary) -> str:
    clips = summary.fates[Fate.CLIP]
    whole = max(summary.splits.values(), key=lambda split: split.minutes)
    share = clips / summary.catalog_rows if summary.catalog_rows else 0
    facts = (
        ("Videos", f"{clips:,}", f"{share:.0%} of the catalog"),
        ("Footage", duration(whole.minutes * 60), f"{whole.clips:,} clips"),
        ("Labels", f"{summary.labels_kept:,}", f"{summary.labels_dropped:,} left out"),
        ("Duplicates removed", f"{summary.duplicates.count:,}", "of target videos"),
        ("Not stored", f"{summary.fates[Fate.REJECTED]:,}", "matches rejected"),
        ("Time", duration(summary.seconds), f"in {len(summary.stages)} stages"),
    )
    return "".join(
        f"<div><dt>{name}</dt><dd>{value}<small>{note}</small></dd></div>"
        for name, value, note in facts
    )


def _lost(folder: str, summary: Summary) -> dict[str, int]:
    """The summary's fates, re-posts apart, and those that the label stage did not sample."""
    count = 0
    for batch in read_columns(folder, "ledger.parquet", LedgerRow, ["fate", "stage"]):
        not_sampled = pc.equal(batch.column("fate"), str(Fate.NOT_SAMPLED))
        by_label = pc.equal(batch.column("stage"), "label")
        count += pc.sum(pc.and_(not_sampled, by_label)).as_py() or 0
    not_sampled_later = summary.fates[Fate.NOT_SAMPLED] - count
    reposts = summary.duplicates.reposts or 0
    return {
        **summary.fates,
        Fate.DUPLICATE: summary.fates[Fate.DUPLICATE] - reposts,
        _REPOST: reposts,
        _LABEL_NOT_SAMPLED: count,
        Fate.NOT_SAMPLED: not_sampled_later,
    }


def _funnel(fates: Mapping[str, int], total: int) -> str:
    left = total
    rows = [_funnel_step("catalog rows", left, total)]
    for name, away in _STEPS:
        lost = {fate: fates[fate] for fate in away if fates.get(fate)}
        before, left = left, left - sum(lost.values())
        rows += [_funnel_gap(before, left, total, lost), _funnel_step(name, left, total)]
    return "".join(rows)


def _funnel_step(name: str, count: int, total: int) -> str:
    return (
        f'<li class="step"><span>{name}</span><span class="bar"><span class="box" '
        f'style="width:{percent(count, total)}"></span></span>'
        f"<b>{count:,}<small>{percent(count, total)}</small></b></li>"
    )


def _funnel_gap(before: int, after: int, total: int, lost: Mapping[str, int]) -> str:
    start, end = (100 * count / max(1, total) for count in (before, after))
    minus = "\N{MINUS SIGN}"
    words = " · ".join(f"{minus}{count:,} {_LOST_WORDS[fate]}" for fate, count in lost.items())
    says = f"<p>{words}</p>" if words else '<p class="nothing">none lost</p>'
    return (
        '<li class="gap"><div class="flow">'
        '<svg viewBox="0 0 100 100" preserveAspectRatio="none" aria-hidden="true">'
        f'<polygon class="kept" points="0,0 {end:.3f},0 {end:.3f},100 0,100"/>'
        f'<polygon class="away" points="{end:.3f},0 {start:.3f},0 {end:.3f},100"/>'
        f"</svg></div>{says}</li>"
    )


def _reasons(summary: Summary) -> str:
    parts = []
    for title, counts in (
        ("Rejected", summary.rejected),
        ("To be tried again when fetch runs next", summary.retry_later),
    ):
        if counts:
            most = max(counts.values())
            items = "".join(_reason(reason, count, most) for reason, count in counts.items())
            parts.append(f'<h3>{title}</h3><ul class="reasons lost">{items}</ul>')
    return "".join(parts) or '<p class="none">None: every match was stored.</p>'


def _reason(reason: str, count: int, most: int) -> str:
    advice = advice_on(reason)
    return (
        f'<li><code>{text(reason)}</code><span class="track">{meter(count, most)}</span>'
        f"<b>{count:,}</b><p>{text(advice.meaning)} <em>{text(advice.remedy)}</em></p></li>"
    )


def _splits(folder: str, summary: Summary) -> str:
    rows = [
        (text(name), f"{s.videos:,}", f"{s.clips:,}", f"{s.minutes:,.1f}", f"{s.labels:,}")
        for name, s in summary.splits.items()
    ]
    clips = {name: split.clips for name, split in summary.splits.items()}
    reason = why_empty(folder, clips, dataset_options(folder).split)
    note = f'<p class="note">{text(reason, limit=400)}.</p>' if reason else ""
    return table(("Split", "Videos:n", "Clips:n", "Minutes:n", "Labels:n"), rows) + note


def _sentence(strips: Sequence[LabelStrips], labels: int) -> str:
    return (
        f"First, middle and last frame of up to {CLIPS_PER_LABEL} clips of {len(strips):,} of the "
        f"{labels:,} labels, the largest first, with the hashtags that gave them the label."
    )


def _label(shown: LabelStrips) -> str:
    clips = "".join(_strip(strip) for strip in shown.strips)
    return (
        f'<div class="label"><h3>{foreign(shown.label.label)} '
        f"<small>{counted(shown.label.videos, 'video')}</small></h3>"
        f'<div class="clips">{clips}</div></div>'
    )


def _strip(strip: ClipStrip) -> str:
    clip, tags = strip.clip, " ".join(f"#{tag}" for tag in strip.hashtags)
    return (
        f"<figure>{_frames(strip.stills, 'no frame')}<figcaption><span>{foreign(tags)}</span>"
        f"{clip.end_s - clip.start_s:.1f} s · {foreign(clip.video_id, 40)}</figcaption></figure>"
    )


def _frames(stills: Iterable[Still], missing: str) -> str:
    shown = (
        f'<img src="{still.image}" alt="frame at {still.second:.1f} s">'
        if still.image
        else f'<span class="missing">{missing}</span>'
        for still in stills
    )
    return f'<div class="frames">{"".join(shown)}</div>'


def _stages(summary: Summary) -> str:
    longest = max(stage.seconds for stage in summary.stages.values())
    rows = [
        (text(name), f"{s.seconds:,.1f}", meter(s.seconds, longest), byte_size(s.bytes))
        for name, s in summary.stages.items()
    ]
    return table(("Stage", "Seconds:n", ":bar", "Output:n"), rows)


def _ids(summary: Summary) -> str:
    ids = {"whole": summary.dataset_id} | {k: s.dataset_id for k, s in summary.splits.items()}
    rows = [(text(name), f'<span class="id">{text(value)}</span>') for name, value in ids.items()]
    return table(("Split", "dataset_id"), rows)
