"""What the option classes share: how a field is marked, and how bounds are checked."""

import math
from dataclasses import field
from typing import TypeVar

Value = TypeVar("Value")


def operational(default: Value) -> Value:
    """A dataclass field whose value does not change what is learned."""
    return field(default=default, metadata={"operational": True})


def at_least(options: object, **bounds: float) -> None:
    """Raise ValueError for an option below its bound, or one that is no finite number."""
    for name, bound in bounds.items():
        value = getattr(options, name)
        if not (math.isfinite(value) and value >= bound):
            raise ValueError(f"{name} must be at least {bound}, got {value}")


def one_of(options: object, name: str, *known: str) -> None:
    """Raise ValueError for an option that is none of the known words."""
    if getattr(options, name) not in known:
        raise ValueError(f"{name} must be {' or '.join(known)}, got {getattr(options, name)!r}")
