"""JSON objects, one a line or one a file -> catalog rows, those of yt-dlp by its own names."""

import contextlib
import itertools
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.blocks import BLOCK_BYTES, RECORD_BYTES, Block, Lines, open_text, read_blocks
from pipelines.columns import (
    BATCH_ROWS,
    NO_LIST,
    CatalogBatch,
    CatalogError,
    Place,
    check_names,
    column_names,
    conform,
    has_needed,
)
from pipelines.options import MatchOptions

# So that not even the longest texts of one batch reach the 2 GiB of an Arrow array.
_FILES = 32
_HEAD_OBJECTS = 100
_HEAD_LINES = 10_000
_DEFAULTS = {field.name: field.default for field in fields(MatchOptions)}
_YTDLP = {
    "video_id": ("id",),
    "uri": ("webpage_url", "original_url", "url"),
    "hashtags": ("tags",),
    "uploader": ("uploader", "channel", "uploader_id"),
    "licence": ("license",),
    "duration_s": ("duration",),
}
_YTDLP_LISTS = ("playlist", "multi_video")
# What the APIs of TikTok, Twitter and YouTube call the text of a hashtag.
_HASHTAG_KEYS = ("name", "text", "title", "hashtagName")
_DECODER = json.JSONDecoder()

Record = dict[str, Any]


def read_jsonl(
    path: str, options: MatchOptions, block_bytes: int = BLOCK_BYTES
) -> Iterator[CatalogBatch]:
    """The objects of a file that holds one a line, one batch per 32,768 lines or per block.

    Raises:
        CatalogError: the file is no UTF-8 text.
        OSError, EOFError, zlib.error: it cannot be read (on).
    """
    for block in read_blocks(path, Lines(), block_bytes):
        for start in range(0, len(block.starts), BATCH_ROWS):
            parsed = _parse_lines(block, start)
            kept = [row for row, record in enumerate(parsed) if record is not None]
            lines = block.lines[start : start + BATCH_ROWS][kept]
            yield _conform([parsed[row] for row in kept], options, _on_line(path, lines))


def read_info_files(paths: Sequence[str], options: MatchOptions) -> Iterator[CatalogBatch]:
    """The objects of yt-dlp's info files, one a file, in one batch.

    A file that cannot be read is an unreadable row; a playlist is no row.
    """
    for some in (paths[start : start + _FILES] for start in range(0, len(paths), _FILES)):
        records = [(path, _read_info(path, options)) for path in some]
        kept = [(path, record) for path, record in records if record is not None]
        places = [path for path, _ in kept]
        yield _conform([record for _, record in kept], options, _in_file(places))


def check_keys(path: str, options: MatchOptions) -> None:
    """Refuse a file whose first objects lack a key that we need.

    Raises:
        CatalogError: names what is wanted and what was found, or says that there are no objects.
        OSError, EOFError, zlib.error: the file cannot be read.
    """
    head = list(_head(path))
    records = [record for record in head if isinstance(record, dict)]
    if head and not records:
        raise CatalogError(
            f"{path}: no line of it is a JSON object; write one object a line (.jsonl), not one "
            "list or an object over several lines"
        )
    keys = list(dict.fromkeys(key for record in records for key in record))
    ytdlp = next((record for record in records if _is_ytdlp(record)), None)
    if ytdlp is not None and has_needed(list(_from_ytdlp(ytdlp, options)), options):
        return
    check_names(path, keys, options)


def parse_object(text: bytes) -> Record | str:
    """The JSON object, or why it is none."""
    try:
        content = text.strip().decode()
        # What json.loads() does, without its checks of arguments: a quarter of the time.
        record, end = _DECODER.raw_decode(content)
    except UnicodeDecodeError:
        return "not UTF-8"
    except RecursionError:
        return "nested too deep"
    except ValueError as error:
        return f"not JSON: {getattr(error, 'msg', error)}"
    if end < len(content):
        return "not JSON: Extra data"
    return record if isinstance(record, dict) else "no JSON object"


def _head(path: str) -> Iterator[Record | str]:
    """The first lines' objects, until there are a hundred."""
    blocks = read_blocks(path, Lines(), 1 << 16)
    parsed = (record for block in blocks for record in _parse_lines(block, 0))
    objects = 0
    for record in itertools.islice(parsed, _HEAD_LINES):
        if record is not None:
            yield record
        objects += isinstance(record, dict)
        if objects == _HEAD_OBJECTS:
            return


def _parse_lines(block: Block, start: int) -> list[Record | str | None]:
    """Of each line of a batch its object, or why it is none; None for what is no row."""
    if block.split.reasons:
        return [block.split.reasons[row] for row in range(start, len(block.starts))]
    ends = block.split.ends[start : start + BATCH_ROWS]
    lines = block.data[block.starts[start] : ends[-1]].split(b"\n")[:-1]
    return [_parse_line(line) for line in lines]


def _parse_line(line: bytes) -> Record | str | None:
    if not line or line.isspace():
        return None
    record = parse_object(line)
    return None if _is_playlist(record) else record


def _read_info(path: str, options: MatchOptions) -> Record | str | None:
    """What we need of the file's object, or why it is none; None for a playlist."""
    try:
        with open_text(path) as stream:
            text = stream.read(RECORD_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read: {error}"
    if len(text) > RECORD_BYTES:
        return f"longer than {RECORD_BYTES >> 20} MiB"
    record = parse_object(text.removeprefix(b"\xef\xbb\xbf"))
    if isinstance(record, str):
        return record
    return None if record.get("_type") in _YTDLP_LISTS else _from_ytdlp(record, options)


def _is_ytdlp(record: Record) -> bool:
    return "webpage_url" in record and ("extractor" in record or "extractor_key" in record)


def _is_playlist(record: Record | str) -> bool:
    """Whether this is yt-dlp's entry for a list of posts, which is no post."""
    return "_type" in record and isinstance(record, dict) and record["_type"] in _YTDLP_LISTS


def _renamed(record: Record | str | None, options: MatchOptions) -> Record:
    if not isinstance(record, dict):
        return {}
    return _from_ytdlp(record, options) if _is_ytdlp(record) else record


def _from_ytdlp(record: Record, options: MatchOptions) -> Record:
    """The record under the user's names: what they name is there, or else is yt-dlp's own."""
    renamed = {}
    for field, name in column_names(options).items():
        value = record.get(name)
        if value is None and name == _DEFAULTS[field]:
            value = _caption(record) if field == "caption" else _first(record, _YTDLP[field])
        if value is not None:
            renamed[name] = value
    return renamed


def _first(record: Record, keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _caption(record: Record) -> str | None:
    texts = [record.get("title"), record.get("description")]
    return "\n".join(text for text in texts if isinstance(text, str) and text) or None


def _in_file(paths: list[str]) -> Place:
    return lambda row: (paths[row], None)


def _on_line(path: str, lines: np.ndarray) -> Place:
    return lambda row: (path, int(lines[row]))


def _conform(
    records: Sequence[Record | str | None], options: MatchOptions, place: Place
) -> CatalogBatch:
    refused = {row: record for row, record in enumerate(records) if isinstance(record, str)}
    objects = [_renamed(record, options) for record in records]
    columns: dict[str, pa.Array] = {}
    reasons: dict[int, str] = {}
    for field, name in column_names(options).items():
        values = [record.get(name) for record in objects]
        if field == "hashtags":
            columns |= _hashtag_columns(values, reasons)
        else:
            columns[field] = _text_column(field, values, reasons)
    return conform(columns, len(records), place, reasons | refused)


def _text_column(field: str, values: list[Any], reasons: dict[int, str]) -> pa.Array:
    """The values as text; an id or URI that is a list, an object or a truth value is refused."""
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError):
        texts = [_text(value) for value in values]
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        if field in ("video_id", "uri") and text is None and isinstance(value, list | dict | bool):
            reasons.setdefault(row, f"{field} is no text")
    return pa.array(texts, pa.binary())


def _hashtag_columns(values: list[Any], reasons: dict[int, str]) -> Mapping[str, pa.Array]:
    """The lists of hashtags, and beside them the texts of the records that have a text instead."""
    # Arrow would take a text for the list of its letters.
    if {list, type(None)}.issuperset(map(type, values)):
        with contextlib.suppress(pa.ArrowException, UnicodeEncodeError):
            return {"hashtags": pa.array(values, pa.list_(pa.string()))}
    lists = [_entries(value) if isinstance(value, list) else None for value in values]
    texts = [_text(value) for value in values]
    for row, value in enumerate(values):
        if not _is_null(value) and lists[row] is None and texts[row] is None:
            reasons.setdefault(row, NO_LIST)
    return {
        "hashtags": pa.array(lists, pa.list_(pa.binary())),
        "hashtag_texts": pa.array(texts, pa.binary()),
    }


def _entries(values: list[Any]) -> list[bytes] | None:
    """The hashtags of a list; None if an entry is none."""
    entries = [_entry(value) for value in values if not _is_null(value)]
    return None if None in entries else [entry for entry in entries if entry is not None]


def _entry(value: Any) -> bytes | None:
    if isinstance(value, dict):
        value = next((value[key] for key in _HASHTAG_KEYS if isinstance(value.get(key), str)), None)
    return _text(value)


def _text(value: Any) -> bytes | None:
    """A text or a number as bytes; those of a lone surrogate are no UTF-8, which tells it."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value).encode() if is_number and not _is_null(value) else None


def _is_null(value: Any) -> bool:
    """Whether the value is null, or NaN, which pandas writes for it."""
    return value is None or value != value
