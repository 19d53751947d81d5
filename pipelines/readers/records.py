"""JSON objects, one a line or one a file -> catalog rows, those of yt-dlp by its own names."""

import itertools
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.options import MatchOptions
from pipelines.readers.blocks import BLOCK_BYTES, RECORD_BYTES, Block, Lines, open_text, read_blocks
from pipelines.readers.columns import (
    BATCH_ROWS,
    NO_LENGTH,
    NO_PIECE,
    CatalogBatch,
    CatalogError,
    Found,
    Place,
    asks_length,
    check_names,
    column_names,
    conform,
    has_ids,
)
from pipelines.readers.json_columns import hashtag_columns, text_column

# So that not even the longest texts of one batch reach the 2 GiB of an Arrow array.
_FILES = 32
_HEAD_OBJECTS = 100
_HEAD_LINES = 10_000
_DEFAULTS = {field.name: field.default for field in fields(MatchOptions)}
_YTDLP = {
    "video_id": ("id",),
    "uri": ("webpage_url", "original_url", "url"),
    "hashtags": ("tags",),
    "caption": ("title", "description"),
    "uploader": ("uploader", "channel", "uploader_id"),
    "licence": ("license",),
    "duration_s": ("duration",),
}
_YTDLP_LISTS = ("playlist", "multi_video")
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


def check_keys(path: str, options: MatchOptions) -> Found:
    """The keys of a file's first objects; refused is one where no object has an id, or a URI.

    Other keys may come later, and a file without lines is one without rows.

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
    known = has_ids(keys, options) or has_ids(_renamed(ytdlp, options), options)
    if head and not known:
        check_names(path, keys, options)
    return Found(tuple(keys), whole=False)


def find_keys(path: str) -> Found:
    """The keys of an info file, as an example of what such files have."""
    record = _load_info(path)
    return Found(tuple(record) if isinstance(record, dict) else (), whole=False)


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
    record = _load_info(path)
    if isinstance(record, str):
        return record
    return None if record.get("_type") in _YTDLP_LISTS else _from_ytdlp(record, options)


def _load_info(path: str) -> Record | str:
    try:
        with open_text(path) as stream:
            text = stream.read(RECORD_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        return f"cannot be read: {error}"
    if len(text) > RECORD_BYTES:
        return f"longer than {RECORD_BYTES >> 20} MiB"
    return parse_object(text.removeprefix(b"\xef\xbb\xbf"))


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
    renamed: Record = {}
    for field, name in column_names(options).items():
        own = _YTDLP.get(field, ()) if name == _DEFAULTS[field] else ()
        value = record.get(name)
        if value is None and own:
            value = _caption(record) if field == "caption" else _first(record, own)
        if value is not None:
            renamed[name] = value
        elif any(key in record for key in (name, *own)):
            renamed.setdefault(name, None)
    return renamed


def _first(record: Record, keys: Sequence[str]) -> Any:
    return next((record[key] for key in keys if record.get(key) is not None), None)


def _caption(record: Record) -> str | None:
    texts = [record.get(key) for key in _YTDLP["caption"]]
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
    seen: dict[str, int] = {}
    for field, name in column_names(options).items():
        values = [record.get(name) for record in objects]
        seen[field] = len(values)
        if None in values:
            seen[field] = sum(name in record for record in objects)
        if field == "hashtags":
            columns |= hashtag_columns(values, reasons)
        else:
            columns[field] = text_column(values, reasons, _refusal(field, options))
    given = reasons | refused
    batch = conform(columns, len(records), place, given, needs_length=asks_length(options))
    return replace(batch, seen=seen)


def _refusal(field: str, options: MatchOptions) -> str | None:
    """Why a row is unreadable in which the field is a list, an object or a truth value."""
    if field == "duration_s":
        return NO_LENGTH if asks_length(options) else None
    if field in ("start_s", "end_s"):
        return NO_PIECE
    return f"{field} is no text" if field in ("video_id", "uri") else None
