"""Every row type of the system and its Parquet form.

A table's schema is read off its dataclass, so a field is declared once. The bytes written depend on
the rows and their order alone (under one version of pyarrow).
"""

import types
import typing
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Annotated, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from formats.fates import Fate as Fate
from formats.fates import Reason as Reason
from formats.storage import publish

Float32 = Annotated[float, pa.float32()]
Int8 = Annotated[int, pa.int8()]

ROW_GROUP_ROWS = 65_536


class TableError(Exception):
    """A file is not the Parquet table that its reader needs."""


@dataclass(frozen=True)
class CatalogRow:
    """A public post as the user's catalog lists it."""

    video_id: str
    uri: str
    hashtags: tuple[str, ...] | None = None
    caption: str | None = None
    uploader: str | None = None
    licence: str | None = None
    duration_s: float | None = None


@dataclass(frozen=True)
class HashtagRow:
    """A folded hashtag that stands for a seed label, or for one half of a verb+noun label."""

    hashtag: str
    label: str
    role: str = "label"
    """`label`, or in the verb_noun space `verb` / `noun`: a tag there is one of each, joined."""
    synset: str | None = None
    """WordNet id of a noun label, e.g. `n02084071`."""


@dataclass(frozen=True)
class MatchRow:
    """A catalog video that carries at least one relevant hashtag."""

    row_key: str
    """Hex hash of the URI: the video's identity in every later table."""
    video_id: str
    uri: str
    labels: tuple[str, ...]
    """Seed labels, sorted."""
    hashtags: tuple[str, ...]
    """The relevant hashtags found, folded, sorted."""
    uploader: str | None = None
    licence: str | None = None


@dataclass(frozen=True)
class VideoRow:
    """What became of one match when it was fetched; facts are of the stored video."""

    row_key: str
    video_id: str
    status: str
    """`stored`, `rejected` (final) or `retry_later`."""
    reason: str | None = None
    part: str | None = None
    """Name of the tar that holds the video, relative to `videos/`."""
    offset: int | None = None
    """Where the video's bytes begin in that tar."""
    size_bytes: int | None = None
    sha256: str | None = None
    source_sha256: str | None = None
    source_bytes: int | None = None
    duration_s: float | None = None
    """Decoded length; what the container claims is never used."""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    fingerprint: tuple[bytes, ...] = ()
    """256-bit perceptual hashes; entry i was taken at `seconds[i]` from `versions[i]`."""
    seconds: tuple[Float32, ...] = ()
    versions: tuple[str, ...] = ()
    tries: int = 0
    final_uri: str | None = None
    detail: str | None = None
    """One line on a reason, for people: the HTTP status, the decoder's words."""


@dataclass(frozen=True)
class TargetHashRow:
    """One perceptual hash of one frame of a target video, in one variant."""

    video_id: str
    label: str | None
    second: Float32
    variant: str
    phash: bytes


@dataclass(frozen=True)
class DuplicateRow:
    """A source video that may overlap a target video, with the evidence."""

    row_key: str
    video_id: str
    target: str
    target_video_id: str
    matched_frames: int
    offset_s: Float32
    """Source second minus target second, of the closest pair of frames."""
    min_distance: int
    """Hamming distance in bits of the closest pair, 0..256."""
    variant: str
    """How the target frame was altered to match, e.g. `mirror`."""
    source_second: Float32 = 0.0
    target_second: Float32 = 0.0


@dataclass(frozen=True)
class LabelRow:
    """One label of the label space; `label_id` is its position."""

    label_id: int
    label: str
    videos: int
    """Videos that carry the label: what `min_videos` looks at."""
    assigned: int
    """Those of them that train it; the others train another of their labels."""


@dataclass(frozen=True)
class LabelledRow:
    """A stored, unduplicated video with the one label it trains."""

    row_key: str
    video_id: str
    label_id: int
    labels: tuple[int, ...]
    """All of its labels in the label space, sorted."""
    duration_s: float
    repeats: float
    """How often square-root sampling draws the video per pass, relative to the rest."""


@dataclass(frozen=True)
class ClipRow:
    """One piece of a video in one split; `end_s` is exclusive."""

    clip_id: str
    row_key: str
    video_id: str
    label_id: int
    start_s: float
    end_s: float
    repeats: float


@dataclass(frozen=True)
class LedgerRow:
    """The one fate of one matched catalog row."""

    row_key: str
    video_id: str
    fate: str
    reason: str | None
    stage: str


Row = TypeVar("Row")


def schema_of(row_type: type) -> pa.Schema:
    """The Arrow schema of a row type, fields in order of declaration.

    >>> schema_of(LabelRow).names
    ['label_id', 'label', 'videos', 'assigned']
    """
    hints = typing.get_type_hints(row_type, include_extras=True)
    return pa.schema([_field(f.name, hints[f.name]) for f in fields(row_type)])


def to_batch(rows: Sequence[object], row_type: type) -> pa.RecordBatch:
    """Rows as one record batch; memory is that of the rows."""
    schema = schema_of(row_type)
    columns = [pa.array([getattr(row, f.name) for row in rows], type=f.type) for f in schema]
    return pa.record_batch(columns, schema=schema)


def from_batch(batch: pa.RecordBatch | pa.Table, row_type: type[Row]) -> Iterator[Row]:
    """The batch's rows as dataclasses, lists as tuples."""
    names = [f.name for f in fields(row_type)]  # type: ignore[arg-type]
    columns = [batch.column(name).to_pylist() for name in names]
    for values in zip(*columns, strict=True):
        yield row_type(*(tuple(v) if isinstance(v, list) else v for v in values))


def write_rows(path: str, rows: Iterable[object], row_type: type) -> int:
    """Write rows to one Parquet file in their order, atomically; return how many.

    Holds one row group of 65,536 rows at a time, so memory does not grow with the table.
    """
    return write_batches(path, _batches(rows, row_type), schema_of(row_type))


def write_batches(path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> int:
    """Write record batches to one Parquet file in their order, atomically; return the rows."""
    count = 0
    with publish(path) as temporary, _writer(temporary, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
            count += batch.num_rows
    return count


def read_rows(path: str, row_type: type[Row]) -> Iterator[Row]:
    """The rows of a Parquet file, one row group in memory at a time.

    Raises:
        TableError: the file is missing, is no Parquet file or lacks a column.
    """
    for batch in read_batches(path, schema_of(row_type)):
        yield from from_batch(batch, row_type)


def count_rows(path: str) -> int:
    """How many rows a Parquet file holds, from its footer.

    Raises:
        TableError: the file is missing or is no Parquet file.
    """
    try:
        return int(pq.read_metadata(path).num_rows)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {error}") from error


def read_batches(path: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The record batches of a Parquet file, cast to the schema.

    Raises:
        TableError: the file is missing, is no Parquet file or lacks a column.
    """
    try:
        with pq.ParquetFile(path) as file:
            missing = set(schema.names) - set(file.schema_arrow.names)
            if missing:
                raise TableError(f"{path}: lacks the columns {', '.join(sorted(missing))}")
            for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS, columns=schema.names):
                yield batch.select(schema.names).cast(schema)
    except (OSError, pa.ArrowInvalid) as error:
        raise TableError(f"{path}: cannot be read as Parquet: {error}") from error


def _writer(path: str, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, schema, compression="zstd", store_schema=False)


def _field(name: str, hint: object) -> pa.Field:
    optional = typing.get_origin(hint) in (types.UnionType, typing.Union)
    if optional:
        (hint,) = (a for a in typing.get_args(hint) if a is not type(None))
    return pa.field(name, _arrow_type(hint), nullable=optional)


def _arrow_type(hint: object) -> pa.DataType:
    if typing.get_origin(hint) is Annotated:
        return typing.cast(pa.DataType, typing.get_args(hint)[1])
    if typing.get_origin(hint) is tuple:
        return pa.list_(_arrow_type(typing.get_args(hint)[0]))
    plain = {str: pa.string(), int: pa.int64(), float: pa.float64(), bytes: pa.binary()}
    return plain[typing.cast(type, hint)]


def _batches(rows: Iterable[object], row_type: type) -> Iterator[pa.RecordBatch]:
    held: list[object] = []
    for row in rows:
        held.append(row)
        if len(held) == ROW_GROUP_ROWS:
            yield to_batch(held, row_type)
            held = []
    if held:
        yield to_batch(held, row_type)
