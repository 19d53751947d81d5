"""How long videos are, as catalogs write it -> seconds."""

import functools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.readers.values import Mask, is_bytes, plain, to_mask, to_numbers, to_texts

_UNITS_S = {"d": 86_400.0, "h": 3_600.0, "m": 60.0, "s": 1.0}
_TICKS_PER_S = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
_UNSTATED = r"^(nan|null|none|n/a|na|-|\\n)?$"
_DIGITS = r"[0-9]{1,9}"
_SIXTY = r"[0-5]?[0-9]"
_FRACTION = r"(?:[.,][0-9]{1,30})?"
# "1,200" may be one second or twenty minutes, so a comma before three digits is not taken.
_COMMA = r"0,[0-9]{1,30}|[0-9]{1,30},(?:[0-9]{1,2}|[0-9]{4,30})"
# Of lower-case texts without white space around them.
_FORMS = (
    rf"^(?P<s>{_COMMA}|[0-9]{{1,30}}(?:\.[0-9]{{0,30}})?)\s*(?:s|secs?|seconds?)?$",
    rf"^(?:(?P<d>{_DIGITS}) days?,? )?(?P<h>{_DIGITS}):(?P<m>{_SIXTY}):(?P<s>{_SIXTY}{_FRACTION})$",
    rf"^(?P<m>{_DIGITS}):(?P<s>{_SIXTY}{_FRACTION})$",
    # ISO 8601: of its optional parts one at least, hence the digit that is asked for first.
    rf"^p(?:(?P<d>{_DIGITS})d)?(?:t(?:(?P<h>{_DIGITS})h)?(?:(?P<m>{_DIGITS})m)?"
    rf"(?:(?P<s>{_DIGITS}{_FRACTION})s)?)?$",
)
_ANY_DIGIT = "[0-9]"


def to_seconds(array: pa.Array | None, rows: int) -> tuple[pa.DoubleArray, Mask]:
    """The lengths in seconds, and which rows state something that is none.

    Numbers are seconds. Texts may be `90`, `90 s`, `1:30`, `0:01:30`, `PT1M30S` or `1,5`. Null
    stands for rows of the mask, and for those that state nothing: null, NaN, an empty text, `null`.
    """
    array = plain(array)
    if array is None:
        return pa.nulls(rows, pa.float64()), np.zeros(rows, np.bool_)
    if pa.types.is_duration(array.type) or pa.types.is_time(array.type):
        return _ticks_to_seconds(array), np.zeros(rows, np.bool_)
    seconds = to_numbers(array, rows)
    if not seconds.null_count:
        return seconds, np.zeros(rows, np.bool_)
    if is_bytes(array.type):
        return _read_rest(array, seconds)
    stated = array.is_valid()
    if pa.types.is_floating(array.type):
        stated = pc.and_(stated, pc.invert(pc.fill_null(pc.is_nan(array), True)))
    return seconds, to_mask(pc.and_(stated, seconds.is_null()))


def _ticks_to_seconds(array: pa.Array) -> pa.DoubleArray:
    """Values of Arrow's types of times and durations, which are whole numbers of their unit."""
    whole = array.cast(pa.int32() if pa.types.is_time32(array.type) else pa.int64())
    return pc.divide(whole.cast(pa.float64(), safe=False), _TICKS_PER_S[array.type.unit])


def _read_rest(array: pa.Array, seconds: pa.DoubleArray) -> tuple[pa.DoubleArray, Mask]:
    """The texts that are no plain numbers, read by their forms."""
    texts, not_utf8 = to_texts(array, len(array))
    texts = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    unstated = pc.fill_null(pc.match_substring_regex(texts, _UNSTATED), True)
    rest = pc.and_(seconds.is_null(), pc.invert(unstated))
    if pc.any(rest).as_py():
        seconds = pc.replace_with_mask(seconds, rest, _read_forms(texts.filter(rest)))
    return seconds, to_mask(pc.and_(rest, seconds.is_null())) | not_utf8


def _read_forms(texts: pa.StringArray) -> pa.DoubleArray:
    """Seconds of texts of one of the forms; null for the others."""
    texts = pc.if_else(pc.match_substring_regex(texts, _ANY_DIGIT), texts, None)
    found = pa.nulls(len(texts), pa.float64())
    for form in _FORMS:
        parts = pc.extract_regex(texts, form)
        amounts = [
            pc.multiply(_amount(pc.struct_field(parts, unit.name)), _UNITS_S[unit.name])
            for unit in parts.type
        ]
        found = pc.coalesce(found, functools.reduce(pc.add, amounts))
    return found


def _amount(texts: pa.StringArray) -> pa.DoubleArray:
    """The numbers of one unit; 0 where the form was met without it."""
    plain_texts = pc.replace_substring(texts, ",", ".")
    return pc.if_else(pc.equal(plain_texts, ""), "0", plain_texts).cast(pa.float64())
