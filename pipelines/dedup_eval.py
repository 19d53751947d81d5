"""`make dedup-eval`: how many re-uploads of the run's own targets would be found, edit by edit.

Some target videos are edited in the ways of `formats.edits`, fetched as a source video is, and
compared with all targets by the stage deduplicate itself, with the job's own options.
"""

import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import fmean

from formats.edits import PICTURE_IN_PICTURE
from formats.shards import digest_of
from formats.tables import DuplicateRow, TargetVideoRow, VideoRow, part_files, read_rows
from pipelines import deduplicate, fetch, targets
from pipelines.benchmarks import target_tables
from pipelines.joins import STORED
from pipelines.judging.edit_recall import Name, count_edits, count_kin
from pipelines.judging.evaluation import Evaluation, SourceHits, write_evaluation
from pipelines.judging.reedits import Original, fetch_reedits
from pipelines.run import STAGES, Job, JobError, read_record, run_stage, stage_key

_SCRATCH = ".dedup-eval"
_SOURCE_VIDEOS = 2000
"""Stored videos of the job that are compared too, or a few more: whole parts are taken."""


def evaluate(job: Job, videos: int) -> Evaluation:
    """Edit so many target videos, compare them, write and return the figures.

    A run that was killed leaves a folder that the next one removes.

    Raises:
        JobError: there are fewer than two target videos to take, or none was asked for.
        IndexFileError: a target set's index is damaged.
    """
    (result,) = evaluate_profiles(job, videos, (job.options.deduplicate.profile,))
    write_evaluation(job.path(), result)
    return result


def evaluate_profiles(job: Job, videos: int, profiles: Sequence[str]) -> Iterator[Evaluation]:
    """Yield what `evaluate` finds with each of the profiles; the files are made only once."""
    with _scratch(job) as scratch:
        home = _with_targets(job, scratch)
        known = _known_targets(home)
        chosen = _choose(known, videos, job)
        edited = _work_job(home, scratch / "edited")
        fetch_reedits(chosen, edited)
        sources = _work_job(home, scratch / "source")
        stored = _take_source(job, sources)
        for profile in profiles:
            _compare(edited, profile)
            hits = None
            if stored:
                _compare(sources, profile)
                keys = _duplicate_keys(sources)
                hits = SourceHits(stored, len(keys), len(keys & _duplicate_keys(job)))
            yield _sum_up(_with_profile(edited, profile), chosen, len(known), hits)


@contextmanager
def _scratch(job: Job) -> Iterator[Path]:
    folder = job.out / _SCRATCH
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_targets(job: Job, scratch: Path) -> Job:
    """The job with its targets hashed: in its own folder, unless others are hashed there."""
    done = read_record("targets", job.out)
    home = job
    if done is not None and done.key != stage_key("targets", job):
        home = replace(job, out=scratch / "targets")
    run_stage("targets", home)
    return home


def _work_job(home: Job, out: Path) -> Job:
    """A job of its own folder with the targets of the other, whose hits bound nothing."""
    out.mkdir()
    for name in STAGES["targets"].outputs:
        if (home.out / name).exists():
            (out / name).symlink_to((home.out / name).resolve())
    options = replace(home.options.deduplicate, max_duplicate_fraction=1.0, decoys=False)
    options = replace(options, reposts=False)  # Edits of one video are re-posts of each other.
    return replace(home, out=out, options=replace(home.options, deduplicate=options))


def _known_targets(home: Job) -> list[Original]:
    """The target videos that could be hashed, by set and id."""
    known = []
    for table, path in zip(home.targets, targets.video_files(home), strict=True):
        name, folder = target_tables.target_name(table), target_tables.target_folder(table)
        # Only a whole file has a hash: pieces and folders of frames are not edited.
        rows = (row for row in read_rows(path, TargetVideoRow) if row.source_sha256)
        known += [Original(name, row.video_id, row.uri, folder) for row in rows]
    return known


def _choose(known: Sequence[Original], videos: int, job: Job) -> list[Original]:
    if videos < 2 or len(known) < 2:
        raise JobError(
            f"dedup-eval edits at least 2 target videos, each of them with another; there are "
            f"{len(known)}, and {videos} were asked for"
        )
    seed = job.options.run.rng_seed
    return sorted(known, key=lambda one: digest_of(seed, "dedup-eval", *one.name))[:videos]


def _take_source(job: Job, work: Job) -> int:
    """Let the second job have some of the first one's stored videos; return how many."""
    (work.out / fetch.TABLE).mkdir()
    videos = 0
    for part in part_files(job.path(fetch.TABLE)):
        if videos < _SOURCE_VIDEOS:
            videos += sum(row.status == STORED for row in read_rows(part, VideoRow))
            (work.out / fetch.TABLE / Path(part).name).symlink_to(Path(part).resolve())
    return videos


def _compare(work: Job, profile: str) -> None:
    """Leave the job's `duplicates/`, and nothing there of another profile."""
    shutil.rmtree(work.path(deduplicate.TABLE), ignore_errors=True)
    deduplicate.run(_with_profile(work, profile))


def _with_profile(job: Job, profile: str) -> Job:
    options = replace(job.options.deduplicate, profile=profile)
    return replace(job, options=replace(job.options, deduplicate=options))


def _duplicate_keys(job: Job) -> set[str]:
    return {row.row_key for row in _duplicates(job)}


def _duplicates(job: Job) -> Iterator[DuplicateRow]:
    for part in part_files(job.path(deduplicate.TABLE)):
        yield from read_rows(part, DuplicateRow)


def _sum_up(
    edited: Job, chosen: Sequence[Original], known: int, source: SourceHits | None
) -> Evaluation:
    originals = [one.name for one in chosen]
    rows = [
        row for part in part_files(edited.path(fetch.TABLE)) for row in read_rows(part, VideoRow)
    ]
    found: dict[str, set[Name]] = defaultdict(set)
    for row in _duplicates(edited):
        found[row.video_id].add((row.target, row.target_video_id))
    as_is, *edits = count_edits(rows, found, originals)
    options, files = edited.options.deduplicate, sum(edit.files for edit in edits)
    return Evaluation(
        profile=options.profile,
        thresholds=vars(options.thresholds()),
        targets=tuple(map(target_tables.target_name, edited.targets)),
        target_videos=known,
        rng_seed=edited.options.run.rng_seed,
        videos=tuple("/".join(name) for name in originals),
        unreadable=len(chosen) - as_is.files - as_is.rejected,
        kin=count_kin(found, originals),
        edits=tuple(edits),
        as_is=as_is,
        recall=fmean(edit.recall for edit in edits),
        recall_without_pip=fmean(e.recall for e in edits if e.edit not in PICTURE_IN_PICTURE),
        wrong_share=sum(edit.wrong for edit in edits) / files if files else 0.0,
        source=source,
    )
