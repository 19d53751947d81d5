"""Seed sets: the labels that a dataset starts from, by name or from a file of the user's."""

import difflib
import importlib.resources
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from labelspace.extract import fold_text
from labelspace.hashtags import LabelError, label_words

SEED_SETS = ("kinetics", "noun", "verb", "verb_noun")
MAX_VERBNET_FILE_BYTES = 8 * 1024 * 1024


class SeedError(Exception):
    """A seed set is unknown or a file of seeds cannot be used; the message says why and where."""


@dataclass(frozen=True)
class Seed:
    """One label that a dataset starts from."""

    label: str
    kind: str
    """`phrase` (expanded word by word), `verb` (a lemma) or `noun` (its label is its hashtag)."""
    synset: str | None = None
    """WordNet id of a noun; several, separated by commas, where the hashtag names several."""


@dataclass(frozen=True)
class SeedSet:
    """The labels that a dataset starts from."""

    name: str
    seeds: tuple[Seed, ...]
    """In the order of their file."""
    joined: bool = False
    """Whether a label is one verb and one noun together, e.g. `catch fish`."""


def load_seeds(name_or_path: str) -> SeedSet:
    """A built-in seed set by name, a text file of labels, or a VerbNet folder by path.

    A text file is UTF-8 with one label a line; blank lines and lines that start with '# ' are
    skipped, a label that was there before (but for case and spaces) counts once. A folder of
    VerbNet classes gives its one-word members together with the built-in verbs.

    Raises:
        SeedError: neither a seed set nor a path; not UTF-8; no label; a line that holds no letter
            or digit, is over 500 characters long, or starts with '#' but not with '# '.
    """
    if name_or_path == "verb_noun":
        return SeedSet(name_or_path, (*_built_in("verb"), *_built_in("noun")), joined=True)
    if name_or_path in SEED_SETS:
        return SeedSet(name_or_path, _built_in(name_or_path))
    path = Path(name_or_path)
    if path.is_dir():
        verbs = dict.fromkeys((*(s.label for s in _built_in("verb")), *read_verbnet(path)))
        return SeedSet(path.name, tuple(Seed(verb, "verb") for verb in sorted(verbs)))
    if path.is_file():
        return SeedSet(path.stem, _phrases(_read_text(path), str(path)))
    near = difflib.get_close_matches(name_or_path, SEED_SETS, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    known = ", ".join(SEED_SETS)
    raise SeedError(f"no seed set or file {name_or_path!r}{hint}: the seed sets are {known}")


def read_verbnet(folder: str | Path) -> tuple[str, ...]:
    """The one-word member verbs of a folder of VerbNet class files (`*.xml`), sorted.

    Raises:
        SeedError: no class file is there, or one is not XML, is over 8 MiB, or declares entities or
            a document type of its own (which could expand without end, or read other files).
    """
    files = sorted(Path(folder).glob("*.xml"))
    if not files:
        raise SeedError(f"{folder}: no VerbNet class file (*.xml) is here")
    members = {member for file in files for member in _verbnet_members(file)}
    verbs = sorted(member for member in members if re.fullmatch(r"[^\s_]*[^\W_][^\s_]*", member))
    if not verbs:
        raise SeedError(f"{folder}: its {len(files)} XML files name no VerbNet member")
    return tuple(verbs)


def _built_in(name: str) -> tuple[Seed, ...]:
    folder = importlib.resources.files("labelspace") / "seeds"
    text = (folder / f"{name}.txt").read_text(encoding="utf-8")
    if name == "kinetics":
        return _phrases(text, name)
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    if name == "verb":
        return tuple(Seed(line, "verb") for line in lines)
    return tuple(Seed(noun, "noun", synset) for noun, synset in (li.split("\t") for li in lines))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedError(f"{path}: not UTF-8 text (byte {error.start})") from error


def _phrases(text: str, source: str) -> tuple[Seed, ...]:
    labels: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        label = " ".join(line.split())
        if not label or re.match(r"#+( |$)", label):
            continue
        if label.startswith("#"):
            # Left out in silence, a list of hashtags would be a file of comments.
            advice = f"write {label.lstrip('#')!r} for a label, {'# ...'!r} for a comment"
            raise SeedError(f"{source}, line {number}: {label[:60]!r} starts with '#': {advice}")
        try:
            label_words(label)
        except LabelError as error:
            raise SeedError(f"{source}, line {number}: {error}") from error
        labels.setdefault(fold_text(label), label)
    if not labels:
        raise SeedError(f"{source}: holds no label")
    return tuple(Seed(label, "phrase") for label in labels.values())


def _verbnet_members(file: Path) -> Iterable[str]:
    members: list[str] = []
    parser = expat.ParserCreate()

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        if tag == "MEMBER" and "name" in attributes:
            members.append(attributes["name"])

    def refuse_own_type(name: str, system: str | None, public: str | None, internal: int) -> None:
        # VerbNet 3.4 names a DTD file, which is never opened; a DTD inside the file is refused.
        if internal:
            raise SeedError(f"{file}: declares a document type of its own")

    parser.StartElementHandler = start_element
    parser.StartDoctypeDeclHandler = refuse_own_type
    if file.stat().st_size > MAX_VERBNET_FILE_BYTES:
        raise SeedError(f"{file}: over {MAX_VERBNET_FILE_BYTES} bytes, no VerbNet class")
    try:
        parser.Parse(file.read_bytes(), True)
    except expat.ExpatError as error:
        raise SeedError(f"{file}: not XML: {error}") from error
    return members
