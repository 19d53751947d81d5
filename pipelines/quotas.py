"""What each label gives to the splits: planned from what it has, and reported when it is done."""

from collections import Counter
from collections.abc import Mapping

import pyarrow.compute as pc

from formats.tables import (
    ClipRow,
    LabelledRow,
    LabelRow,
    SplitQuotaRow,
    part_files,
    read_batches,
    read_rows,
    schema_of,
    write_rows,
)
from labelspace.sampling import tail_preserving_quotas
from labelspace.splits import LabelLengths, SplitRule, length_class, plan_splits
from pipelines import label
from pipelines.batches import read_counts
from pipelines.options import SplitOptions
from pipelines.run import Job
from pipelines.selection import Quota

CLIPS = "clips"
QUOTAS = "quotas.parquet"
LENGTHS = ".lengths.json"
_LENGTH_COLUMNS = ("label_id", "duration_s")
TEMPORAL = ("short", "long", "long_center")


def plan_quotas(counts: Mapping[str, int], options: SplitOptions) -> dict[str, Quota]:
    """What every group that is not taken whole gives: `all`, or `<split> <label_id>`.

    A label outside the temporal splits has quotas of nothing.
    """
    by_label = lengths_by_label(counts)
    videos = {str(label_id): counts[f"{label_id} videos"] for label_id in by_label}
    quotas: dict[str, Quota] = {}
    if 0 < options.max_videos < sum(videos.values()):
        if options.sampling == "random":
            quotas["all"] = Quota(options.max_videos, entries=sum(videos.values()))
        else:
            kept = tail_preserving_quotas(
                {f"{int(label_id):09d}": n for label_id, n in videos.items()}, options.max_videos
            )
            for label_id, n in kept.items():
                name = str(int(label_id))
                quotas[f"all {name}"] = Quota(n, entries=videos[name])
    plan = plan_splits(
        {f"{label_id:09d}": lengths for label_id, lengths in by_label.items()},
        split_rule(options),
        budget=options.budget,
        max_videos=options.budget_videos if options.budget == "F1" else 0,
        max_ms=round(60_000 * options.budget_minutes),
    )
    for quota in (*plan.quotas, *plan.unfilled):
        for name in set(TEMPORAL) & set(options.splits):
            by_weight = bool(quota.budget_ms) and name != "long_center"
            amount = quota.budget_ms if by_weight else quota.of(name)
            lengths = by_label[int(quota.label)]
            entries = lengths.short_videos if name == "short" else lengths.long_videos
            quotas[f"{name} {int(quota.label)}"] = Quota(amount, by_weight, entries)
    # What is taken whole needs no threshold; one by weight would be, but for the last entry.
    return {n: q for n, q in quotas.items() if q.by_weight or q.amount < q.entries or not q.entries}


def lengths_by_label(counts: Mapping[str, int]) -> dict[int, LabelLengths]:
    """The counts of `count_lengths` by label_id."""
    ids = sorted({int(name.split()[0]) for name in counts})
    fields = ("short_videos", "long_videos", "short_ms", "long_ms")
    return {
        label_id: LabelLengths(**{f: counts.get(f"{label_id} {f}", 0) for f in fields})
        for label_id in ids
    }


def split_rule(options: SplitOptions) -> SplitRule:
    """The bounds of the temporal splits."""
    return options.rule


def write_quotas(job: Job) -> int:
    """Write what each label has and gave to the temporal splits; return how many gave nothing.

    A label is only said to lack something where a temporal split is asked for.
    """
    by_label, thinned = _lengths_now(job)
    taken = {name: _clips_by_label(job, name) for name in TEMPORAL}
    wanted = set(TEMPORAL) & set(job.options.split.splits)
    rows = []
    for space in read_rows(job.path(label.SPACE), LabelRow):
        have = by_label.get(space.label_id, LabelLengths())
        gave = {name: taken[name][space.label_id] for name in TEMPORAL}
        lacks = [n for n in ("short", "long") if wanted and not getattr(have, f"{n}_videos")]
        reason = f"no {' and no '.join(lacks)} video" if lacks else None
        if reason is None and wanted and not any(gave.values()):
            gone = ", or taken down" if space.label_id in thinned else ""
            reason = f"no room in the budget{gone}"
        row = SplitQuotaRow(
            label_id=space.label_id,
            label=space.label,
            short_videos=have.short_videos,
            long_videos=have.long_videos,
            **gave,
            reason=reason,
        )
        rows.append(row)
    write_rows(job.path(QUOTAS), rows, SplitQuotaRow)
    return sum(row.reason is not None for row in rows)


def _lengths_now(job: Job) -> tuple[dict[int, LabelLengths], set[int]]:
    """What each label has, without what was taken down; and the labels of which something was."""
    counts, rule = read_counts(job.path(CLIPS, LENGTHS)), split_rule(job.options.split)
    thinned: set[int] = set()
    schema = schema_of(LabelledRow, "video_id", *_LENGTH_COLUMNS)
    for file in part_files(job.path(label.TABLE)):
        for batch in read_batches(file, schema):
            gone = batch.filter(pc.equal(batch.column("video_id"), ""))
            columns = (gone.column(name).to_pylist() for name in _LENGTH_COLUMNS)
            for label_id, seconds in zip(*columns, strict=True):
                thinned.add(label_id)
                name = length_class(seconds, rule)
                if name is not None:
                    counts[f"{label_id} {name}_videos"] -= 1
    return lengths_by_label(counts), thinned


def _clips_by_label(job: Job, name: str) -> Counter[int]:
    counts: Counter[int] = Counter()
    schema = schema_of(ClipRow, "label_id")
    for file in part_files(job.path(CLIPS, name)):
        for batch in read_batches(file, schema):
            pairs = pc.value_counts(batch.column("label_id")).to_pylist()
            counts.update({pair["values"]: pair["counts"] for pair in pairs})
    return counts
