"""How tightly the decoders of a job were bound, as the workers that ran them found it."""

from pathlib import Path

from formats.confinement import LANDLOCK, SECCOMP, layers
from pipelines.run import JobError

_FOLDER = ".decoders"
_LIMITS = "limits"
_ALL = frozenset({_LIMITS, LANDLOCK, SECCOMP})


def note_layers(out: Path, mode: str) -> None:
    """Leave word of what binds the decoders on this machine; one empty file a kind of machine.

    Raises:
        JobError: not everything does, and `mode` is `require`.
    """
    granted = (_LIMITS, *layers())
    if mode == "require" and not _ALL.issubset(granted):
        missing = " and ".join(sorted(_ALL.difference(granted)))
        raise JobError(
            f"this worker grants no {missing}, and fetch.sandbox=require: give it Linux 5.13 or "
            "newer in a container that lets it through, or set fetch.sandbox=auto"
        )
    folder = out / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "+".join(granted)).touch()


def describe_layers(out: Path) -> str:
    """What bound the decoders of a job, in a sentence.

    >>> describe_layers(Path("nowhere"))
    'no decoder has run'
    """
    found = sorted(path.name.replace("+", ", ") for path in (out / _FOLDER).glob("*"))
    if not found:
        return "no decoder has run"
    if len(found) == 1:
        return f"decoders were bound by {found[0]}"
    return f"decoders were bound, on some workers each, by {' / '.join(found)}"
