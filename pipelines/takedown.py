"""Taking videos down: their bytes and names leave a finished dataset, and never come back.

Nothing else moves. The stages are not run again, for their choices would fall out anew; each table
is changed where it names the video, by the functions of `strikes` that the stages themselves use,
and only the parts and shards that hold it are written anew. Neither the catalog, nor the targets,
nor a network is needed. The records of the stages are restated, so that `make dataset` with the
same options finds all done and the same `dataset_id`, and with others starts from the ghosts.

What is to go is put on the list (`takedown_list`) first, together with which stages were up to
date; that is the commit. Every step after it may be done twice. A takedown that was cut is finished
by the next takedown, or by any stage before it starts. What no row names is kept on the list too:
the stage match looks there whenever it reads a catalog.

A stored video that no row of the present catalog has goes by what its posts were called when it was
fetched, or by its URI.
"""

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from formats.storage import remove_leftovers
from formats.tables import (
    MatchRow,
    VideoRow,
    change_rows,
    from_batch,
    part_files,
    read_batches,
    schema_of,
)
from pipelines.identity import name_hash, row_key
from pipelines.merges import runs_folder
from pipelines.removal.restate import clean_shards, current_stages, restate, restate_report
from pipelines.removal.strikes import (
    drop_clips,
    drop_duplicates,
    ghost,
    names_of,
    purge_videos,
    restate_labels,
    split_name,
    strike_labelled,
)
from pipelines.removal.takedown_list import (
    ID,
    URI,
    Entry,
    TakedownList,
    read_entries,
    read_list,
    write_list,
)
from pipelines.reporting.card import CARD
from pipelines.reporting.summary import dataset_options
from pipelines.run import Job, JobError
from pipelines.yields import counted

CONFIG = "config.toml"


@dataclass(frozen=True)
class TakenDown:
    """What a takedown found."""

    videos: int
    """Videos that are gone now, those included that were found but had not been stored."""
    listed: int
    """Entries of the file that had been on the list before."""
    unknown: tuple[Entry, ...]
    """New entries that nothing in the dataset is called."""
    resumed: bool
    """A takedown before this one had been cut, and is done now."""
    emptied: bool
    """No clip is left, so there is no report and no card any more."""


def take_down(out: Path, path: str) -> TakenDown:
    """Take everything that the file names out of the dataset in `out`; the caller holds the folder.

    Raises:
        JobError: the file names nothing, the list or a part is damaged.
        ShardError: a shard that must be written anew is damaged.
        TableError: a table is damaged, or older than this version.
    """
    entries, card = read_entries(path), out / CARD
    had_card, resumed = card.exists(), finish_takedown(out)
    before = read_list(out)
    wanted = before.with_entries(entries)
    found = _find(out, wanted)
    after = wanted.with_videos({key: kind for key, (kind, _) in found.items()})
    if after != before:
        write_list(out, replace(after, unfinished=current_stages(offline_job(out))))
        finish_takedown(out)
    hits = Counter(digest for _, digests in found.values() for digest in digests)
    new = [entry for entry in entries if not _is_listed(entry, before)]
    unknown = tuple(e for e in new if not any(hits[digest] for digest in e.hashes().values()))
    emptied = had_card and not card.exists()
    return TakenDown(len(found), len(entries) - len(new), unknown, resumed, emptied)


def describe(done: TakenDown) -> str:
    """What a takedown found, for whoever asked for it."""
    lines = [
        f"nothing here is called {entry.text!r}; if a catalog brings it, it stays out"
        for entry in done.unknown
    ]
    if done.resumed:
        lines.insert(0, "finished a takedown that had been cut")
    lines.append(
        f"{counted(done.videos, 'video')} taken down; "
        f"{done.listed:,} entries were on the list before"
    )
    if done.emptied:
        lines.append("no clip is left: the report and the card are gone")
    return "\n".join(lines)


def finish_takedown(out: Path) -> bool:
    """Do again whatever a takedown that was cut may have left undone; return whether there was one.

    Raises:
        The same as `take_down`.
    """
    taken = read_list(out)
    if taken.unfinished is None:
        return False
    job, keys = offline_job(out), frozenset(taken.videos)
    _remove_scraps(out)
    for file in part_files(job.path("matches")):
        change_rows(file, MatchRow, keys, lambda row: ghost(row, taken.videos[row.row_key]))
    # The clips say which shards to look into, and the duplicates which videos no label counted: so
    # what is asked goes after what asks.
    clean_shards(job, keys, taken.unfinished)
    drop_clips(out, keys)
    purge_videos(out, keys)
    drop_duplicates(out, keys)
    strike_labelled(out, keys)
    if (out / "labels.json").exists() and (out / "labels.parquet").exists():
        restate_labels(out)
    restate(job, taken.unfinished)
    restate_report(job, taken)
    write_list(out, replace(taken, unfinished=None))
    return True


def offline_job(out: Path) -> Job:
    """The job that made the dataset, as far as its folder tells.

    Raises:
        JobError: the folder holds no dataset.
    """
    if not (out / CONFIG).exists():
        raise JobError(f"{out}: holds no dataset; name the folder of a job as OUT")
    return Job(out, _seed_set(out), dataset_options(str(out)))


def _find(out: Path, wanted: TakedownList) -> dict[str, tuple[str, set[str]]]:
    """By row key of what is still there: how it is named, and every hash that it goes by."""
    found: dict[str, tuple[str, set[str]]] = {}
    for key, names, uris in chain(_matches(out), _videos(out)):
        kind = wanted.kind_of(key, names)
        if kind is None and any(row_key(uri) in wanted.videos for uri in uris):
            kind = URI
        if kind is not None:
            _, digests = found.setdefault(key, (kind, set()))
            uris = [*uris, *(name for kind, name in names if kind == URI)]
            digests |= {key, *map(row_key, uris), *(name_hash(*name) for name in names)}
    return found


def _matches(out: Path) -> Iterator[tuple[str, list[tuple[str, str]], list[str]]]:
    """(row key, names, URIs) of every match that is not a ghost."""
    for file in part_files(str(out / "matches")):
        for batch in read_batches(file, schema_of(MatchRow)):
            for row in from_batch(batch, MatchRow):
                if row.taken_down is None:
                    yield row.row_key, list(names_of(row)), [row.uri]


def _videos(out: Path) -> Iterator[tuple[str, list[tuple[str, str]], list[str]]]:
    """The same of every video that was fetched, for the catalog may no longer have it."""
    columns = ("row_key", "video_id", "final_uri", "names")
    schema = schema_of(VideoRow, *columns)
    for file in part_files(str(out / "videos")):
        for batch in read_batches(file, schema):
            for key, video_id, final_uri, others in zip(
                *(batch.column(name).to_pylist() for name in columns), strict=True
            ):
                if video_id:
                    names = [(ID, video_id), *map(split_name, others)]
                    yield key, names, [final_uri] if final_uri else []


def _is_listed(entry: Entry, taken: TakedownList) -> bool:
    return all(
        digest in (taken.videos if kind == URI else taken.names)
        for kind, digest in entry.hashes().items()
    )


def _remove_scraps(out: Path) -> None:
    """Delete what killed writers left: nothing reads it, and it may hold what is to go."""
    shutil.rmtree(runs_folder(str(out / "matches")), ignore_errors=True)
    for scratch in (".ledger", ".preflight", ".reposts"):
        shutil.rmtree(out / scratch, ignore_errors=True)
    folders = [path for path in out.rglob("*") if path.is_dir() and not path.is_symlink()]
    for folder in (out, *folders):
        remove_leftovers(str(folder))
    for tar in (out / "videos").glob("part-*.tar"):
        if not tar.with_suffix(".parquet").exists():
            tar.unlink()


def _seed_set(out: Path) -> str:
    """The seed set's name, which the label space states; before that, no stage asks for it."""
    path = out / "labels.json"
    return str(json.loads(path.read_text(encoding="utf-8"))["seed_set"]) if path.exists() else ""
