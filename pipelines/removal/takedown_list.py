"""`OUT/takedown.json`: what must never come back, as hashes.

It travels with the dataset, so it must not itself be the list of people who wanted to be forgotten:
ids and uploaders stand there as SHA-256, URIs as row keys (which are hashes of them). Hashes only
keep from reading along: whoever guesses a name can check it. The list is read into memory whole.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from formats.storage import write_text
from pipelines.identity import name_hash, row_key
from pipelines.run import JobError

LIST = "takedown.json"
FORMAT = 1
URI, ID, UPLOADER = "uri", "id", "uploader"


@dataclass(frozen=True)
class Entry:
    """One line of a file of things to take down."""

    text: str
    """As it stands there, for messages."""
    kinds: tuple[str, ...]
    """`id`, `uri` or `uploader`; both of the first two where the line does not say."""
    value: str

    def hashes(self) -> dict[str, str]:
        """What stands on the list for it, by kind."""
        return {
            kind: row_key(self.value) if kind == URI else name_hash(kind, self.value)
            for kind in self.kinds
        }


@dataclass(frozen=True)
class TakedownList:
    """Everything that was ever taken down in one OUT."""

    names: Mapping[str, str] = field(default_factory=dict)
    """Hash of an id or uploader -> its kind."""
    videos: Mapping[str, str] = field(default_factory=dict)
    """Row key -> how the video was named: `uri`, `id` or `uploader`."""
    unfinished: tuple[str, ...] | None = None
    """While a takedown is under way: the stages that were up to date when it began."""

    def __bool__(self) -> bool:
        return bool(self.names or self.videos)

    def kind_of(self, key: str, names: Iterable[tuple[str, str]]) -> str | None:
        """How a video is named on the list, by its row key or by (kind, name) pairs; else None.

        A piece goes with the video that it is of, by whatever name that went.
        """
        if key in self.videos:
            return self.videos[key]
        if not self:
            return None
        found = {kind for kind, name in names if self._lists(kind, name)}
        return min(found, default=None)

    def _lists(self, kind: str, name: str) -> bool:
        if kind == URI:
            return row_key(name) in self.videos
        return name_hash(kind, name) in self.names

    def with_entries(self, entries: Iterable[Entry]) -> "TakedownList":
        """The list with more on it; what stood there stays as it is."""
        names, videos = dict(self.names), dict(self.videos)
        for entry in entries:
            for kind, digest in entry.hashes().items():
                (videos if kind == URI else names).setdefault(digest, kind)
        return replace(self, names=names, videos=videos)

    def with_videos(self, found: Mapping[str, str]) -> "TakedownList":
        """The list with videos that its names stand for, so that another name cannot bring them."""
        return replace(self, videos={**found, **self.videos})


def read_entries(path: str) -> tuple[Entry, ...]:
    """The entries of a file: a video_id, a URI, `uploader:NAME`, `id:...` or `uri:...` a line.

    Empty lines and lines that begin with `#` are left out, as are spaces around an entry.

    Raises:
        JobError: the file cannot be read, is not UTF-8, or names nothing.
    """
    if not path:
        raise JobError("takedown needs a file of what to take down; name it with IDS=path")
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise JobError(f"{path}: cannot be read as a UTF-8 list of entries: {said}") from error
    entries = tuple(_parse(path, lines))
    if not entries:
        raise JobError(f"{path}: names nothing; one video_id, URI or uploader:NAME a line")
    return entries


def read_list(out: Path) -> TakedownList:
    """The list of a folder; an empty one if nothing was ever taken down.

    Raises:
        JobError: it is damaged. Nothing may go on then: what is on it would come back.
    """
    path = out / LIST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        unfinished = content["unfinished"]
        names, videos = dict(content["names"]), dict(content["videos"])
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        return TakedownList(names, videos, None if unfinished is None else tuple(unfinished))
    except FileNotFoundError:
        return TakedownList()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JobError(f"{path}: damaged ({error}); bring it back from a copy") from error


def write_list(out: Path, taken: TakedownList) -> None:
    """Commit the list; the same entries give the same bytes."""
    content = {
        "format": FORMAT,
        "names": dict(taken.names),
        "unfinished": taken.unfinished,
        "videos": dict(taken.videos),
    }
    write_text(str(out / LIST), json.dumps(content, indent=1, sort_keys=True) + "\n")


def _parse(path: str, lines: Iterable[str]) -> Iterator[Entry]:
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        kind, colon, value = text.partition(":")
        if not colon or kind not in (ID, URI, UPLOADER):
            yield Entry(text, (ID, URI), text)
        elif value.strip():
            yield Entry(text, (kind,), value.strip())
        else:
            raise JobError(f"{path}: line {number}: {text!r} names nothing after the colon")
