"""Pictures for the report: SVG to be put inline, in the page's own colours and font.

The same numbers give the same bytes. Nothing from outside (a label, a caption) is drawn.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

# matplotlib wants real colours; these stand for the page's and are replaced by CSS variables, so
# that one drawing serves light and dark.
_INK, _MUTED, _LINE, _ACCENT = "#010203", "#040506", "#070809", "#0a0b0c"
_CSS = {
    _INK: "var(--ink)",
    _MUTED: "var(--muted)",
    _LINE: "var(--line)",
    _ACCENT: "var(--accent)",
}
_SVG_TAG = r'<svg xmlns:xlink="http://www.w3.org/1999/xlink" \1 role="img">'
_SIZE_IN = (5.2, 3.1)
# Any: matplotlib types its settings by the literal names of all of them.
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 10,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "text.color": _INK,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
}


def draw_videos_per_label(videos: Sequence[int], *, min_videos: int) -> str:
    """The long tail: videos of each label, the largest first, on a log scale.

    The dashed line is `min_videos`, below which a label was dropped.
    """
    ranked = sorted(videos, reverse=True)

    def plot(axes: Axes) -> None:
        ranks = range(1, len(ranked) + 1)
        if len(ranked) <= 60:
            axes.bar(ranks, ranked, width=0.82, color=_ACCENT, linewidth=0)
        else:
            axes.fill_between(ranks, ranked, 0.5, step="mid", color=_ACCENT, linewidth=0)
        axes.axhline(min_videos, color=_INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_yscale("log")
        low, high = max(0.5, min([min_videos, *ranked]) / 2), max([min_videos, *ranked]) * 1.6
        axes.set_ylim(low, high)
        axes.set_xlim(0.4, len(ranked) + 0.6)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        # Fewer ticks than two, too: else a single label has ranks between whole ones.
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("label, by rank")
        axes.set_ylabel("videos (log scale)")

    return _draw("videos-per-label", plot)


def draw_cumulative_share(videos: Sequence[int]) -> str:
    """Share of all videos that the largest labels hold, x = share of the labels (paper Fig. 3).

    The dashed diagonal is a label space in which all labels are equally large.
    """
    shares = cumulative_shares(videos)

    def plot(axes: Axes) -> None:
        steps = [i / max(1, len(shares) - 1) for i in range(len(shares))]
        axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1, linestyle=(0, (4, 3)))
        axes.plot(steps, shares, color=_ACCENT, linewidth=2, solid_joinstyle="round")
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1.02)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlabel("labels, largest first")
        axes.set_ylabel("videos, cumulative")

    return _draw("cumulative-share", plot)


def cumulative_shares(videos: Sequence[int]) -> list[float]:
    """Entry k = share of all videos that the k largest labels hold; entry 0 is 0.

    >>> cumulative_shares([1, 3])
    [0.0, 0.75, 1.0]
    """
    total, held = sum(videos), 0
    shares = [0.0]
    for count in sorted(videos, reverse=True):
        held += count
        shares.append(held / total)
    return shares


def _draw(name: str, plot: Callable[[Axes], None]) -> str:
    # The salt keeps ids stable from run to run, and apart from those of other drawings on the page.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=_SIZE_IN, layout="constrained")
        FigureCanvasSVG(figure)
        plot(figure.add_subplot())
        buffer = io.StringIO()
        metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=metadata)
    return _to_inline(buffer.getvalue())


def _to_inline(svg: str) -> str:
    """The `<svg>` element alone, scaling with the page, in the page's colours and font."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>', _SVG_TAG, svg, count=1)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;\"]*;? ?", "", svg)
    for colour, variable in _CSS.items():
        svg = svg.replace(colour, variable)
    return svg.strip()
