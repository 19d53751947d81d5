"""Whether the catalog has the columns that the options ask for.

A name that no file has is a slip of the pen, and a filter that has nothing to look at would let
pass what it was to keep out: both are an error, never silence.
"""

from collections.abc import Collection, Sequence
from dataclasses import fields

from pipelines.options import MatchOptions
from pipelines.readers.columns import Found, column_names, show_names

_DEFAULTS = {field.name: field.default for field in fields(MatchOptions)}
_FILTERS = {
    "uploader": ("exclude_uploaders",),
    "licence": ("licences",),
    "duration_s": ("min_duration_s", "max_duration_s"),
}


def is_known(found: Sequence[Found]) -> bool:
    """Whether all columns are known before a row is read, and there are some."""
    return all(one.whole for one in found) and any(one.names for one in found)


def missing_column(
    found: Sequence[Found], seen: Collection[str], options: MatchOptions
) -> str | None:
    """What no file has of what the options ask for, and what to do; None if all is there.

    Args:
        found: of every file.
        seen: our fields that were met when the rows were read.
        options: what they ask for: a filter that is on, or a column by another name than ours.
    """
    there = set(seen).union(*(one.fields for one in found))
    known = "found" if all(one.whole for one in found) else "found in headers and first objects"
    every = dict.fromkeys(name for one in found for name in one.names)
    names = f"{known}: {show_names(list(every))}"
    for field, column in column_names(options).items():
        if field in there:
            continue
        if column != _DEFAULTS[field]:
            return f"no file has the column {column!r} of match.{field}; {names}. Correct it"
        if (option := _filter_on(field, options)) is not None:
            return (
                f"no file has the column {column!r}, which match.{option} needs; {names}. "
                f'Name yours with SET="match.{field}=...", or leave the filter out'
            )
    if not there & {"hashtags", "caption"}:
        return (
            f"no row has {options.hashtags!r} or {options.caption!r}; {names}. "
            'Name yours with SET="match.hashtags=tags match.caption=text"'
        )
    return None


def _filter_on(field: str, options: MatchOptions) -> str | None:
    """The option that leaves rows out by the field, if one is set."""
    return next((name for name in _FILTERS.get(field, ()) if getattr(options, name)), None)
