"""What the option classes share: how a field is marked, and how bounds are checked."""

from dataclasses import field
from typing import TypeVar

Value = TypeVar("Value")


def operational(default: Value) -> Value:
    """A dataclass field whose value does not change what is learned."""
    return field(default=default, metadata={"operational": True})


def at_least(options: object, **bounds: float) -> None:
    """Raise ValueError for an option below its bound."""
    for name, bound in bounds.items():
        if getattr(options, name) < bound:
            raise ValueError(f"{name} must be at least {bound}, got {getattr(options, name)}")


def one_of(options: object, name: str, *known: str) -> None:
    """Raise ValueError for an option that is none of the known words."""
    if getattr(options, name) not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, got {getattr(options, name)!r}")
