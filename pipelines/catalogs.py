"""The user's catalog, in whatever form it is kept -> Arrow batches of one schema.

Streams: one block of a file is in memory at a time. A row that cannot be read is counted, with the
file and, where the format has lines, the line; the rest goes on.
"""

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from pipelines.columns import CatalogBatch, column_names, conform, conform_records, no_rows
from pipelines.options import MatchOptions

BATCH_ROWS = 16_384
_CSV_BLOCK_BYTES = 4 << 20

_SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_COMPRESSIONS = {".gz", ".zst", ".bz2"}


class CatalogError(Exception):
    """The catalog is missing, is in no form we read, or lacks a column."""


@dataclass(frozen=True)
class CatalogUnit:
    """A piece of the catalog that one worker reads: a file, or one row group of it."""

    path: str
    kind: str
    row_group: int | None = None


def list_units(path: str) -> list[CatalogUnit]:
    """The units of a catalog: one file, or every catalog file of a folder.

    Raises:
        CatalogError: nothing there, or nothing that is a catalog.
    """
    root = Path(path)
    if not root.exists():
        raise CatalogError(f"{path}: no such catalog")
    files = sorted(p for p in root.rglob("*") if _kind(p)) if root.is_dir() else [root]
    units = [unit for file in files for unit in _units_of(file)]
    if not units:
        raise CatalogError(f"{path}: holds no catalog; {_known_forms()}")
    return units


def catalog_folder(path: str) -> str:
    """The folder that the catalog's relative URIs start from."""
    return str(Path(path) if Path(path).is_dir() else Path(path).parent)


def check_columns(unit: CatalogUnit, columns: MatchOptions) -> None:
    """Refuse a catalog that lacks a column we cannot do without.

    Raises:
        CatalogError: names what is wanted, what was found, and how to map the one to the other.
    """
    found = _names_in(unit)
    tags = columns.hashtags in found or columns.caption in found
    if columns.video_id in found and columns.uri in found and tags:
        return
    raise CatalogError(
        f"{unit.path}: needs the columns {columns.video_id!r}, {columns.uri!r} and "
        f"{columns.hashtags!r} or {columns.caption!r}; found: {', '.join(found) or 'none'}. "
        'Name yours with SET="match.uri=url match.hashtags=tags ..."'
    )


def read_unit(unit: CatalogUnit, columns: MatchOptions) -> Iterator[CatalogBatch]:
    """The unit's rows in batches of at most 16,384.

    Raises:
        CatalogError: the file as a whole cannot be read.
    """
    readers = {"parquet": _read_parquet, "jsonl": _read_jsonl}
    try:
        yield from readers.get(unit.kind, _read_csv)(unit, columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogError(f"{unit.path}: cannot be read as {unit.kind}: {error}") from error


def _kind(path: Path) -> str | None:
    suffixes = [s.lower() for s in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    return _SUFFIXES.get(suffixes[-1]) if suffixes else None


def _known_forms() -> str:
    return f"a catalog ends in {', '.join(_SUFFIXES)} (text may be compressed: .gz, .zst, .bz2)"


def _units_of(file: Path) -> Iterator[CatalogUnit]:
    kind = _kind(file)
    if kind is None:
        raise CatalogError(f"{file}: not a catalog by its name; {_known_forms()}")
    if kind != "parquet":
        yield CatalogUnit(str(file), kind)
        return
    try:
        groups = pq.read_metadata(file).num_row_groups
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogError(f"{file}: cannot be read as parquet: {error}") from error
    for group in range(groups):
        yield CatalogUnit(str(file), kind, group)


def _names_in(unit: CatalogUnit) -> list[str]:
    try:
        if unit.kind == "parquet":
            return list(pq.read_schema(unit.path).names)
        if unit.kind == "jsonl":
            return _jsonl_keys(unit)
        return _csv_header(unit)
    except (OSError, pa.ArrowInvalid) as error:
        raise CatalogError(f"{unit.path}: cannot be read as {unit.kind}: {error}") from error


def _read_parquet(unit: CatalogUnit, columns: MatchOptions) -> Iterator[CatalogBatch]:
    with pq.ParquetFile(unit.path) as file:
        wanted = [n for n in column_names(columns).values() if n in file.schema_arrow.names]
        groups = None if unit.row_group is None else [unit.row_group]
        for batch in file.iter_batches(BATCH_ROWS, row_groups=groups, columns=wanted):
            yield conform(batch, columns)


def _read_csv(unit: CatalogUnit, columns: MatchOptions) -> Iterator[CatalogBatch]:
    bad = 0

    def skip(_row: object) -> str:
        nonlocal bad
        bad += 1
        return "skip"

    header = _csv_header(unit)
    wanted = [n for n in column_names(columns).values() if n in header]
    convert = pa.csv.ConvertOptions(
        column_types=dict.fromkeys(header, pa.binary()), include_columns=wanted
    )
    with pa.input_stream(unit.path, compression="detect") as stream:
        reader = pa.csv.open_csv(
            stream,
            read_options=pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False),
            parse_options=_csv_form(unit, skip),
            convert_options=convert,
        )
        for batch in reader:
            taken, bad = bad, 0
            conformed = conform(batch, columns)
            yield CatalogBatch(conformed.rows, conformed.bad + taken)
    if bad:
        yield CatalogBatch(no_rows(), bad)


def _csv_form(unit: CatalogUnit, skip: Callable[[object], str]) -> pa.csv.ParseOptions:
    delimiter = "\t" if unit.kind == "tsv" else ","
    return pa.csv.ParseOptions(
        delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip
    )


def _csv_header(unit: CatalogUnit) -> list[str]:
    with pa.input_stream(unit.path, compression="detect") as stream:
        form = _csv_form(unit, lambda _row: "skip")
        options = pa.csv.ReadOptions(block_size=_CSV_BLOCK_BYTES, use_threads=False)
        try:
            return list(pa.csv.open_csv(stream, options, form).schema.names)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return []
            raise


def _read_jsonl(unit: CatalogUnit, columns: MatchOptions) -> Iterator[CatalogBatch]:
    held: list[dict[str, Any]] = []
    bad = 0
    for record in _json_records(unit):
        if record is None:
            bad += 1
        else:
            held.append(record)
        if len(held) == BATCH_ROWS:
            yield conform_records(held, columns, bad)
            held, bad = [], 0
    yield conform_records(held, columns, bad)


def _json_records(unit: CatalogUnit) -> Iterator[dict[str, Any] | None]:
    """Each line's object; None for a line that is none."""
    with pa.input_stream(unit.path, compression="detect") as stream:
        for line in io.BufferedReader(stream):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError:
                yield None
                continue
            yield record if isinstance(record, dict) else None


def _jsonl_keys(unit: CatalogUnit) -> list[str]:
    """The keys of the first hundred objects, in order of appearance."""
    keys: dict[str, None] = {}
    for count, record in enumerate(_json_records(unit)):
        keys.update(dict.fromkeys(record or ()))
        if count == 99:
            break
    return list(keys)
