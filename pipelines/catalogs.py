"""The user's catalog, in whatever form it is kept -> Arrow batches of one schema.

Streams: one block of a file is in memory at a time. A row that cannot be read is reported with its
file and line, and the rest goes on; only a file that is wrong as a whole is an error.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipelines.options import MatchOptions
from pipelines.readers.blocks import COMPRESSIONS
from pipelines.readers.columns import CatalogBatch, Found, has_needed
from pipelines.readers.columns import CatalogError as CatalogError
from pipelines.readers.delimited import check_header, read_delimited, read_header
from pipelines.readers.fields import is_known, missing_column
from pipelines.readers.records import check_keys, find_keys, read_info_files, read_jsonl
from pipelines.readers.row_groups import check_schema, read_row_group, row_group_starts
from pipelines.readers.yfcc import find_fields, is_yfcc, read_yfcc

INFO_FILES_PER_UNIT = 256

_SUFFIXES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
_INFO_SUFFIX = ".info.json"
_YFCC_PREFIX = "yfcc100m_dataset"
# What often lies beside a catalog, and is none, whatever form is forced.
_OTHERS = (".mp4", ".webm", ".mkv", ".mov", ".avi", ".jpg", ".png", ".gif", ".webp", ".md", ".html")


@dataclass(frozen=True)
class CatalogUnit:
    """A piece of the catalog that one worker reads: a file, a row group of it, or small files."""

    path: str
    """The file, or the first of the small ones."""
    kind: str
    """One of `options.CATALOG_FORMATS`."""
    row_group: int | None = None
    first_row: int = 0
    """Index in its file of the row group's first row."""
    paths: tuple[str, ...] = ()
    """The small files: info files hold one row each."""
    by_name: bool = True
    """Whether the kind was read off the name, not forced by `match.format`."""


def list_units(path: str, options: MatchOptions) -> list[CatalogUnit]:
    """The units of a catalog: one file, or every catalog file of a folder.

    Hidden files and folders (`.name`, `_name`) are left out, and so is what is no catalog by its
    name. With a forced format every other file counts, but for videos, pictures and pages.

    Raises:
        CatalogError: nothing there, or nothing that is a catalog.
    """
    if os.path.isdir(path):
        files = [(file, kind) for file in _walk(path) if (kind := _kind(file, options))]
    elif os.path.isfile(path):
        files = [(path, _kind_of_named(path, options))]
    elif os.path.exists(path):
        raise CatalogError(f"{path}: is neither a file nor a folder; write the catalog to a file")
    else:
        raise CatalogError(f"{path}: no such catalog")
    if not files:
        raise CatalogError(f"{path}: holds no catalog; {_known_forms()}")
    infos = [file for file, kind in files if kind == "info_json"]
    by_name = options.format == "auto"
    units = [
        unit for file, kind in files if kind != "info_json" for unit in _units(file, kind, by_name)
    ]
    groups = (
        tuple(infos[start : start + INFO_FILES_PER_UNIT])
        for start in range(0, len(infos), INFO_FILES_PER_UNIT)
    )
    return units + [CatalogUnit(group[0], "info_json", paths=group) for group in groups]


def catalog_folder(path: str) -> str:
    """The folder that the catalog's relative URIs start from."""
    return str(Path(path) if Path(path).is_dir() else Path(path).parent)


def check_catalog(path: str, options: MatchOptions) -> tuple[list[CatalogUnit], list[Found]]:
    """The units of a catalog and the columns of its files, once each file was looked into.

    Raises:
        CatalogError: as `list_units`; as `check_columns`, unless files may be bad; or no file has
            a column that the options ask for, where that is known before a row is read.
    """
    units = list_units(path, options)
    files = {unit.path: unit for unit in units}.values()
    found = list(dict.fromkeys(_check_file(unit, options) for unit in files))
    if is_known(found) and (missing := missing_column(found, (), options)):
        raise CatalogError(f"{path}: {missing}")
    return units, found


def _check_file(unit: CatalogUnit, options: MatchOptions) -> Found:
    try:
        return check_columns(unit, options)
    except CatalogError:
        if not options.max_bad_files:
            raise
        return Found()


def check_columns(unit: CatalogUnit, options: MatchOptions) -> Found:
    """The columns of a catalog file; refused is one that lacks what we cannot do without.

    Raises:
        CatalogError: says what is wrong, where, and what to do.
    """
    checks: dict[str, Callable[[], Found]] = {
        "parquet": lambda: check_schema(unit.path, options),
        "csv": lambda: check_header(unit.path, "csv", options),
        "tsv": lambda: check_header(unit.path, "tsv", options),
        "jsonl": lambda: check_keys(unit.path, options),
        "info_json": lambda: find_keys(unit.path),
        "yfcc100m": lambda: find_fields(options),
    }
    try:
        return checks[_true_kind(unit, options)]()
    except _BROKEN as error:
        raise _cannot_be_read(unit, error) from error


def read_unit(unit: CatalogUnit, options: MatchOptions) -> Iterator[CatalogBatch]:
    """The unit's rows in batches of at most 32,768; nothing in a single row raises.

    Raises:
        CatalogError: the file as a whole cannot be read, or not beyond the batches given so far.
    """
    readers: dict[str, Callable[[], Iterator[CatalogBatch]]] = {
        "parquet": lambda: read_row_group(unit.path, unit.row_group, unit.first_row, options),
        "csv": lambda: read_delimited(unit.path, "csv", options),
        "tsv": lambda: read_delimited(unit.path, "tsv", options),
        "jsonl": lambda: read_jsonl(unit.path, options),
        "info_json": lambda: read_info_files(unit.paths, options),
        "yfcc100m": lambda: read_yfcc(unit.path),
    }
    try:
        yield from readers[_true_kind(unit, options)]()
    except _BROKEN as error:
        raise _cannot_be_read(unit, error) from error


# What readers of files raise about a file: cut off, not of the form, damaged.
_BROKEN = (OSError, EOFError, zlib.error, pa.ArrowException)


def _cannot_be_read(unit: CatalogUnit, error: BaseException) -> CatalogError:
    said = str(error).split("\n")[0][:200]
    return CatalogError(
        f"{unit.path}: cannot be read as {unit.kind}: {said}; write it again, or leave it out"
    )


def _true_kind(unit: CatalogUnit, options: MatchOptions) -> str:
    """The unit's kind; YFCC100M's files are also known by their rows, if they end in .tsv."""
    if unit.kind != "tsv" or not unit.by_name:
        return unit.kind
    header = read_header(unit.path, "tsv", options)
    known = has_needed(header.names, options)
    return "yfcc100m" if not known and is_yfcc(unit.path) else "tsv"


def _walk(folder: str) -> Iterator[str]:
    """Every file below the folder that is not hidden, sorted; links are followed, once each."""
    found, seen = [], set()
    for root, folders, names in os.walk(folder, onerror=_refuse_folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        found += [os.path.join(root, name) for name in names if name[0] not in "._"]
    return iter(sorted(file for file in found if os.path.isfile(file)))


def _refuse_folder(error: OSError) -> None:
    raise CatalogError(f"{error.filename}: cannot be listed: {error.strerror}") from error


def _kind(path: str, options: MatchOptions) -> str | None:
    """The kind of a file in a folder; None for one that is no catalog."""
    if options.format != "auto":
        return None if path.lower().endswith(_OTHERS) else options.format
    return _kind_by_name(path)


def _kind_of_named(path: str, options: MatchOptions) -> str:
    kind = options.format if options.format != "auto" else _kind_by_name(path)
    if kind is None:
        raise CatalogError(
            f"{path}: not a catalog by its name; {_known_forms()}. "
            'Or say what it is: SET="match.format=csv"'
        )
    return kind


def _kind_by_name(path: str) -> str | None:
    name = os.path.basename(path).lower()
    for compression in COMPRESSIONS:
        name = name.removesuffix(compression)
    if name.endswith(_INFO_SUFFIX):
        return "info_json"
    kind = _SUFFIXES.get(os.path.splitext(name)[1])
    is_yfcc_name = name.startswith(_YFCC_PREFIX) and kind in (None, "tsv")
    return "yfcc100m" if is_yfcc_name else kind


def _known_forms() -> str:
    return (
        f"a catalog ends in {', '.join(_SUFFIXES)} with one object a line, or {_INFO_SUFFIX} "
        f"(text may be compressed: {', '.join(COMPRESSIONS)})"
    )


def _units(file: str, kind: str, by_name: bool) -> Iterator[CatalogUnit]:
    starts: list[int] = []
    if kind == "parquet":
        try:
            starts = row_group_starts(file)
        except _BROKEN:
            # Its check and its reader will say so, of this file alone.
            starts = []
    for group, first_row in enumerate(starts):
        yield CatalogUnit(file, kind, group, first_row, by_name=by_name)
    if not starts:
        yield CatalogUnit(file, kind, by_name=by_name)
