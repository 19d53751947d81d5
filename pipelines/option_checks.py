"""What the option classes share: how a field is marked, and how bounds are checked."""

from collections.abc import Sequence
from dataclasses import field


def operational(default: object) -> object:
    """A dataclass field whose value does not change what a stage produces."""
    if isinstance(default, list | tuple | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"operational": True})
    return field(default=default, metadata={"operational": True})


def at_least(options: object, **bounds: float) -> None:
    """Raise ValueError for an option below its bound."""
    for name, bound in bounds.items():
        if getattr(options, name) < bound:
            raise ValueError(f"{name} must be at least {bound}, got {getattr(options, name)}")


def fraction(options: object, name: str) -> None:
    """Raise ValueError for an option that is no share of a whole."""
    value = getattr(options, name)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be in [0, 1], got {value}")


def known_words(options: object, name: str, known: Sequence[str]) -> None:
    """Raise ValueError for an option that lists a word outside of the known ones."""
    for word in getattr(options, name):
        if word not in known:
            raise ValueError(f"{name}: {word!r} is none of {', '.join(known)}")
