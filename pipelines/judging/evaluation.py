"""What `make dedup-eval` found: kept in `dedup_eval.json`, told in the card and in the report."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from formats.storage import write_text
from pipelines.judging.edit_recall import EditRecall
from pipelines.run import JobError

EVALUATION = "dedup_eval.json"


@dataclass(frozen=True)
class SourceHits:
    """What the same comparison finds among the job's own stored videos."""

    videos: int
    hits: int
    known: int
    """Of the hits, those that the stage deduplicate has in `duplicates/`."""


@dataclass(frozen=True)
class Evaluation:
    """Recall on re-edits of a job's own targets."""

    profile: str
    thresholds: dict[str, int]
    targets: tuple[str, ...]
    target_videos: int
    """Those that the files are compared with."""
    rng_seed: int
    videos: tuple[str, ...]
    """`target/video_id` of those that were edited."""
    unreadable: int
    """Chosen, but not to be had any more."""
    kin: int
    """Pairs of edited and other target videos that are alike unedited: no error to find both."""
    edits: tuple[EditRecall, ...]
    as_is: EditRecall
    recall: float
    """Mean of the edits."""
    recall_without_pip: float
    wrong_share: float
    """Of all edited files."""
    source: SourceHits | None


def write_evaluation(folder: str, result: Evaluation) -> None:
    """Write it to a job's folder."""
    text = json.dumps(asdict(result), indent=1, ensure_ascii=False)
    write_text(str(Path(folder) / EVALUATION), text + "\n")


def read_evaluation(folder: str) -> Evaluation | None:
    """What `evaluate` left in a job's folder; None if it did not run.

    Raises:
        JobError: the file is damaged.
    """
    path = Path(folder) / EVALUATION
    if not path.exists():
        return None
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        edits = [
            EditRecall(**{**row, "missed": tuple(row["missed"])})
            for row in (told["as_is"], *told["edits"])
        ]
        source = told["source"] and SourceHits(**told["source"])
        rest = {name: tuple(told[name]) for name in ("targets", "videos")}
        return Evaluation(
            **{**told, **rest, "as_is": edits[0], "edits": tuple(edits[1:]), "source": source}
        )
    except (ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: damaged; run `make dedup-eval` again") from error


def lines(result: Evaluation) -> Iterator[str]:
    """The evaluation as text."""
    yield f"{'edit':<22}{'found':>6}{'of':>5}{'recall':>8}{'wrong':>7}{'rejected':>10}  what it is"
    for row in (result.as_is, *result.edits):
        yield (
            f"{row.edit:<22}{row.found:>6,}{row.files:>5,}{row.recall:>8.3f}{row.wrong:>7,}"
            f"{row.rejected:>10,}  {row.says}"
        )
    yield from sentences(result)


def sentences(result: Evaluation) -> Iterator[str]:
    """What the evaluation comes to, for people, one sentence at a time."""
    limits = result.thresholds
    # A rule that a profile leaves out is 0, and so is the narrowest where frames must be equal.
    rules = ("one_frame", "two_frames", "three_frames")
    bits = [str(limits[rule]) for rule in rules]
    bits += [str(limits["four_frames"])] if limits.get("four_frames") else []
    still = f", {limits['still']} of a still picture" if limits.get("still") else ""
    yield (
        f"{len(result.videos) - result.unreadable:,} of {result.target_videos:,} target videos "
        f"were edited in {len(result.edits)} ways and fetched again; profile {result.profile} "
        f"({'/'.join(bits)} bits{still}, {limits['apart']} apart)."
    )
    yield (
        f"Mean recall over the edits {result.recall:.3f}, without picture-in-picture "
        f"{result.recall_without_pip:.3f}; a wrong target was named for {result.wrong_share:.2%} "
        "of the files."
    )
    if result.source is not None:
        hits = result.source
        yield (
            f"Of {hits.videos:,} stored source videos {hits.hits:,} are like a target, "
            f"{hits.known:,} of them known as duplicates."
        )
