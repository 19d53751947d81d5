"""The part of the report page that says which hosts the videos came from, and which failed."""

from pathlib import Path

from pipelines.decoders import describe_layers
from pipelines.reporting.markup import byte_size, foreign, percent, table, text
from pipelines.tallies import Tally, total
from pipelines.yields import YIELD, Yields, describe, most_often, read_yields

_MAX_SHOWN = 25


def yield_section(folder: str) -> str:
    """The yield in one sentence and the worst hosts, as HTML."""
    path = Path(folder) / YIELD
    if not path.exists():
        return f'<p class="none">Not counted: there is no <code>{YIELD}</code>.</p>'
    yields = read_yields(str(path))
    shown = yields.worst[:_MAX_SHOWN]
    rows = [_row(foreign(host), tally, yields) for host, tally in shown]
    if rest := yields.hosts - len(shown):
        others = total([yields.others, *(tally for _, tally in yields.worst[_MAX_SHOWN:])])
        rows.append(_row(f"{rest:,} other hosts", others, yields))
    head = ("Host", "Videos:n", "Stored:n", "Yield:n", "Fetched:n", "Retries:n", "Not stored", "")
    bound = text(describe_layers(Path(folder)), limit=200)
    return f"<p>{text(describe(yields), limit=1000)}; {bound}.</p>{table(head, rows)}"


def _row(name: str, tally: Tally, yields: Yields) -> tuple[str, ...]:
    return (
        name,
        f"{tally.videos:,}",
        f"{tally.stored:,}",
        percent(tally.stored, tally.videos),
        byte_size(tally.source_bytes),
        f"{tally.retries:,}",
        text(most_often(tally)),
        text(yields.verdict_on(tally)),
    )
