"""Hashtags out of what people write: captions, columns, and one spelling for look-up."""

import json
import unicodedata
from collections.abc import Sequence

import regex

# The grammar of twitter-text, which Instagram and YouTube follow closely enough: letters, marks,
# decimal digits, and these characters that scripts need inside words.
_SPECIAL = (
    "_\u200c\u200d\ua67e\u05be\u05f3\u05f4\uff5e\u301c"
    "\u309b\u309c\u30a0\u30fb\u3003\u0f0b\u0f0c\u00b7"
)
BODY = rf"\p{{L}}\p{{M}}\p{{Nd}}{_SPECIAL}"
HASHTAG = (
    rf"(?![\ufe0f\u20e3])(?=[\p{{Nd}}{_SPECIAL}]*+[\p{{L}}\p{{M}}])([{BODY}]++)(?![#\uff03]|://)"
)
"""What follows the '#'; its one group is the hashtag."""
# A URL is consumed whole, so that what follows its '#' is no hashtag. Possessive quantifiers keep
# both halves linear in the length of a hostile caption.
_URL_OR_HASHTAG = regex.compile(
    rf"""
    https?://[!-~]++
    | (?<![\w.@/-])(?:[a-z0-9-]++\.)++[a-z]{{2,}}+/[!-~]*+
    | (?: (?<=^|[\ufe0e\ufe0f]) | (?<=[^{BODY}&]) ) [#\uff03]{HASHTAG}
    """,
    regex.VERBOSE | regex.IGNORECASE,
)
# What tells two hashtags apart: letters, marks and digits, less what only says how they are drawn.
# All else goes: '#', '_', white space, punctuation ("push-up" is pushup), emoji, joiners.
_IGNORED = regex.compile(r"[^\p{L}\p{M}\p{N}]+|[\p{Variation_Selector}\u20e3]+")
_IGNORED_ASCII = {code: None for code in range(128) if not chr(code).isalnum()}
QUOTES = "\"'\u201c\u201d\u2018\u2019"


class HashtagError(Exception):
    """A column's text is no list of hashtags in any form that is understood."""


def extract_hashtags(text: str) -> tuple[str, ...]:
    """The hashtags of a free text, in order, as written, without their '#'.

    A hashtag holds at least one letter, does not follow a letter, digit or '&', and is not part of
    a URL (twitter-text grammar).

    >>> extract_hashtags("Look, #CatchingAFish at lake no #1! https://example.org/#top")
    ('CatchingAFish',)
    """
    return tuple(m[1] for m in _URL_OR_HASHTAG.finditer(text) if m[1] is not None)


def fold_hashtag(tag: str) -> str:
    """The one spelling under which a hashtag is looked up; empty if nothing is left.

    Compatibility forms and case are folded (NFKC, casefold); '#', '_', spaces, punctuation,
    invisible characters and emoji go; accents stay. Folding twice changes nothing.

    >>> fold_hashtag("#Catching_A_Fish")
    'catchingafish'
    """
    if tag.isascii():
        return tag.lower().translate(_IGNORED_ASCII)
    folded = fold_text(_IGNORED.sub("", fold_text(tag)))
    # Taking out a joiner can bring together what composes to something new, hence to a fixed point.
    return folded if folded == tag else fold_hashtag(folded)


def fold_text(text: str) -> str:
    """Text with compatibility forms and case folded, spaces and punctuation kept."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def split_hashtag_field(text: str) -> tuple[str, ...]:
    """The hashtags of a column that holds several in one string, in order, without '#' or quotes.

    Understood: a JSON list of strings, a printed list (`['a', 'b']`, `{a,b}`), and text separated
    by '|', else by ',' or ';', else by '#' and spaces. An entry may be a phrase, but not there.

    Raises:
        HashtagError: a JSON list that holds something other than strings and numbers.

    >>> split_hashtag_field('["Fishing", "catching a fish"]')
    ('Fishing', 'catching a fish')
    >>> split_hashtag_field("#fishing #lake")
    ('fishing', 'lake')
    """
    text = text.strip()
    if text.startswith("["):
        entries = _json_list(text)
        if entries is not None:
            return _without_marks(entries)
    if text[:1] + text[-1:] in ("[]", "{}", "()"):
        text = text[1:-1]
    for separators in (r"\|", r"[,;]"):
        pieces = regex.split(separators, text)
        if len(pieces) > 1:
            return _without_marks(pieces)
    return _without_marks(regex.sub("([#\uff03])", r" \1", text).split())


def _json_list(text: str) -> list[str] | None:
    try:
        entries = [entry for entry in json.loads(text) if entry is not None]
    except (ValueError, RecursionError):
        return None
    if not all(isinstance(entry, str | int | float) for entry in entries):
        raise HashtagError(f"a list of hashtags may hold only strings: {text[:80]!r}")
    return [str(entry) for entry in entries]


def _without_marks(pieces: Sequence[str]) -> tuple[str, ...]:
    bare = (piece.strip().strip(QUOTES).strip().lstrip("#\uff03") for piece in pieces)
    return tuple(tag for tag in bare if tag)
