"""Columns as a catalog's reader found them -> the catalog's schema, row by row checked."""

import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from formats.tables import CatalogRow, UnreadableRow, schema_of
from labelspace.bulk import split_hashtag_fields
from pipelines.options import MatchOptions
from pipelines.readers.lengths import to_seconds
from pipelines.readers.values import Mask, is_textual, item_type, to_lists, to_mask, to_texts

BATCH_ROWS = 32_768
NO_LIST = "hashtags are no list of texts"
NO_LENGTH = "duration is no length"
NO_PIECE = "start and end are no piece of a video"

_REQUIRED = ("video_id", "uri", "hashtags", "caption")
_TEXTS = ("video_id", "uri", "caption", "uploader", "licence")
# White space around these says nothing, while a caption is as people wrote it.
_TRIMMED = ("video_id", "uri", "uploader", "licence")
_GOOD, _NOT_UTF8, _NO_ID, _NO_URI, _NO_LIST, _NO_LENGTH, _NO_PIECE = range(7)
_REASONS = ("", "not UTF-8", "no video_id", "no uri", NO_LIST, NO_LENGTH, NO_PIECE)
_SHORTEST_PIECE_S = 0.01
_LATEST_S = 1e8
_NONE_REFUSED: Mapping[int, str] = MappingProxyType({})

Place = Callable[[int], tuple[str, int | None]]
"""Index of a row -> the file and the line where it is."""


class CatalogError(Exception):
    """The catalog, or one file of it, is missing, is in no form we read, or lacks a column."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


@dataclass(frozen=True)
class Found:
    """What is known of the columns of one file of the catalog before its rows are read."""

    names: tuple[str, ...] = ()
    """Its columns, or the keys of its first objects."""
    fields: frozenset[str] = frozenset()
    """Our fields that have a column in it."""
    whole: bool = True
    """Whether that is all there is; later objects may have more keys than the first."""


@dataclass(frozen=True)
class CatalogBatch:
    """Rows in the catalog's schema, and what was met between them."""

    rows: pa.RecordBatch
    unreadable: tuple[UnreadableRow, ...] = ()
    photos: int = 0
    """YFCC100M rows that are pictures, not videos: left out, counted."""
    seen: Mapping[str, int] = field(default_factory=dict)
    """Of JSON objects: our field -> how many of them have its key."""


def column_names(options: MatchOptions) -> dict[str, str]:
    """Our field -> the user's column."""
    return {name: getattr(options, name) for name in schema_of(CatalogRow).names}


def conform(
    columns: Mapping[str, pa.Array],
    rows: int,
    place: Place,
    refused: Mapping[int, str] = _NONE_REFUSED,
    *,
    needs_length: bool = False,
) -> CatalogBatch:
    """The rows in the catalog's schema; those that lack something we need are reported instead.

    Args:
        columns: our field -> its values; a field may be missing. `hashtags` holds lists or texts;
            beside lists, `hashtag_texts` holds those of the rows that have a text instead.
        rows: how many there are.
        place: where a row is, for the report.
        refused: rows, by index, that the reader itself could not read, and why.
        needs_length: whether a row that states a duration which is none is unreadable.
    """
    why = np.zeros(rows, np.int8)
    arrays, broken = {}, {}
    for name in _TEXTS:
        arrays[name], broken[name] = to_texts(columns.get(name), rows)
    arrays["hashtags"], broken["hashtags"], no_list = _hashtags(columns, rows)
    arrays |= {name: _trim(arrays[name]) for name in _TRIMMED}
    length_s, no_length = to_seconds(columns.get("duration_s"), rows)
    arrays["start_s"], arrays["end_s"], no_piece = _pieces(columns, rows)
    piece_s = pc.subtract(arrays["end_s"], arrays["start_s"])
    arrays["duration_s"] = pc.coalesce(piece_s, length_s)
    for name in _REQUIRED:
        _mark(why, broken[name], _NOT_UTF8)
    _mark(why, _missing(arrays["video_id"]), _NO_ID)
    _mark(why, _missing(arrays["uri"]), _NO_URI)
    _mark(why, no_list, _NO_LIST)
    _mark(why, no_piece, _NO_PIECE)
    if needs_length:
        _mark(why, no_length, _NO_LENGTH)
    reasons = {int(row): _REASONS[why[row]] for row in np.flatnonzero(why)} | dict(refused)
    schema = schema_of(CatalogRow)
    batch = pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)
    if not reasons:
        return CatalogBatch(batch)
    good = np.ones(rows, np.bool_)
    good[list(reasons)] = False
    unreadable = (_unreadable(place(row), reasons[row]) for row in sorted(reasons))
    return CatalogBatch(batch.filter(pa.array(good)), tuple(unreadable))


def printable(text: str) -> str:
    r"""A text that names files, where bytes of a name that are no UTF-8 are written `\xe9`."""
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def find_columns(names: Iterable[str], options: MatchOptions) -> Found:
    """What a table has whose columns are these."""
    found = tuple(names)
    fields = (ours for ours, name in column_names(options).items() if name in found)
    return Found(found, frozenset(fields))


def asks_length(options: MatchOptions) -> bool:
    """Whether rows are chosen by their duration."""
    return bool(options.min_duration_s or options.max_duration_s)


def check_names(path: str, found: Sequence[str], options: MatchOptions) -> None:
    """Refuse a table that lacks a column we cannot do without, or has one of ours twice.

    Raises:
        CatalogError: names what is wanted, what was found, and how to map the one to the other.
    """
    wanted = column_names(options)
    for name in dict.fromkeys(wanted.values()):
        if found.count(name) > 1:
            raise CatalogError(f"{path}: has {found.count(name)} columns named {name!r}; keep one")
    if has_needed(found, options):
        return
    raise CatalogError(
        f"{path}: needs the columns {options.video_id!r}, {options.uri!r} and "
        f"{options.hashtags!r} or {options.caption!r}; found: {show_names(found)}. "
        'Name yours with SET="match.uri=url match.hashtags=tags ..."'
    )


def show_names(names: Sequence[str]) -> str:
    """Names of columns for a message, the first 40 of them."""
    return ", ".join(map(_shown, names[:40])) + (", ..." if len(names) > 40 else "") or "none"


def _shown(name: str) -> str:
    """A column's name as it may be printed: bytes that are no text do odd things to a terminal."""
    cut = name[:40]
    return cut if cut.isprintable() else ascii(cut)


def has_needed(found: Collection[str], options: MatchOptions) -> bool:
    """Whether the columns that we cannot do without are among those found."""
    return has_ids(found, options) and (options.hashtags in found or options.caption in found)


def has_ids(found: Collection[str], options: MatchOptions) -> bool:
    """Whether those are that every single row must fill."""
    return options.video_id in found and options.uri in found


def check_types(path: str, schema: pa.Schema, options: MatchOptions) -> None:
    """Refuse columns of a type in which there can be no id, URI, hashtags or caption.

    Raises:
        CatalogError: names the column and its type.
    """
    for name in _REQUIRED:
        column = getattr(options, name)
        kind = schema.field(column).type if column in schema.names else pa.string()
        item = item_type(kind) if name == "hashtags" else None
        if not is_textual(kind) and not (item is not None and is_textual(item)):
            raise CatalogError(
                f"{path}: column {column!r} is of type {kind}, in which there is no {name}; "
                f"write it as text{' or as a list of texts' if name == 'hashtags' else ''}"
            )


def _mark(why: NDArray[np.int8], rows: Mask, reason: int) -> None:
    why[rows & (why == _GOOD)] = reason


def _missing(texts: pa.StringArray) -> Mask:
    return to_mask(pc.fill_null(pc.equal(texts, ""), True))


def _trim(texts: pa.StringArray) -> pa.StringArray:
    """The texts without white space around them; what is ASCII goes the way that is fast."""
    is_ascii = pc.string_is_ascii(texts)
    trimmed = pc.ascii_trim_whitespace(texts)
    if pc.all(is_ascii).as_py() in (True, None):
        return trimmed
    return pc.if_else(is_ascii, trimmed, pc.utf8_trim_whitespace(texts))


def _unreadable(where: tuple[str, int | None], reason: str) -> UnreadableRow:
    path, line = where
    return UnreadableRow(printable(path), line, reason)


def _pieces(
    columns: Mapping[str, pa.Array], rows: int
) -> tuple[pa.DoubleArray, pa.DoubleArray, Mask]:
    """The seconds at which pieces begin and end, null for whole videos; which rows have neither."""
    if "start_s" not in columns and "end_s" not in columns:
        whole = pa.nulls(rows, pa.float64())
        return whole, whole, np.zeros(rows, np.bool_)
    start_s, no_start = to_seconds(columns.get("start_s"), rows)
    end_s, no_end = to_seconds(columns.get("end_s"), rows)
    start_s = pc.if_else(end_s.is_valid(), pc.fill_null(start_s, 0.0), start_s)
    fits = pc.and_(
        pc.and_(pc.greater_equal(start_s, 0.0), pc.less(end_s, _LATEST_S)),
        pc.greater_equal(pc.subtract(end_s, start_s), _SHORTEST_PIECE_S),
    )
    stated = pc.or_(start_s.is_valid(), end_s.is_valid())
    wrong = to_mask(pc.and_(stated, pc.invert(pc.fill_null(fits, False))))
    return start_s, end_s, wrong | no_start | no_end


def _hashtags(columns: Mapping[str, pa.Array], rows: int) -> tuple[pa.ListArray, Mask, Mask]:
    """One hashtag an entry; which rows are not UTF-8; which hold a text that is no list."""
    given, texts = columns.get("hashtags"), columns.get("hashtag_texts")
    if given is None or item_type(given.type) is None:
        given, texts = None, given
    listed, broken = to_lists(given, rows)
    if texts is None:
        return listed, broken, np.zeros(rows, np.bool_)
    decoded, not_utf8 = to_texts(texts, rows)
    split = split_hashtag_fields(decoded)
    no_list = to_mask(pc.and_(decoded.is_valid(), split.is_null()))
    return pc.coalesce(listed, split), broken | not_utf8, no_list
