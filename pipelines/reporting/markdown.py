"""Small pieces of Markdown; whatever strangers wrote gets in as text and as nothing else."""

import html
import re
from collections.abc import Sequence

_MAX_TEXT = 120


def escape(value: object) -> str:
    r"""Anything as Markdown text that stays on its line and in its table cell.

    >>> print(escape("a|b `c`\n<d> & [e](f)"))
    a\|b \`c\` &lt;d&gt; &amp; \[e\](f)
    """
    words = " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())
    cut = words if len(words) <= _MAX_TEXT else words[: _MAX_TEXT - 1] + "…"
    # Entities, for not every Markdown lets a backslash take the meaning from '<'.
    return re.sub(r"([\\`*_\[\]#|~!$:@])", r"\\\1", html.escape(cut, quote=False))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of ready-made cells; a heading that ends in ':' is a column of numbers.

    >>> print(table(("Split", "Clips:"), [("all", "3")]))
    | Split | Clips |
    | --- | ---: |
    | all | 3 |
    """
    rule = ["---:" if name.endswith(":") else "---" for name in head]
    names = [name.removesuffix(":") for name in head]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (names, rule, *rows))
