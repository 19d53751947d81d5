"""Hashtags out of whole Arrow columns: what `extract` does to one text, for a batch at a time.

Each function equals its one-text counterpart, row by row. Work in Python is left for the few texts
that need it, or is done once for all texts together, joined by something no text holds.
"""

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex
from numpy.typing import NDArray

from labelspace.extract import (
    BODY,
    HASHTAG,
    QUOTES,
    HashtagError,
    extract_hashtags,
    fold_hashtag,
    split_hashtag_field,
)

_LISTS = pa.list_(pa.string())
# RE2's spelling of what fold_hashtag() removes from ASCII.
_IGNORED_ASCII = r"[^a-z0-9]+"
_SIGN = "[#\uff03]"
# Something, and then one more.
_CROWDED = "[^\\s#\uff03]\\s*" + _SIGN
# Between joined captions. The patterns below give '' for it, so it counts the captions.
_BETWEEN = "\n#\0"
_IN_ASCII = re.compile(r"#(?:\0|(?<![\w&]#)(?=[0-9_]*+[A-Za-z])(\w++)(?!#|://))", re.ASCII)
_IN_UNICODE = regex.compile(
    rf"{_SIGN}(?:\0|(?:(?<=[\ufe0e\ufe0f]{_SIGN})|(?<![{BODY}&]{_SIGN})){HASHTAG})"
)


def fold_hashtags(tags: pa.StringArray) -> pa.StringArray:
    """`fold_hashtag` of every entry of an array without nulls, in Arrow where the text is ASCII."""
    is_ascii = pc.string_is_ascii(tags)
    if pc.all(is_ascii).as_py() in (True, None):
        return _fold_ascii(tags)
    others = [fold_hashtag(tag) for tag in tags.filter(pc.invert(is_ascii)).to_pylist()]
    folded = pc.if_else(is_ascii, tags, None)
    return pc.replace_with_mask(
        _fold_ascii(folded), pc.invert(is_ascii), pa.array(others, type=tags.type)
    )


def extract_hashtag_lists(captions: pa.StringArray) -> pa.ListArray:
    """`extract_hashtags` of every caption, as list<string>; an empty list for a null one."""
    signed = pc.fill_null(pc.match_substring_regex(captions, _SIGN), False)
    # A URL holds a slash, and the separator a NUL; where neither is, a hashtag is all there is.
    plain = pc.invert(pc.match_substring_regex(captions, r"[/\x00]"))
    is_ascii = pc.string_is_ascii(captions)
    kinds = np.select(
        [
            _mask(pc.invert(signed)),
            _mask(pc.and_(plain, is_ascii)),
            _mask(plain),
        ],
        [0, 1, 2],
        default=3,
    )
    one_by_one = (extract_hashtags(caption) for caption in _texts(captions, kinds == 3))
    parts = [
        (kinds == 0, _empty_lists(int(np.count_nonzero(kinds == 0)))),
        (kinds == 1, _find_all(_IN_ASCII, _texts(captions, kinds == 1))),
        (kinds == 2, _find_all(_IN_UNICODE, _texts(captions, kinds == 2))),
        (kinds == 3, pa.array(list(one_by_one), _LISTS)),
    ]
    return _interleave(parts)


def split_hashtag_fields(texts: pa.StringArray) -> pa.ListArray:
    """`split_hashtag_field` of every text, as list<string>.

    Null for a null, and for a text that `split_hashtag_field` refuses.
    """
    bracketed = pc.match_substring_regex(pc.utf8_ltrim_whitespace(texts), r"^[\[{(]")
    kinds = np.select(
        [
            _mask(pc.is_null(texts)),
            _mask(bracketed),
            _mask(pc.match_substring(texts, "|")),
            _mask(pc.match_substring_regex(texts, "[,;]")),
        ],
        [0, 1, 2, 3],
        default=4,
    )
    few = texts.filter(pa.array(kinds == 1)).dictionary_encode()
    few_split = pa.array(map(_split_or_none, few.dictionary.to_pylist()), _LISTS)
    bars, commas, spaces = (texts.filter(pa.array(kinds == kind)) for kind in (2, 3, 4))
    apart = pc.replace_substring_regex(spaces, f"({_SIGN})", r" \1")
    parts = [
        (kinds == 0, pa.nulls(int(np.count_nonzero(kinds == 0)), _LISTS)),
        (kinds == 1, few_split.take(few.indices)),
        (kinds == 2, _without_marks(pc.split_pattern(bars, "|"))),
        (kinds == 3, _without_marks(pc.split_pattern_regex(commas, "[,;]"))),
        (kinds == 4, _without_marks(pc.utf8_split_whitespace(apart))),
    ]
    return _interleave(parts)


def separate_entries(lists: pa.ListArray) -> pa.ListArray:
    """Lists of hashtags with every entry that holds several ('#a #b', '#a#b') taken apart.

    An entry without a second '#' stays whole: `catching a fish` is one hashtag.
    """
    crowded = pc.match_substring_regex(lists.flatten(), _CROWDED)
    if not pc.any(crowded).as_py():
        return lists
    separated = (_separate(entries) for entries in lists.to_pylist())
    return pa.array(separated, _LISTS)


def _fold_ascii(tags: pa.StringArray) -> pa.StringArray:
    return pc.replace_substring_regex(pc.ascii_lower(tags), _IGNORED_ASCII, "")


def _find_all(pattern: "re.Pattern[str] | regex.Pattern[str]", captions: list[str]) -> pa.ListArray:
    """The hashtags of captions that hold no NUL: one pass over all of them."""
    if not captions:
        return _empty_lists(0)
    found = np.array(pattern.findall(_BETWEEN.join(captions)), dtype=object)
    between = np.flatnonzero(found == "")
    # The k-th separator stands behind k others and all hashtags of the captions before it.
    ends = between - np.arange(len(between))
    offsets = np.concatenate([[0], ends, [len(found) - len(between)]]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(found[found != ""], pa.string()))


def _without_marks(lists: pa.ListArray) -> pa.ListArray:
    """Entries without the white space, quotes and '#' around them; empty ones go."""
    entries = pc.utf8_trim_whitespace(lists.flatten())
    entries = pc.utf8_trim_whitespace(pc.utf8_trim(entries, characters=QUOTES))
    entries = pc.utf8_ltrim(entries, characters="#\uff03")
    kept = pc.not_equal(entries, "")
    before = np.concatenate([[0], np.cumsum(_mask(kept))])
    offsets = before[lists.offsets.to_numpy() - lists.offsets[0].as_py()].astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), entries.filter(kept))


def _split_or_none(text: str) -> tuple[str, ...] | None:
    try:
        return split_hashtag_field(text)
    except HashtagError:
        return None


def _separate(entries: list[str | None] | None) -> list[str] | None:
    if entries is None:
        return None
    return [
        tag
        for entry in entries
        if entry is not None
        for tag in (split_hashtag_field(entry) if re.search(_CROWDED, entry) else (entry,))
    ]


def _interleave(parts: Iterable[tuple[NDArray[np.bool_], pa.ListArray]]) -> pa.ListArray:
    """One array out of several, each of which fills, in order, the rows of its mask."""
    masks, arrays = zip(*parts, strict=True)
    rows = np.concatenate([np.flatnonzero(mask) for mask in masks])
    place = np.empty(len(rows), np.int64)
    place[rows] = np.arange(len(rows))
    return pa.concat_arrays(arrays).take(pa.array(place))


def _empty_lists(count: int) -> pa.ListArray:
    return pa.ListArray.from_arrays(
        pa.array(np.zeros(count + 1, np.int32)), pa.array([], pa.string())
    )


def _texts(array: pa.StringArray, mask: NDArray[np.bool_]) -> list[str]:
    texts: list[str] = array.filter(pa.array(mask)).to_pylist()
    return texts


def _mask(array: pa.BooleanArray) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = pc.fill_null(array, False).to_numpy(zero_copy_only=False)
    return mask
