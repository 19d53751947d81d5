"""The user's columns -> the catalog's schema."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from formats.tables import CatalogRow, schema_of
from pipelines.options import MatchOptions

_TEXT_FIELDS = ("video_id", "uri", "caption", "uploader", "licence")


@dataclass(frozen=True)
class CatalogBatch:
    """Rows in the catalog's schema, and how many beside them could not be read."""

    rows: pa.RecordBatch
    bad: int = 0


def conform(batch: pa.RecordBatch, columns: MatchOptions) -> CatalogBatch:
    """The batch in the catalog's schema; rows without id or URI, or not UTF-8, counted as bad."""
    schema = schema_of(CatalogRow)
    names = column_names(columns)
    arrays = {}
    for field in schema:
        array = batch.column(names[field.name]) if names[field.name] in batch.schema.names else None
        arrays[field.name] = _column(array, field, batch.num_rows)
    good = pc.and_(_present(arrays["video_id"]), _present(arrays["uri"]))
    rows = pa.record_batch(list(arrays.values()), list(arrays)).filter(good)
    return CatalogBatch(rows, batch.num_rows - rows.num_rows)


def conform_records(
    records: Iterable[dict[str, Any]], columns: MatchOptions, bad: int
) -> CatalogBatch:
    """JSON objects in the catalog's schema, `bad` unreadable lines counted in."""
    names = column_names(columns)
    rows = [{field: record.get(name) for field, name in names.items()} for record in records]
    arrays = {field: [_plain(row[field]) for row in rows] for field in names}
    batch = pa.record_batch(
        [_json_column(field, values) for field, values in arrays.items()], list(names.values())
    )
    conformed = conform(batch, columns)
    return CatalogBatch(conformed.rows, conformed.bad + bad)


def column_names(columns: MatchOptions) -> Mapping[str, str]:
    """Our field -> the user's column."""
    return {name: getattr(columns, name) for name in schema_of(CatalogRow).names}


def no_rows() -> pa.RecordBatch:
    """A batch of the catalog's schema without rows."""
    return pa.RecordBatch.from_pylist([], schema_of(CatalogRow))


def _plain(value: Any) -> Any:
    """A JSON value as text, a list as a list of texts."""
    if isinstance(value, list):
        return [str(item) for item in value if item is not None]
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)


def _json_column(field: str, values: list[Any]) -> pa.Array:
    if field == "hashtags" and any(isinstance(value, list) for value in values):
        lists = [[value] if isinstance(value, str) else value for value in values]
        return pa.array(lists, pa.list_(pa.string()))
    return pa.array([v[0] if isinstance(v, list) and v else v or None for v in values], pa.string())


def _present(array: pa.Array) -> pa.Array:
    return pc.fill_null(pc.greater(pc.utf8_length(array), 0), False)


def _column(array: pa.Array | None, field: pa.Field, rows: int) -> pa.Array:
    if array is None:
        return pa.nulls(rows, field.type)
    if field.name == "hashtags":
        return _hashtag_column(array)
    if field.name in _TEXT_FIELDS:
        return _text(array)
    return pa.array([_number(value) for value in array.to_pylist()], pa.float64())


def _hashtag_column(array: pa.Array) -> pa.Array:
    """A list column as it is; a text column as one-element lists, split up by the matcher."""
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        return array.cast(pa.list_(pa.string()))
    texts = _text(array)
    offsets = pa.array(range(len(texts) + 1), pa.int32())
    return pa.ListArray.from_arrays(offsets, texts, mask=texts.is_null())


def _text(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        return array.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_utf8(value) for value in array.to_pylist()], pa.string())


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _number(value: object) -> float | None:
    try:
        return None if value is None else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
