"""Values of JSON objects, one field at a time -> Arrow arrays, odd ones with a reason."""

import contextlib
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from pipelines.readers.columns import NO_LIST
from pipelines.readers.values import EXACT_FLOAT

# What the APIs of TikTok, Twitter and YouTube call the text of a hashtag.
_HASHTAG_KEYS = ("name", "text", "title", "hashtagName")


def text_column(values: list[Any], reasons: dict[int, str], refusal: str | None) -> pa.Array:
    """The values as text; lists, objects and truth values are refused for a reason, or none."""
    try:
        return pa.array(values, pa.string())
    except (pa.ArrowException, UnicodeEncodeError):
        texts = [_text(value) for value in values]
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        if refusal is not None and text is None and isinstance(value, list | dict | bool):
            reasons.setdefault(row, refusal)
    return pa.array(texts, pa.binary())


def hashtag_columns(values: list[Any], reasons: dict[int, str]) -> Mapping[str, pa.Array]:
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
    """A text or a number as bytes, a whole one without a point.

    The bytes of a lone surrogate are no UTF-8, which tells it.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT_FLOAT:
        value = int(value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value).encode() if is_number and not _is_null(value) else None


def _is_null(value: Any) -> bool:
    """Whether the value is null, or NaN, which pandas writes for it."""
    return value is None or value != value
