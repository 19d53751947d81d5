"""A target's label list: one of ours by name, or the benchmark's own file of labels or classes.

Label lists that may not be shipped (EPIC-Kitchens: CC BY-NC 4.0) are read from where the user has
them, in the form in which the benchmark publishes them.
"""

import ast
import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from labelspace.extract import fold_text
from labelspace.hashtags import LabelError, label_words
from labelspace.seeds import SEED_SETS, SeedError, load_seeds, parse_labels, read_text, unknown_name

# A joined set is no list of labels: its labels are the pairs that people happen to tag.
TARGET_LISTS = tuple(name for name in SEED_SETS if name != "verb_noun")
MAX_SYNONYMS_CHARACTERS = 64 * 1024

# Column of the label and column of its synonyms, as published; the first that are there count.
_COLUMNS = (("class_key", "verbs"), ("class_key", "nouns"), ("key", "instances"), ("label",))
_KNOWN_COLUMNS = (
    "class_key and verbs or nouns (EPIC-Kitchens-55), key and instances (EPIC-Kitchens-100), label"
)
_KNOWN_JSON = (
    "a list of labels, a list of objects with a template or label, labels with their numbers, "
    "labels with lists of synonyms, or videos with annotations"
)
_BRACKETS = str.maketrans("", "", "[]")

_Entry = tuple[str, Sequence[str]]
"""A label and its synonyms, as they stand in the file."""


def read_target_labels(name_or_path: str) -> Mapping[str, tuple[str, ...]]:
    """A target's labels, each with its synonyms, by a name of `TARGET_LISTS` or from a file.

    A file's form follows from its suffix. `.csv` and `.tsv`: the classes of EPIC-Kitchens-55 or
    -100, any table with a column `label` (Kinetics), Something-Something-v1's labels (one a line,
    commas and all) and annotations (id;label). `.json`: Something-Something-v2's labels and
    annotations, Kinetics' annotations, a list of labels, or an object of labels and synonyms.
    Anything else: text as `load_seeds` reads it. Square brackets go, of labels that are equal but
    for case and spaces the first stays, with the synonyms of all.

    Raises:
        SeedError: neither a name nor a file, or a file that cannot be read, is over 64 MiB, is not
            UTF-8, holds no label or one without a letter or digit, or is of a form not named above.
    """
    if name_or_path in TARGET_LISTS:
        return {seed.label: () for seed in load_seeds(name_or_path).seeds}
    if name_or_path in SEED_SETS:
        raise SeedError(f"{name_or_path} is no list of labels: name the lists that it joins")
    path = Path(name_or_path)
    if not path.is_file():
        raise unknown_name(name_or_path, TARGET_LISTS, "target list")
    text = read_text(path)
    suffix = path.suffix.lower()
    found: Iterable[_Entry]
    if suffix == ".json":
        found = _from_json(text, name_or_path)
    elif suffix in (".csv", ".tsv"):
        found = _from_table(text, name_or_path)
    else:
        found = ((label, ()) for label in parse_labels(text, name_or_path))
    return _united(found, name_or_path)


def _from_table(text: str, source: str) -> Iterable[_Entry]:
    delimiter = _delimiter(text, source)
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    except csv.Error as error:
        raise SeedError(f"{source}: not a table: {error}") from error
    filled = [(number, row) for number, row in enumerate(rows, start=1) if "".join(row).strip()]
    header = [name.strip().casefold() for name in filled[0][1]] if filled else []
    for names in _COLUMNS:
        if len(header) > 1 and set(names) <= set(header):
            return _from_columns(filled, [header.index(name) for name in names], source)
    if delimiter == ";" and all(len(row) == 2 and row[0].strip().isdecimal() for _, row in filled):
        return [(row[1], ()) for _, row in filled]
    if _is_table([row for _, row in filled]):
        raise SeedError(
            f"{source}: has the columns {', '.join(header)[:200]}; known are {_KNOWN_COLUMNS}; "
            "a plain list of labels goes into a .txt file"
        )
    if header == ["label"]:
        rows[filled[0][0] - 1] = []
    # One column: what looks like several cells is a label with commas.
    text = "\n".join(delimiter.join(row) for row in rows)
    return [(label, ()) for label in parse_labels(text, source)]


def _delimiter(text: str, source: str) -> str:
    if source.lower().endswith(".tsv"):
        return "\t"
    first = next((line for line in text.splitlines() if line.strip()), "")
    return next((mark for mark in "\t;" if mark in first), ",")


def _is_table(rows: Sequence[Sequence[str]]) -> bool:
    """Whether these are the cells of a table rather than a list of labels that hold commas."""
    if not rows or len(rows[0]) < 2:
        return False
    names = all(re.fullmatch(r"[\w.-]+", cell.strip()) for cell in rows[0])
    return names or len({len(row) for row in rows}) == 1


def _from_columns(
    rows: Sequence[tuple[int, Sequence[str]]], columns: Sequence[int], source: str
) -> Iterator[_Entry]:
    width = len(rows[0][1])
    for number, row in rows[1:]:
        where = f"{source}, row {number}"
        if len(row) <= max(columns) or any(row[width:]):
            raise SeedError(f"{where}: has {len(row)} cells under {width} columns")
        label, *cells = (row[column] for column in columns)
        synonyms = tuple(name for cell in cells for name in _printed_list(cell, where))
        if label.strip():
            yield label, synonyms


def _printed_list(cell: str, source: str) -> Sequence[str]:
    """The strings of a list as Python prints it, which is how EPIC-Kitchens writes synonyms."""
    # The parser's memory and depth grow with its text, hence a bound; it never runs anything.
    if len(cell) > MAX_SYNONYMS_CHARACTERS:
        raise SeedError(f"{source}: a list of over {MAX_SYNONYMS_CHARACTERS} characters")
    try:
        entries = ast.literal_eval(cell.strip() or "[]")
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise SeedError(f"{source}: no list such as ['take', 'grab']: {cell[:60]!r}") from error
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise SeedError(f"{source}: no list such as ['take', 'grab']: {cell[:60]!r}")
    return entries


def _from_json(text: str, source: str) -> Iterator[_Entry]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SeedError(f"{source}: not JSON: {error}") from error
    entries: Iterable[tuple[object, object]] = [(None, ())]
    if isinstance(content, list):
        entries = ((_label_of(entry), ()) for entry in content)
    elif isinstance(content, dict):
        entries = map(_of_pair, content.items())
    for label, synonyms in entries:
        names = [label, *synonyms] if isinstance(synonyms, list | tuple) else [None]
        texts = [name for name in names if isinstance(name, str)]
        if len(texts) < len(names):
            raise SeedError(f"{source}: this JSON is of no known form; known are {_KNOWN_JSON}")
        yield texts[0], texts[1:]


def _of_pair(pair: tuple[str, object]) -> tuple[object, object]:
    key, value = pair
    if isinstance(value, dict):
        return _label_of(value.get("annotations", value)), ()
    if isinstance(value, list):
        return key, value
    if isinstance(value, int) or (isinstance(value, str) and value.strip().isdecimal()):
        return key, ()
    # The other way round is in use too: {"7": "Opening something"}.
    return value if key.strip().isdecimal() else None, ()


def _label_of(entry: object) -> object:
    if isinstance(entry, dict):
        # A label of Something-Something-v2's videos names the objects; its template is the class.
        return entry.get("template", entry.get("label"))
    return entry


def _united(found: Iterable[_Entry], source: str) -> Mapping[str, tuple[str, ...]]:
    synonyms: dict[str, dict[str, str]] = {}
    for label, members in found:
        names = [_without_brackets(name) for name in (label, *members)]
        folded = [fold_text(name) for name in names]
        if folded[0] not in synonyms or members:
            _check(names, source)
            # The label itself is the first of its own, so that no synonym repeats it.
            own = synonyms.setdefault(folded[0], {})
            for key, name in zip(folded, names, strict=True):
                own.setdefault(key, name)
    if not synonyms:
        raise SeedError(f"{source}: holds no label")
    if all(key.isdecimal() for key in synonyms):
        raise SeedError(f"{source}: its labels are numbers; the list of their names is needed")
    united = (tuple(own.values()) for own in synonyms.values())
    return {names[0]: names[1:] for names in united}


def _without_brackets(name: str) -> str:
    return " ".join(name.translate(_BRACKETS).split())


def _check(names: Iterable[str], source: str) -> None:
    for name in names:
        try:
            label_words(name)
        except LabelError as error:
            raise SeedError(f"{source}: {error}") from error
