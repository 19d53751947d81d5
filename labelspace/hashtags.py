"""Seed label -> relevant hashtags: originals and stems of its words, in every order (paper 3.1).

The paper's example is #catchingafish, #catchfish, #fishcatching for "catching a fish". It forces
that original or stem is chosen per word, that function words may go or stay, and that any order
counts. What it leaves open is settled here: which words may go (`DROPPABLE_WORDS`), that a remark
in parentheses is no part of the hashtag, that apostrophes vanish, and Snowball as the stemmer.
"""

import functools
import importlib
import itertools
import math
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

import regex

from labelspace.extract import fold_hashtag, fold_text

if TYPE_CHECKING:
    from nltk.stem.snowball import SnowballStemmer

ARTICLES = frozenset(["a", "an", "the"])
# Never among these: not, up, out, off, down, over. They change what is meant ("push up", "(not in
# game)"), though common stop lists hold them.
DROPPABLE_WORDS = ARTICLES | frozenset(
    ["and", "at", "by", "for", "from", "in", "into", "of", "on", "onto", "or", "to", "with"]
)
FORMS = ("original", "stem", "lemma")
MAX_LABEL_CHARACTERS = 500
# Different choices can spell the same string. This many are tried per hashtag allowed, then the
# search ends, so that no label ("a aa aaa aaaa ...") is searched for ever.
_TRIES_PER_HASHTAG = 10

_APOSTROPHES = regex.compile(r"['`\u00b4\u02bc\u2018\u2019]")
# Joiners and what only says how a character is drawn stand inside words, not between them.
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Variation_Selector}\u20e3]+")
_PARENTHESES = regex.compile(r"\([^()]*+\)?")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")


class LabelError(Exception):
    """A label or a word form cannot be turned into hashtags."""


@dataclass(frozen=True)
class LabelHashtags:
    """What one label expands to."""

    label: str
    hashtags: frozenset[str]
    """Folded, without '#'."""
    truncated: bool
    """Whether the label has more spellings than were allowed."""
    choices: int
    """Ways to choose words, forms and order: at least as many as it has distinct spellings."""


def relevant_hashtags(
    label: str,
    forms: Sequence[str] = ("original", "stem"),
    *,
    max_hashtags: int = 5000,
    keep_parentheses: bool = False,
) -> frozenset[str]:
    """Every hashtag that stands for the label, folded, without '#'.

    >>> sorted(relevant_hashtags("catching a fish"))[:4]
    ['acatchfish', 'acatchingfish', 'afishcatch', 'afishcatching']

    Raises:
        LabelError: see `expand_label`.
    """
    expanded = expand_label(
        label, forms, max_hashtags=max_hashtags, keep_parentheses=keep_parentheses
    )
    return expanded.hashtags


def expand_label(
    label: str,
    forms: Sequence[str] = ("original", "stem"),
    *,
    max_hashtags: int = 5000,
    keep_parentheses: bool = False,
) -> LabelHashtags:
    """The label's hashtags, at most `max_hashtags` of them, and whether some were given up.

    Spellings are listed in a fixed order, so what is given up first is: word orders far from the
    label's own, then spellings with many changed words, then those that drop some but not all of
    the function words. The label's own order in its own words stays longest.

    Raises:
        LabelError: an unknown form, a label without a letter or digit or with over 500 characters,
            or `lemma` without lemminflect installed.
    """
    words = label_words(label, keep_parentheses=keep_parentheses)
    spellings = [_word_forms(word, tuple(forms)) for word in words]
    droppable = [i for i, word in enumerate(words) if word in DROPPABLE_WORDS]
    hashtags: set[str] = set()
    truncated = False
    tries = itertools.count(1)
    # Words of some scripts compose where they meet.
    listed = _list_spellings(spellings, droppable, max_hashtags)
    for hashtag in listed if label.isascii() else filter(None, map(fold_hashtag, listed)):
        if hashtag not in hashtags and len(hashtags) == max_hashtags:
            truncated = True
            break
        hashtags.add(hashtag)
        if next(tries) == max_hashtags * _TRIES_PER_HASHTAG:
            truncated = True
            break
    return LabelHashtags(label, frozenset(hashtags), truncated, _choices(spellings, droppable))


def label_words(label: str, *, keep_parentheses: bool = False) -> tuple[str, ...]:
    """The label's words, folded: no apostrophes, and no remark in parentheses unless it is kept.

    A label that is nothing but a remark keeps it.

    Raises:
        LabelError: no letter or digit is left, or there are over 500 characters.

    >>> label_words("massaging person's head")
    ('massaging', 'persons', 'head')
    """
    if len(label) > MAX_LABEL_CHARACTERS:
        raise LabelError(f"a label has over {MAX_LABEL_CHARACTERS} characters: {label[:60]!r}...")
    text = _INVISIBLE.sub("", _APOSTROPHES.sub("", fold_text(label)))
    without_remark = text if keep_parentheses else _PARENTHESES.sub(" ", text)
    words = _WORD.findall(without_remark) or _WORD.findall(text)
    if not words:
        raise LabelError(f"a label needs a letter or digit, got {label!r}")
    return tuple(words)


def stem_word(word: str) -> str:
    """The word's Snowball stem.

    >>> stem_word("catching"), stem_word("dancing")
    ('catch', 'danc')
    """
    return str(_snowball().stem(word))


def word_tools() -> dict[str, str]:
    """Name and version of everything that the spelling of a hashtag depends on."""
    return {
        "stemmer": "nltk snowball english",
        "nltk": version("nltk"),
        "unicode": unicodedata.unidata_version,
    }


def _list_spellings(
    spellings: Sequence[Sequence[str]], droppable: Sequence[int], most: int
) -> Iterator[str]:
    # Word orders of all subsets advance together: round r holds the r-th order of each, so no
    # subset takes the whole allowance. permutations() begins with the label's own order.
    subsets = itertools.islice(_kept_words(len(spellings), droppable), most)
    orders = [itertools.permutations(kept) for kept in subsets]
    changeable = sum(len(forms) > 1 for forms in spellings)
    while orders:
        this_round = [(order, next(order, None)) for order in orders]
        orders = [order for order, words in this_round if words is not None]
        live = [[spellings[i] for i in words] for _, words in this_round if words is not None]
        for changed in range(changeable + 1):
            for words in live:
                yield from _spell(words, changed)


def _kept_words(words: int, droppable: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Index sets of the words to keep: all, then no function word, then by how many go."""
    sizes = sorted(range(len(droppable) + 1), key=lambda n: (n not in (0, len(droppable)), n))
    for size in sizes:
        for dropped in itertools.combinations(droppable, size):
            kept = tuple(i for i in range(words) if i not in dropped)
            if kept:
                yield kept


def _spell(words: Sequence[Sequence[str]], changed: int) -> Iterator[str]:
    """Every spelling of the words in this order with exactly `changed` not in their first form."""
    changeable = [i for i, forms in enumerate(words) if len(forms) > 1]
    for places in itertools.combinations(changeable, changed):
        choices = [forms[1:] if i in places else forms[:1] for i, forms in enumerate(words)]
        yield from map("".join, itertools.product(*choices))


def _choices(spellings: Sequence[Sequence[str]], droppable: Sequence[int]) -> int:
    required = [i for i in range(len(spellings)) if i not in droppable]
    # by_size[k]: ways to keep k function words, each in one of its forms.
    by_size = [1]
    for i in droppable:
        with_word = [0, *(ways * len(spellings[i]) for ways in by_size)]
        by_size = [a + b for a, b in zip([*by_size, 0], with_word, strict=True)]
    orders = sum(ways * math.factorial(len(required) + k) for k, ways in enumerate(by_size))
    if not required:
        orders -= 1  # no word at all is no hashtag
    return orders * math.prod(len(spellings[i]) for i in required)


@functools.lru_cache(maxsize=65_536)
def _word_forms(word: str, forms: tuple[str, ...]) -> tuple[str, ...]:
    """The word's distinct spellings, in the order of `forms`."""
    known: dict[str, Callable[[str], str]] = {"original": str, "stem": stem_word, "lemma": _lemma}
    unknown = sorted(set(forms) - set(known))
    if unknown or not forms:
        raise LabelError(f"forms must be some of {', '.join(FORMS)}, got {', '.join(unknown)!r}")
    return tuple(dict.fromkeys(known[form](word) for form in forms))


@functools.cache
def _snowball() -> "SnowballStemmer":
    # Only here: nltk takes half a second and 40 MB, and where scipy or scikit-learn are installed
    # it loads these too, in every worker of stages that stem nothing.
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer("english")


def _lemma(word: str) -> str:
    try:
        lemminflect = importlib.import_module("lemminflect")
    except ImportError as error:
        message = "the form 'lemma' needs the package lemminflect: pip install lemminflect"
        raise LabelError(message) from error
    # Labels name actions, so a word that can be a verb is read as one: catching -> catch.
    lemmas: dict[str, tuple[str, ...]] = lemminflect.getAllLemmas(word)
    for part_of_speech in ("VERB", "NOUN", "ADJ"):
        if lemmas.get(part_of_speech):
            return lemmas[part_of_speech][0]
    return word
