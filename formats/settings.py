"""Options at rest: TOML files and `section.option=value` words -> nested frozen dataclasses."""

import difflib
import json
import tomllib
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

Options = TypeVar("Options")


class SettingsError(Exception):
    """A setting is unknown, of the wrong type or out of bounds; the message says where."""


def load_settings(
    options_type: type[Options], files: Sequence[str] = (), overrides: Sequence[str] = ()
) -> Options:
    """Defaults, then each TOML file, then each `section.option=value`, the last one winning.

    Raises:
        SettingsError: an unknown name (with a hint), a wrong type, a value out of bounds.
    """
    settings: dict[str, dict[str, Any]] = {}
    for file in files:
        for section, values in _read_toml(file).items():
            if not isinstance(values, dict):
                raise SettingsError(f"{file}: {section!r} stands outside a [section]")
            settings.setdefault(section, {}).update(values)
    for word in overrides:
        section, name, value = _split_override(word)
        settings.setdefault(section, {})[name] = value
    return _build(options_type, settings)


def to_toml(options: object) -> str:
    """The whole of the options as TOML that `load_settings` reads back to an equal value."""
    lines = []
    for section in fields(options):  # type: ignore[arg-type]
        lines.append(f"[{section.name}]")
        values = getattr(options, section.name)
        lines += [f"{f.name} = {_toml_value(getattr(values, f.name))}" for f in fields(values)]
        lines.append("")
    return "\n".join(lines)


def significant(options: object) -> dict[str, object]:
    """One section's values without those marked operational, for a config digest."""
    return {
        f.name: getattr(options, f.name)
        for f in fields(options)  # type: ignore[arg-type]
        if not f.metadata.get("operational")
    }


def differences(options: object) -> Iterator[tuple[str, object, object]]:
    """(section.option, value, default) of everything that is not at its default."""
    for section in fields(options):  # type: ignore[arg-type]
        values = getattr(options, section.name)
        defaults = type(values)()
        for f in fields(values):
            value, default = getattr(values, f.name), getattr(defaults, f.name)
            if value != default:
                yield f"{section.name}.{f.name}", value, default


def _read_toml(file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SettingsError(f"{file}: no such settings file") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{file}: cannot be read as TOML: {error}") from error


def _split_override(word: str) -> tuple[str, str, str]:
    name, equals, value = word.partition("=")
    section, dot, option = name.strip().partition(".")
    if not (equals and dot and section and option):
        raise SettingsError(f"{word!r} is not of the form section.option=value")
    return section, option, value.strip()


def _build(options_type: type[Options], settings: Mapping[str, Mapping[str, Any]]) -> Options:
    sections = typing.get_type_hints(options_type)
    built = {}
    for section, values in settings.items():
        _check_known(section, sections, "section")
        built[section] = _build_section(section, sections[section], values)
    return options_type(**built)


def _build_section(section: str, section_type: type, values: Mapping[str, Any]) -> object:
    hints = typing.get_type_hints(section_type)
    converted = {}
    for name, value in values.items():
        _check_known(name, hints, f"option of [{section}]")
        try:
            converted[name] = _convert(value, hints[name])
        except (ValueError, TypeError) as error:
            raise SettingsError(f"{section}.{name}: {error}") from error
    try:
        return section_type(**converted)
    except ValueError as error:
        raise SettingsError(f"{section}: {error}") from error


def _check_known(name: str, known: Mapping[str, object], what: str) -> None:
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
        raise SettingsError(f"{name!r} is no {what}; {hint}")


def _convert(value: object, hint: Any) -> object:
    """A TOML value, or the text of an override, as the option's type."""
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        if isinstance(value, str):
            value = [part for part in (p.strip() for p in value.strip("[]").split(",")) if part]
        if not isinstance(value, list):
            raise TypeError(f"wants a list, got {value!r}")
        return tuple(_convert(item, inner) for item in value)
    if hint is bool:
        return _as_bool(value)
    if hint is str and not isinstance(value, str):
        raise TypeError(f"wants text, got {value!r}")
    if hint in (int, float):
        return _as_number(value, hint)
    return value


def _as_bool(value: object) -> bool:
    known = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in known:
        return known[value.lower()]
    raise TypeError(f"wants true or false, got {value!r}")


_KINDS = {int: "an int", float: "a float"}


def _as_number(value: object, number_type: type) -> object:
    # bool is an int to Python, but `min_videos = true` is a slip of the pen.
    wrong = isinstance(value, bool) or not isinstance(value, int | float | str)
    if wrong or (number_type is int and isinstance(value, float)):
        raise TypeError(f"wants {_KINDS[number_type]}, got {value!r}")
    try:
        return number_type(value)
    except ValueError as error:
        raise TypeError(f"wants {_KINDS[number_type]}, got {value!r}") from error


def _toml_value(value: object) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml_value(item) for item in value)}]"
    # JSON's forms of strings, numbers and booleans are TOML's too, but for \u007f.
    return json.dumps(value, ensure_ascii=True)
