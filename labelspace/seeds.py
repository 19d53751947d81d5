"""Seed sets: the label words that a dataset starts from (paper 3.1)."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

NAMED = ("kinetics", "noun", "verb", "verb_noun")


class SeedError(Exception):
    """A seed set is unknown, empty or cannot be read."""


@dataclass(frozen=True)
class SeedSet:
    """Labels, and how their hashtags are made.

    `label`: by `relevant_hashtags`. `noun`: the label is the hashtag. `verb`: the label and its
    form in -ing. `verb_noun`: every verb joined with every noun, never written out.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    synsets: tuple[str | None, ...] = ()
    """WordNet ids beside `labels`, for nouns."""
    nouns: tuple[str, ...] = ()
    """The second half of a verb_noun set, whose `labels` are the verbs."""


def load_seeds(name_or_path: str) -> SeedSet:
    """The seed set of that name, or of the user's file: one label a line, `#` starts a comment.

    Raises:
        SeedError: no such set or file, not UTF-8, or no label in it.
    """
    if name_or_path in NAMED:
        return _shipped(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise SeedError(
            f"{name_or_path!r} is no seed set; known: {', '.join(NAMED)}, or the path of a text "
            "file with one label a line"
        )
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SeedError(f"{name_or_path}: cannot be read as UTF-8 text: {error}") from error
    labels = _lines(text)
    if not labels:
        raise SeedError(f"{name_or_path}: holds no label")
    return SeedSet(path.stem, "label", labels)


def _shipped(name: str) -> SeedSet:
    if name == "verb_noun":
        verbs, nouns = _shipped("verb"), _shipped("noun")
        return SeedSet(name, name, verbs.labels, nouns=nouns.labels)
    lines = _lines((files("labelspace") / "seeds" / f"{name}.txt").read_text(encoding="utf-8"))
    if name == "noun":
        pairs = [line.split("\t") for line in lines]
        return SeedSet(name, name, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs))
    return SeedSet(name, "verb" if name == "verb" else "label", lines)


def _lines(text: str) -> tuple[str, ...]:
    stripped = (line.partition("#")[0].strip() for line in text.splitlines())
    return tuple(dict.fromkeys(line for line in stripped if line))
