"""The dataset card: `OUT/DATASET_CARD.md`, what a stranger must know before using the dataset."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.settings import differences
from formats.storage import write_text
from formats.tables import Fate, LedgerRow, MatchRow
from pipelines.decoders import describe_layers
from pipelines.judging.precision import read_precision, say_precision
from pipelines.label_manifest import SpaceFacts, read_space_facts
from pipelines.options import Options
from pipelines.reporting.empty_splits import why_empty
from pipelines.reporting.label_card import describe_covered, describe_space
from pipelines.reporting.markdown import escape, table
from pipelines.reporting.recall_report import recall_card
from pipelines.reporting.summary import Summary, dataset_options, read_columns
from pipelines.yields import YIELD, finding, read_yields

CARD = "DATASET_CARD.md"
_MAX_LICENCES = 20
# Row keys in memory at once when licences are counted.
_KEYS_AT_ONCE = 4_000_000

_CITATION = """\
@inproceedings{ghadiyaram2019largescale,
  title     = {Large-Scale Weakly-Supervised Pre-Training for Video Action Recognition},
  author    = {Ghadiyaram, Deepti and Tran, Du and Mahajan, Dhruv},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {12046--12055},
  year      = {2019}
}"""

_USE = """\
Intended for pre-training video models that are then fine-tuned, or probed, on a clean benchmark, \
and for research on weak supervision. Not for finding or profiling people, and not as a benchmark: \
no label here was checked by a person.

## Limits

- **Labels are weak.** A video has its label because someone put a hashtag on it. The action may \
be missing, may fill a second of a minute, or may be another meaning of the word.
- **One label each.** A video that matches several labels is given one of them at random, by hash; \
`labelled/` keeps all of them.
- **Skewed.** A few labels hold most videos. `repeats` in every sample's JSON is its square-root \
sampling weight.
- **Not representative.** It shows what people post and tag, with the biases of that.
- **Duplicates within it remain.** Only overlap with the targets named above is removed."""

_TAKEDOWN = """\
Every sample's JSON names its `video_id`, `uri`, and, where the catalog had it, `uploader` and \
`licence`. `make takedown OUT=... IDS=file` removes what the file names, one `video_id`, URI or \
`uploader:NAME` a line, from every file here, and keeps it out of later runs. Every other clip \
stays as it is and where it is; the dataset has a new `dataset_id`. Whoever holds copies of the \
shards must replace those that changed."""


def write_card(folder: str, summary: Summary) -> None:
    """Write `DATASET_CARD.md` of a finished dataset.

    Raises:
        JobError: the label space has no manifest.
        TableError: a table is missing or damaged.
    """
    options = dataset_options(folder)
    facts = read_space_facts(folder)
    sections = [
        f"# Dataset card: {escape(Path(folder).resolve().name)}",
        _what(folder, summary),
        "## How it was made",
        _how(folder, summary, options),
        "## Label space",
        describe_space(folder, summary, facts),
        "## Splits",
        *_splits(folder, summary, options),
        "## Overlap with benchmarks",
        _overlap(folder, summary, options),
        "## Licences",
        _licences(folder, summary),
        "## Use",
        _USE,
        "## Taking an item down",
        f"{_TAKEDOWN}\n\nTaken down so far: {summary.fates[Fate.TAKEN_DOWN]:,} videos.",
        "## Identity and checks",
        _identity(summary, facts),
        "## Citation",
        f"The method is that of\n\n```bibtex\n{_CITATION}\n```",
    ]
    write_text(str(Path(folder) / CARD), "\n\n".join(sections) + "\n")


def read_snippet(split: str) -> str:
    """Python that reads a split with plain webdataset, run in the dataset's folder."""
    return f"""\
import json
from pathlib import Path

import webdataset

folder = Path({json.dumps(f"shards/{split}")})
manifest = json.loads((folder / "MANIFEST.json").read_text())
shards = [str(folder / shard["path"]) for shard in manifest["shards"]]
for sample in webdataset.WebDataset(shards, shardshuffle=False):
    video, facts = sample["mp4"], json.loads(sample["json"])
    print(facts["label_id"], facts["label"], facts["video_id"], len(video), "bytes")
"""


def _what(folder: str, summary: Summary) -> str:
    return (
        f"Short videos with weak action labels: {summary.fates[Fate.CLIP]:,} videos under "
        f"{summary.labels_kept:,} labels, chosen by hashtag from a catalog of "
        f"{summary.catalog_rows:,} public posts, without any labelling by hand. Built by Tagreel, "
        "after Ghadiyaram et al. (CVPR 2019).\n\n"
        f"- Seed set: {escape(_seed_set(folder))}\n"
        f"- Dataset id: `{summary.dataset_id}`"
    )


def _seed_set(folder: str) -> str:
    config = (Path(folder) / "config.toml").read_text(encoding="utf-8")
    named = re.search(r"^# seed set: '?(.*?)'?$", config, re.MULTILINE)
    # A seed file of the user's is named without the folders it lies in.
    return Path(named[1]).name if named else "not recorded"


def _how(folder: str, summary: Summary, options: Options) -> str:
    changed = [
        (escape(name), escape(_toml(value)), escape(_toml(default)))
        for name, value, default in differences(options)
    ]
    steps = [(name, f"{stage.seconds:,.1f}") for name, stage in summary.stages.items()]
    fates = [(name.replace("_", " "), f"{count:,}") for name, count in summary.fates.items()]
    options_table = (
        table(("Option", "Value", "Default"), changed) if changed else "All at their default."
    )
    return "\n\n".join(
        [
            "Seed labels become hashtags; a post with one of them is fetched, checked and stored "
            "small; videos that may overlap a target are removed; rare labels are dropped; each "
            "video is given one label; splits are cut and packed.",
            table(("Stage", "Seconds:"), steps),
            "What became of every catalog row:",
            table(("Fate", "Rows:"), [*fates, ("**sum**", f"**{summary.catalog_rows:,}**")]),
            *_yield(folder),
            "Options that differ from the default:",
            options_table,
            "`config.toml` holds all of them.",
        ]
    )


def _yield(folder: str) -> list[str]:
    """What fetching brought, if that was counted; hosts are not named to strangers."""
    path = Path(folder) / YIELD
    if not path.exists():
        return []
    return [f"Fetching: {finding(read_yields(str(path)))}; {describe_layers(Path(folder))}."]


def _splits(folder: str, summary: Summary, options: Options) -> list[str]:
    rows = [
        (escape(name), f"{s.videos:,}", f"{s.clips:,}", f"{s.minutes:,.1f}", f"{s.labels:,}")
        for name, s in summary.splits.items()
    ]
    clips = {name: split.clips for name, split in summary.splits.items()}
    reason = why_empty(folder, clips, options.split)
    head = ("Split", "Videos:", "Clips:", "Minutes:", "Labels:")
    return [table(head, rows), *([f"{escape(reason)}."] if reason else [])]


def _overlap(folder: str, summary: Summary, options: Options) -> str:
    targets = summary.duplicates.target_sets
    if not targets:
        return (
            "No target set was given, so **no overlap was removed**: do not evaluate on a "
            "benchmark before you have checked that it does not overlap.\n\n"
            f"{summary.duplicates.inside_source()}"
        )
    rows = [
        (
            escape(name),
            f"{count.videos:,}",
            f"{count.hashed:,}",
            f"{summary.duplicates.by_target.get(name, 0):,}",
        )
        for name, count in targets.items()
    ]
    return "\n\n".join(
        [
            f"Videos removed: {summary.duplicates.count:,}, because a frame resembles one of a "
            "target video (256-bit perceptual hashes, with mirrored and cropped variants; profile "
            f"{escape(options.deduplicate.profile)}). The rule rather removes too many than too "
            "few. `duplicates/` holds the evidence for each.",
            table(("Target", "Target videos:", "Hashed:", "Removed:"), rows),
            *(
                f"{escape(name)}: {said}."
                for name, c in targets.items()
                if (said := c.say_unseen())
            ),
            *_precision(folder),
            *recall_card(folder),
            *filter(None, [summary.duplicates.by_chance()]),
            "It can miss: strong picture-in-picture, heavy overlays, and any benchmark that is not "
            "in this list. Different footage of the same scene is not a duplicate to it.",
            *describe_covered(folder),
            summary.duplicates.inside_source(),
        ]
    )


def _precision(folder: str) -> list[str]:
    """What people said of a sample of the removals, if anybody was asked."""
    found = read_precision(Path(folder))
    if found is None:
        return []
    lines = "\n".join(f"- {line}" for line in say_precision(found, Path(folder)))
    return [f"Judged by eye (`make audit`), how many removals were right:\n\n{lines}"]


def _licences(folder: str, summary: Summary) -> str:
    counts = _ranked(count_licences(folder, summary.fates[Fate.CLIP]))
    rows = [(escape(name or "not stated"), f"{count:,}") for name, count in counts[:_MAX_LICENCES]]
    if rest := sum(count for _, count in counts[_MAX_LICENCES:]):
        rows.append(("all others", f"{rest:,}"))
    return (
        "As the catalog states them; nobody checked. The videos belong to those who made them.\n\n"
        + table(("Licence", "Videos:"), rows)
    )


def count_licences(folder: str, videos: int) -> Counter[str]:
    """Videos of the dataset by licence, `''` where the catalog states none.

    Joined by row key in slices of the key space, so that memory is that of one slice.
    """
    digits = 0
    while videos > _KEYS_AT_ONCE * 16**digits:
        digits += 1
    counts: Counter[str] = Counter()
    for prefix in (f"{number:0{digits}x}" if digits else "" for number in range(16**digits)):
        keys = pa.concat_arrays([pa.array([], pa.string()), *_clip_keys(folder, prefix)])
        for batch in read_columns(folder, "matches", MatchRow, ["row_key", "licence"]):
            found = batch.filter(pc.is_in(batch.column("row_key"), keys)).column("licence")
            counts.update(found.fill_null("").to_pylist())
    return counts


def _clip_keys(folder: str, prefix: str) -> Iterator[pa.Array]:
    for batch in read_columns(folder, "ledger.parquet", LedgerRow, ["row_key", "fate"]):
        wanted = pc.and_(
            pc.equal(batch.column("fate"), str(Fate.CLIP)),
            pc.starts_with(batch.column("row_key"), prefix),
        )
        yield batch.filter(wanted).column("row_key")


def _identity(summary: Summary, facts: SpaceFacts) -> str:
    tools = [(escape(name), escape(version)) for name, version in sorted(facts.tools.items())]
    ids = {"whole": summary.dataset_id} | {k: s.dataset_id for k, s in summary.splits.items()}
    rows = [(escape(name), f"`{value}`") for name, value in ids.items()]
    return "\n\n".join(
        [
            "Equal ids mean equal bytes: the same catalog, targets and options give them again.",
            table(("Split", "dataset_id"), rows),
            "Words were folded and stemmed, and tables written, with these versions; others may "
            "give other ids:",
            table(("Tool", "Version"), tools),
            "`make verify OUT=...` re-reads every byte that the manifests name. The shards are "
            "plain tars; from the dataset's folder:",
            f"```python\n{read_snippet(next(iter(summary.splits)))}```",
        ]
    )


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def _toml(value: object) -> str:
    return ", ".join(map(str, value)) or "none" if isinstance(value, tuple) else str(value)
