"""Small pieces of HTML; whatever strangers wrote gets in as text and as nothing else."""

import html
from collections.abc import Sequence

_MAX_TEXT = 120
_UNITS = ("bytes", "KB", "MB", "GB", "TB")


def text(value: object, limit: int = _MAX_TEXT) -> str:
    r"""Anything as HTML text: escaped, control characters made visible, cut at a length.

    >>> text("<b>\x00&'")
    '&lt;b&gt;\ufffd&amp;&#x27;'
    """
    plain = "".join(c if c >= " " or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(value))
    return html.escape(plain if len(plain) <= limit else plain[: limit - 1] + "…")


def foreign(value: object, limit: int = _MAX_TEXT) -> str:
    """Text of a stranger's; <bdi>, so that a right-to-left name cannot reorder what is around it.

    >>> foreign("a & b")
    '<bdi>a &amp; b</bdi>'
    """
    return f"<bdi>{text(value, limit)}</bdi>"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of ready-made cells; a heading's `:n` or `:bar` is the class of its column.

    >>> table(("Split", "Clips:n"), [("all", "3")])  # doctest: +ELLIPSIS
    '<div class="scroll"><table>...<td>all</td><td class="n">3</td></tr></tbody></table></div>'
    """
    names, classes = zip(*(name.partition(":")[::2] for name in head), strict=True)
    marks = [f' class="{name}"' if name else "" for name in classes]
    first = "".join(f"<th{mark}>{name}</th>" for mark, name in zip(marks, names, strict=True))
    body = "".join(
        "<tr>"
        + "".join(f"<td{mark}>{cell}</td>" for mark, cell in zip(marks, row, strict=True))
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{first}</tr></thead><tbody>{body}</tbody></table>'
        "</div>"
    )


def meter(value: float, largest: float) -> str:
    """A bar whose length is the value's share of the largest."""
    width = 100 * value / largest if largest else 0
    return f'<span class="meter" style="width:{width:.2f}%"></span>'


def percent(count: int, total: int) -> str:
    """A share in per cent; one decimal below ten.

    >>> percent(1, 3), percent(1, 30), percent(0, 0)
    ('33%', '3.3%', '0%')
    """
    share = 100 * count / total if total else 0
    return f"{share:.1f}%" if 0 < share < 9.95 else f"{share:.0f}%"


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(8.2), duration(200), duration(9000)
    ('8.2 s', '3.3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:,.1f} h"


def byte_size(size: float) -> str:
    """Bytes in decimal units.

    >>> byte_size(12), byte_size(1_250_000)
    ('12 bytes', '1.2 MB')
    """
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size:.0f} bytes"
