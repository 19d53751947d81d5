"""YFCC100M's metadata -> catalog rows: its videos, while its photos are counted.

Tab-separated, without header and without quoting. Ninety-nine rows of a hundred are photos, so
those go by their last column, before anything is decoded.
"""

from collections.abc import Iterator
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa

from pipelines.options import MatchOptions
from pipelines.readers.blocks import BLOCK_BYTES, Block, Lines, read_blocks
from pipelines.readers.columns import BATCH_ROWS, CatalogBatch, Found, column_names, conform

# Columns of the release with 23; the one with 25 has a line number before the id and a hash behind.
_COLUMNS = 23
_SHIFT = 2
_ID, _USER, _NICKNAME, _TITLE, _DESCRIPTION, _TAGS, _DOWNLOAD, _LICENCE = 0, 1, 2, 6, 7, 8, 14, 15

_TEXTS = ("video_id", "uri", "caption", "uploader", "licence")
_FIELDS = (*_TEXTS, "hashtags")

Row = dict[str, bytes | list[bytes]]


def read_yfcc(path: str, block_bytes: int = BLOCK_BYTES) -> Iterator[CatalogBatch]:
    """The videos, one batch per 32,768 lines or per block.

    Raises:
        CatalogError: the file is no UTF-8 text.
        OSError, EOFError, zlib.error: it cannot be read (on).
    """
    for block in read_blocks(path, Lines(), block_bytes):
        photos = _photos(block)
        others = np.flatnonzero(~photos)
        for start in range(0, max(len(others), 1), BATCH_ROWS):
            batch = _read_rows(path, block, others[start : start + BATCH_ROWS])
            counted = 0 if start else int(np.count_nonzero(photos))
            yield CatalogBatch(batch.rows, batch.unreadable, counted)


def is_yfcc(path: str) -> bool:
    """Whether the file's first line is a row of YFCC100M.

    Raises:
        CatalogError: the file is no UTF-8 text.
        OSError, EOFError, zlib.error: it cannot be read.
    """
    block = next(read_blocks(path, Lines(), 1 << 16), None)
    fields = _line(block, 0).split(b"\t") if block else []
    return len(fields) in (_COLUMNS, _COLUMNS + _SHIFT) and fields[-1] in (b"0", b"1")


def find_fields(options: MatchOptions) -> Found:
    """What the metadata has: no column has a name, so none is found by another than ours."""
    fields = {field for field, name in column_names(options).items() if name == field}
    return Found(_FIELDS, frozenset(fields & set(_FIELDS)))


def parse_row(line: bytes) -> Row | str:
    """Our field -> its value, or why there is none."""
    fields = line.split(b"\t")
    if len(fields) not in (_COLUMNS, _COLUMNS + _SHIFT):
        return f"{len(fields)} fields, not {_COLUMNS} or {_COLUMNS + _SHIFT}"
    if fields[-1] != b"1":
        return "neither photo nor video"
    if len(fields) > _COLUMNS:
        fields = [fields[1], *fields[1 + _SHIFT :]]
    texts = [_decode(fields[column]) for column in (_TITLE, _DESCRIPTION)]
    tags = (_decode(tag) for tag in fields[_TAGS].split(b","))
    return {
        "video_id": fields[_ID],
        "uri": fields[_DOWNLOAD],
        "hashtags": [tag for tag in tags if tag],
        "caption": b"\n".join(text for text in texts if text),
        "uploader": _decode(fields[_NICKNAME]) or fields[_USER],
        "licence": fields[_LICENCE],
    }


def _photos(block: Block) -> np.ndarray:
    """Which lines end in a tab and the marker of photos."""
    text = np.frombuffer(b"\0\0\0\0" + block.data, np.uint8)
    ends = block.split.ends + 4
    ends = ends - 1 - (text[ends - 2] == ord("\r"))
    photos = (text[ends - 1] == ord("0")) & (text[ends - 2] == ord("\t"))
    photos[list(block.split.reasons)] = False
    return photos


def _read_rows(path: str, block: Block, rows: np.ndarray) -> CatalogBatch:
    parsed: list[Row] = []
    refused: dict[int, str] = {}
    kept = [row for row in rows.tolist() if row in block.split.reasons or _line(block, row).strip()]
    for place, row in enumerate(kept):
        reason = block.split.reasons.get(row)
        found = parse_row(_line(block, row)) if reason is None else reason
        parsed.append({} if isinstance(found, str) else found)
        if isinstance(found, str):
            refused[place] = found
    columns = {name: pa.array([row.get(name) for row in parsed], pa.binary()) for name in _TEXTS}
    tags = pa.array([row.get("hashtags") for row in parsed], pa.list_(pa.binary()))
    columns["hashtags"] = tags
    return conform(columns, len(kept), lambda row: (path, int(block.lines[kept[row]])), refused)


def _line(block: Block, row: int) -> bytes:
    return (
        block.data[block.starts[row] : block.split.ends[row]]
        .removesuffix(b"\n")
        .removesuffix(b"\r")
    )


def _decode(text: bytes) -> bytes:
    return unquote_to_bytes(text.replace(b"+", b" "))
