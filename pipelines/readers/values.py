"""Arrow values of whatever type -> texts, numbers and lists of texts, nothing raised.

Parquet's strings are not checked when they are read, so texts of any origin are checked here.
"""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

_NUMBER = r"^\s*[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?\s*$"
EXACT_FLOAT = 2.0**53
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint8).reshape(
    256, 2
)
# Where the 32 digits of a UUID stand among its 36 characters.
_UUID_DIGITS = [place for place in range(36) if place not in (8, 13, 18, 23)]


def to_texts(array: pa.Array | None, rows: int) -> tuple[pa.StringArray, Mask]:
    """The values as text, and which of them are not UTF-8; null for those and for odd types."""
    none = np.zeros(rows, np.bool_)
    array = plain(array)
    if array is None or not is_textual(array.type):
        return pa.nulls(rows, pa.string()), none
    if pa.types.is_floating(array.type):
        return _float_text(array), none
    if not is_bytes(array.type):
        return array.cast(pa.string()), none
    # By way of binary: Parquet's strings come unchecked, and only this cast looks at the bytes.
    raw = array.cast(pa.binary())
    try:
        return raw.cast(pa.string()), none
    except pa.ArrowInvalid:
        texts = pa.array([_utf8(value) for value in raw.to_pylist()], pa.string())
        return texts, to_mask(pc.and_(texts.is_null(), raw.is_valid()))


def to_lists(array: pa.Array | None, rows: int) -> tuple[pa.ListArray, Mask]:
    """The lists, null entries left out, and which of them hold an entry that is not UTF-8."""
    broken = np.zeros(rows, np.bool_)
    array = plain(array)
    if array is None:
        return pa.nulls(rows, pa.list_(pa.string())), broken
    # Of every type of list, also over a null that hides entries, flatten() goes with the lengths.
    values = array.flatten()
    lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    owners = np.repeat(np.arange(rows), lengths)
    texts, not_utf8 = to_texts(values, len(values))
    broken[owners[not_utf8]] = True
    kept = to_mask(texts.is_valid())
    counts = np.bincount(owners[kept], minlength=rows)
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    entries = texts.filter(pa.array(kept))
    return pa.ListArray.from_arrays(offsets, entries, mask=array.is_null()), broken


def to_numbers(array: pa.Array | None, rows: int) -> pa.DoubleArray:
    """The values as finite numbers; null for those that are none."""
    array = plain(array)
    if array is None or not is_textual(array.type):
        return pa.nulls(rows, pa.float64())
    if is_bytes(array.type):
        texts, _ = to_texts(array, rows)
        array = pc.if_else(pc.match_substring_regex(texts, _NUMBER), texts, None)
        array = pc.utf8_ltrim(pc.utf8_trim_whitespace(array), "+")
    values = array.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_finite(values), values, None)


def item_type(kind: pa.DataType) -> pa.DataType | None:
    """What a list's entries are; None for what is no list."""
    kind = _plain_type(kind)
    tests = (
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
        pa.types.is_list_view,
        pa.types.is_large_list_view,
    )
    return kind.value_type if any(test(kind) for test in tests) else None


def is_textual(kind: pa.DataType) -> bool:
    """Whether values of this type can be written as text."""
    kind = _plain_type(kind)
    numeric = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal, pa.types.is_null)
    return is_bytes(kind) or any(test(kind) for test in numeric)


def plain(array: pa.Array | None) -> pa.Array | None:
    """The array without a dictionary and without an extension type; a UUID is its text."""
    if isinstance(array, pa.ExtensionArray):
        array = _uuid_texts(array.storage) if array.type == pa.uuid() else array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    return array


def is_bytes(kind: pa.DataType) -> bool:
    """Whether values of this type are texts, or bytes that may be."""
    tests = (
        pa.types.is_string,
        pa.types.is_binary,
        pa.types.is_large_string,
        pa.types.is_large_binary,
        pa.types.is_string_view,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def to_mask(array: pa.BooleanArray) -> Mask:
    """The truth values of an array without nulls."""
    mask: Mask = array.to_numpy(zero_copy_only=False)
    return mask


def _float_text(array: pa.Array) -> pa.StringArray:
    """Numbers as text; whole ones without a point or exponent, as ids that were once integers."""
    values = array.cast(pa.float64())
    values = pc.if_else(pc.is_nan(values), None, values)
    exact = pc.less(pc.abs(values), EXACT_FLOAT)
    whole = pc.and_(pc.equal(pc.floor(values), values), exact)
    integers = pc.if_else(whole, values, None).cast(pa.int64()).cast(pa.string())
    return pc.coalesce(integers, values.cast(pa.string()))


def _uuid_texts(stored: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """UUIDs in their usual form, of an array of their 16 bytes."""
    count = len(stored)
    if stored.null_count == count:
        return pa.nulls(count, pa.string())
    raw = np.frombuffer(stored.buffers()[1], np.uint8, 16 * count, 16 * stored.offset)
    texts = np.full((count, 36), ord("-"), np.uint8)
    texts[:, _UUID_DIGITS] = _HEX[raw].reshape(count, 32)
    written = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(36), count, [None, pa.py_buffer(texts)]
    )
    return pc.if_else(stored.is_valid(), written.cast(pa.binary()).cast(pa.string()), None)


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if isinstance(kind, pa.BaseExtensionType):
        kind = kind.storage_type
    return kind.value_type if pa.types.is_dictionary(kind) else kind
