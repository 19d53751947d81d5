"""What is left in the tables of a job of a video that was taken down.

A *ghost*: a row of hashes and numbers. Labels are kept or dropped, repeats weighed and splits cut
by counting and ranking all videos; were a taken-down one simply gone, another would take its place
and clips would move between splits and shards. So `matches/` keep its key and labels, `videos/` its
length, `labelled/` its place, without a name, an address, a fingerprint or a byte. What a stage
does with ghosts when it runs, and what a takedown does to what it left, are the same functions, so
that both lead to the same bytes. Doing any of them twice changes nothing.

Memory: the keys taken down, and one row group of a table, or one stored video.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from formats.shards import add_member, digest_of, open_for_writing
from formats.storage import publish, write_text
from formats.tables import (
    ClipRow,
    DuplicateRow,
    Fate,
    LabelledRow,
    LabelRow,
    MatchRow,
    RepostRow,
    VideoRow,
    change_rows,
    count_rows,
    from_batch,
    part_files,
    read_batches,
    read_rows,
    schema_of,
    to_batch,
    write_rows,
)
from labelspace.space import cumulative_curve, gini
from pipelines.identity import split_piece
from pipelines.removal.repost_orphans import remember_orphans
from pipelines.removal.takedown_list import ID, UPLOADER, URI, TakedownList, read_list, write_list
from pipelines.run import JobError

PLANNED = "planned.json"
_EVIDENCE = {"duplicates": DuplicateRow, "decoys": DuplicateRow, "reposts": RepostRow}


def taken_down_keys(out: Path) -> frozenset[str]:
    """The row keys of everything that was taken down of a folder."""
    return frozenset(read_list(out).videos)


def remember_matches(out: Path) -> None:
    """Put the videos on the list that a new catalog showed its names to stand for."""
    taken = read_list(out)
    if not taken.names:
        return
    found: dict[str, str] = {}
    for file in part_files(str(out / "matches")):
        for batch in read_batches(file, schema_of(MatchRow, "row_key", "taken_down")):
            gone = batch.filter(pc.is_valid(batch.column("taken_down")))
            columns = (gone.column(name).to_pylist() for name in ("row_key", "taken_down"))
            found.update(zip(*columns, strict=True))
    if not found.keys() <= taken.videos.keys():
        write_list(out, taken.with_videos(found))


def strike_matches(batch: pa.RecordBatch, taken: TakedownList) -> pa.RecordBatch:
    """The batch of matches with a ghost for every row that is named on the list."""
    if not taken:
        return batch
    rows = list(from_batch(batch, MatchRow))
    kinds = [row.taken_down or taken.kind_of(row.row_key, names_of(row)) for row in rows]
    if not any(kinds):
        return batch
    return to_batch(
        [ghost(r, kind) if kind else r for r, kind in zip(rows, kinds, strict=True)], MatchRow
    )


def names_of(row: MatchRow) -> Iterator[tuple[str, str]]:
    """(kind, name) of everything that the posts of a match are known by, besides their URI.

    A piece is known by the URI of its video, too.
    """
    yield ID, row.video_id
    whole, piece = split_piece(row.uri)
    if piece is not None:
        yield URI, whole
    if row.uploader:
        yield UPLOADER, row.uploader
    yield from map(split_name, row.merged)


def split_name(text: str) -> tuple[str, str]:
    """The kind and the name of `kind:name`, as tables hold them.

    >>> split_name("uploader:a:b")
    ('uploader', 'a:b')
    """
    kind, _, name = text.partition(":")
    return kind, name


def ghost(row: MatchRow, kind: str) -> MatchRow:
    """What is left of a match."""
    return MatchRow(row.row_key, "", "", row.labels, (), taken_down=kind)


def purge_videos(out: Path, keys: Collection[str]) -> None:
    """Take the videos of these row keys out of the parts of `videos/` that hold them.

    Such a part is written anew under a name that follows from the old one and from what was taken
    out, its table last, and only then deleted: at every moment each table fits its tar.

    Raises:
        JobError: a video that stays is damaged; it cannot be copied.
        StorageError: the disk refused.
    """
    duplicates = _duplicates(out, keys)
    for table in part_files(str(out / "videos")):
        if gone := _stored_keys(table, keys):
            rows = [_video_ghost(r, duplicates) if r.row_key in gone else r for r in _videos(table)]
            name = f"part-{digest_of(Path(table).stem, sorted(gone))[:16]}"
            _write_part(Path(table), name, [row for row in rows if row is not None])
            Path(table).unlink()
            Path(table).with_suffix(".tar").unlink(missing_ok=True)


def drop_duplicates(out: Path, keys: Collection[str]) -> None:
    """Take the evidence against these videos out of `duplicates/`, `decoys/` and `reposts/`.

    That against the re-posts of these videos stays, for another run of the stage too.
    """
    remember_orphans(out, keys)
    for table, row_type in _EVIDENCE.items():
        for file in part_files(str(out / table)):
            change_rows(file, row_type, keys, lambda _: None)


def strike_labelled(out: Path, keys: Collection[str]) -> None:
    """Leave only their places in `labelled/`."""
    for file in part_files(str(out / "labelled")):
        change_rows(file, LabelledRow, keys, lambda row: replace(row, video_id=""))


def drop_clips(out: Path, keys: Collection[str]) -> None:
    """Take the clips of these videos out of every split of `clips/`."""
    for folder in sorted((out / "clips").glob("*/")):
        for file in part_files(str(out / "clips" / folder.name)):
            change_rows(file, ClipRow, keys, lambda _: None)


def write_planned(out: Path, splits: Iterable[str]) -> None:
    """Keep how many clips each split was planned with: how many shards it has follows from that."""
    planned = {name: sum(map(count_rows, part_files(str(out / "clips" / name)))) for name in splits}
    write_text(str(out / "clips" / PLANNED), json.dumps(planned, sort_keys=True) + "\n")


def read_planned(out: Path) -> dict[str, int]:
    """What `write_planned` left; nothing where it did not."""
    path = out / "clips" / PLANNED
    return dict(json.loads(path.read_text())) if path.exists() else {}


def restate_labels(out: Path) -> None:
    """Let `labels.parquet` and `labels.json` count the videos that are there, not the ghosts.

    Which labels there are, and why others are not, stays as it was decided, and so do the numbers
    of those left out. A space without ghosts is not touched.
    """
    carried, assigned, ghosts = _count_labelled(out)
    if not ghosts:
        return
    space, manifest = out / "labels.parquet", out / "labels.json"
    rows = [
        replace(row, videos=carried[row.label_id], assigned=assigned[row.label_id])
        for row in read_rows(str(space), LabelRow)
    ]
    content = json.loads(manifest.read_text(encoding="utf-8"))
    videos = [row.videos for row in rows]
    content["videos"] = assigned.total()
    content["skew"] = {
        "gini": gini(videos) if any(videos) else None,
        "cumulative_curve": cumulative_curve(videos) if any(videos) else [],
    }
    text = json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    if rows != list(read_rows(str(space), LabelRow)):
        write_rows(str(space), rows, LabelRow)
    if text != manifest.read_text(encoding="utf-8"):
        write_text(str(manifest), text)


def label_counts(out: Path) -> dict[str, int]:
    """How many labels there are, and videos that train them."""
    rows = list(read_rows(str(out / "labels.parquet"), LabelRow))
    return {"labels": len(rows), "videos": sum(row.assigned for row in rows)}


def _count_labelled(out: Path) -> tuple[Counter[int], Counter[int], int]:
    """Videos that carry each label, videos that train each, and ghosts."""
    carried: Counter[int] = Counter()
    assigned: Counter[int] = Counter()
    ghosts = 0
    for file in part_files(str(out / "labelled")):
        for batch in read_batches(file, schema_of(LabelledRow, "video_id", "label_id", "labels")):
            there = batch.filter(pc.not_equal(batch.column("video_id"), ""))
            ghosts += batch.num_rows - there.num_rows
            assigned.update(there.column("label_id").to_pylist())
            carried.update(pc.list_flatten(there.column("labels")).to_pylist())
    return carried, assigned, ghosts


def _stored_keys(table: str, keys: Collection[str]) -> frozenset[str]:
    """Those of the keys of which a part still holds something."""
    found: set[str] = set()
    wanted = pa.array(sorted(keys), pa.string())
    for batch in read_batches(table, schema_of(VideoRow, "row_key", "status")):
        there = pc.and_(
            pc.is_in(batch.column("row_key"), wanted),
            pc.not_equal(batch.column("status"), str(Fate.TAKEN_DOWN)),
        )
        found.update(batch.filter(there).column("row_key").to_pylist())
    return frozenset(found)


def _video_ghost(row: VideoRow, duplicates: Collection[str]) -> VideoRow | None:
    """What is left of a video; nothing of one that was not stored, or that no label ever counted.

    >>> _video_ghost(VideoRow("k", "v", "rejected", "gone"), ()) is None
    True
    """
    if row.duration_s is None or row.row_key in duplicates:
        return None
    place = VideoRow(row.row_key, "", Fate.TAKEN_DOWN, tries=row.tries)
    return replace(place, duration_s=row.duration_s, fps=row.fps)


def _write_part(old: Path, name: str, rows: list[VideoRow]) -> None:
    if not rows:
        return
    tar_path = old.with_name(f"{name}.tar")
    table = str(tar_path.with_suffix(".parquet"))
    with publish(table) as listed, publish(str(tar_path)) as packed:
        moved = []
        with open(packed, "wb") as file, open_for_writing(file) as tar:
            for row in rows:
                if row.part is not None:
                    content = _stored_bytes(old.with_name(row.part), row)
                    offset = add_member(tar, f"{row.row_key}.mp4", content)
                    row = replace(row, part=tar_path.name, offset=offset)
                moved.append(row)
        write_rows(listed, moved, VideoRow)


def _stored_bytes(tar: Path, row: VideoRow) -> bytes:
    try:
        with open(tar, "rb") as file:
            file.seek(row.offset or 0)
            content = file.read(row.size_bytes or 0)
    except FileNotFoundError:
        content = b""
    if len(content) != row.size_bytes or (
        row.sha256 is not None and hashlib.sha256(content).hexdigest() != row.sha256
    ):
        raise JobError(
            f"{tar}: video {row.row_key} in it is damaged, so the part cannot be written without "
            "what is taken down; delete it and its .parquet (fetch brings back what may stay), "
            "then run takedown again"
        )
    return content


def _duplicates(out: Path, keys: Collection[str]) -> frozenset[str]:
    wanted, found = pa.array(sorted(keys), pa.string()), set()
    files = [file for table in ("duplicates", "reposts") for file in part_files(str(out / table))]
    for file in files:
        for batch in read_batches(file, schema_of(DuplicateRow, "row_key")):
            column = batch.column("row_key")
            found.update(column.filter(pc.is_in(column, wanted)).to_pylist())
    return frozenset(found)


def _videos(table: str) -> list[VideoRow]:
    return list(read_rows(table, VideoRow))
