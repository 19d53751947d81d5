"""Seed sets: the labels that a dataset starts from, by name or from a file of the user's."""

import difflib
import importlib.resources
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.parsers import expat

from labelspace.extract import fold_text
from labelspace.hashtags import LabelError, label_words

SEED_SETS = ("kinetics", "noun", "verb", "verb_noun", "something_something")
MAX_LIST_BYTES = 64 * 1024 * 1024
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


def load_seeds(name_or_path: str, verbnet: str | Path = "") -> SeedSet:
    """A built-in seed set by name, a text file of labels, or a VerbNet folder by path.

    A text file is UTF-8 with one label a line; blank lines and lines that start with '# ' are
    skipped, a label that was there before (but for case and spaces) counts once. A folder of
    VerbNet classes gives its one-word members together with the verbs of Kinetics.

    Args:
        name_or_path: what to start from.
        verbnet: a folder of VerbNet classes. `verb` and `verb_noun` then take their verbs from
            Kinetics and all one-word members (paper 3.1), not from the list of 438.

    Raises:
        SeedError: neither a seed set nor a path; not UTF-8; over 64 MiB; no label; a line that
            holds no letter or digit, is over 500 characters long, or starts with '#' but not with
            '# '; a VerbNet folder that cannot be used, or for a seed set without verbs.
    """
    if str(verbnet) and name_or_path not in ("verb", "verb_noun"):
        raise SeedError(
            f"a VerbNet folder goes with the seed set verb or verb_noun, not with {name_or_path!r}:"
            " choose one of them, or leave verbnet empty"
        )
    if name_or_path in ("verb", "verb_noun"):
        verbs = _verbs_with(verbnet) if str(verbnet) else _built_in("verb")
        joined = name_or_path == "verb_noun"
        return SeedSet(name_or_path, (*verbs, *(_built_in("noun") if joined else ())), joined)
    if name_or_path in SEED_SETS:
        return SeedSet(name_or_path, _built_in(name_or_path))
    path = Path(name_or_path)
    if path.is_dir():
        return SeedSet(path.name, _verbs_with(path))
    if path.is_file():
        return SeedSet(path.stem, _phrases(read_text(path), str(path)))
    raise unknown_name(name_or_path, SEED_SETS, "seed set")


def read_verbnet(folder: str | Path) -> tuple[str, ...]:
    """The one-word member verbs of a folder of VerbNet class files (`*.xml`), sorted.

    Members that people can only tag alike (re-use, reuse) are one verb. Files whose name starts
    with a dot, and XML files of anything else than VerbNet, are skipped.

    Raises:
        SeedError: no class file is there, or a file is not XML, is over 8 MiB, or declares
            entities or a document type of its own (which could expand without end, or read other
            files).
    """
    if not Path(folder).is_dir():
        raise SeedError(f"{folder}: no such folder of VerbNet classes")
    # What starts with a dot is an editor's or a Mac's, e.g. `._catch-22.3.xml`.
    files = sorted(file for file in Path(folder).glob("*.xml") if not file.name.startswith("."))
    if not files:
        raise SeedError(f"{folder}: no VerbNet class file (*.xml) is here")
    members = {member.strip() for file in files for member in _verbnet_members(file)}
    words = [member for member in members if _is_one_word(member)]
    if not words:
        raise SeedError(f"{folder}: its {len(files)} XML files name no VerbNet member")
    return tuple(sorted(_one_per_hashtag(words, str(folder))))


def read_text(path: Path) -> str:
    """A UTF-8 file's text, without its byte order mark.

    Raises:
        SeedError: it cannot be read, is over 64 MiB or not UTF-8.
    """
    try:
        return _read_bytes(path, MAX_LIST_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SeedError(f"{path}: not UTF-8 text (byte {error.start})") from error


def parse_labels(text: str, source: str) -> tuple[str, ...]:
    """The labels of a text with one a line, in order, as `load_seeds` describes it.

    Raises:
        SeedError: see `load_seeds`; it begins with `source`.
    """
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
    return tuple(labels.values())


def unknown_name(name: str, known: Sequence[str], kind: str) -> SeedError:
    """The error for what is neither a name of that kind nor a file, with the names there are."""
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return SeedError(f"no {kind} or file {name!r}{hint}: the {kind}s are {', '.join(known)}")


def _built_in(name: str) -> tuple[Seed, ...]:
    rows = _rows(name)
    if name == "verb":
        return tuple(Seed(verb, "verb") for verb, _ in rows)
    if name == "noun":
        return tuple(Seed(noun, "noun", synset) for noun, synset in rows)
    return _phrases("\n".join(label for (label,) in rows), name)


def _rows(name: str) -> list[list[str]]:
    folder = importlib.resources.files("labelspace") / "seeds"
    lines = (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


def _phrases(text: str, source: str) -> tuple[Seed, ...]:
    return tuple(Seed(label, "phrase") for label in parse_labels(text, source))


def _verbs_with(folder: str | Path) -> tuple[Seed, ...]:
    of_kinetics = [verb for verb, origins in _rows("verb") if "kinetics" in origins.split(",")]
    verbs = _one_per_hashtag((*of_kinetics, *read_verbnet(folder)), str(folder))
    return tuple(Seed(verb, "verb") for verb in sorted(verbs))


def _is_one_word(member: str) -> bool:
    # Two searches, not one pattern: that would be quadratic in a hostile member's length.
    return not re.search(r"[\s_]", member) and bool(re.search(r"[^\W_]", member))


def _one_per_hashtag(verbs: Iterable[str], source: str) -> Iterable[str]:
    try:
        hashtags = {verb: "".join(label_words(verb)) for verb in sorted(verbs)}
    except LabelError as error:
        raise SeedError(f"{source}: {error}") from error
    kept: dict[str, str] = {}
    for verb, hashtag in hashtags.items():
        # Where spellings meet, the plain one stays: reuse, not re-use.
        if hashtag not in kept or verb == hashtag:
            kept[hashtag] = verb
    return kept.values()


def _verbnet_members(file: Path) -> Sequence[str]:
    names: list[str] = []
    root: list[str] = []
    parser = expat.ParserCreate()

    def start_element(tag: str, attributes: dict[str, str]) -> None:
        if not root:
            root.append(tag)
        if tag == "MEMBER" and "name" in attributes:
            names.append(attributes["name"])

    def refuse_own_type(name: str, system: str | None, public: str | None, internal: int) -> None:
        # VerbNet 3.4 names a DTD file, which is never opened; a DTD inside the file is refused.
        if internal:
            raise SeedError(f"{file}: declares a document type of its own")

    parser.StartElementHandler = start_element
    parser.StartDoctypeDeclHandler = refuse_own_type
    try:
        parser.Parse(_read_bytes(file, MAX_VERBNET_FILE_BYTES), True)
    except expat.ExpatError as error:
        raise SeedError(f"{file}: not XML: {error}") from error
    return names if root == ["VNCLASS"] else ()


def _read_bytes(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise SeedError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(content) > most:
        raise SeedError(f"{path}: over {most} bytes, which no list of labels or verbs is")
    return content
