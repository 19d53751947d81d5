"""Results of transfer as pages that need no network: one per target, and one that compares all."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from formats.storage import write_text
from training.results import METHODS, Measured, Network, sentence, shown
from training.scores import LabelScore, Scores, Share

TEMPLATE = Path(__file__).parent / "transfer.html"
MEASURES = {"top1": "top-1", "top5": "top-5", "mean_ap": "mAP"}
_CONFUSED = 20
_PICTURE_IN = 6
_DPI = 110


def write_page(out: str, measured: Measured) -> None:
    """Write the page of one result to `OUT/VERB/NAME.html`.

    Raises:
        StorageError: the disk is full or refuses.
    """
    body = "\n".join(
        [
            _section("Compared", _comparison([measured])),
            *_choices(measured),
            _section("Label by label", _labels(measured.networks)),
            _section("What is taken for what", _confusion(measured)),
            _section("How it was measured", _protocol(measured)),
        ]
    )
    _write(out, f"{measured.verb}/{measured.name}.html", measured.name, sentence(measured), body)


def write_overview(out: str, verb: str, results: Sequence[Measured]) -> None:
    """Write the page that compares all targets to `OUT/VERB.html`."""
    links = [
        f'<a href="{verb}/{quote(measured.name)}.html">{escape(measured.name)}</a>'
        for measured in results
    ]
    body = _section("Compared", _comparison(results)) + _section(
        "One by one", f"<p>{', '.join(links)}</p>"
    )
    lead = "Intervals hold 95 %: Wilson's for shares, else the bootstrap over videos."
    _write(out, f"{verb}.html", f"Transfer: {METHODS[verb]}", lead, body)


def _write(out: str, name: str, title: str, lead: str, body: str) -> None:
    page = Template(TEMPLATE.read_text(encoding="utf-8"))
    words = {"title": escape(title), "lead": escape(lead), "body": body}
    write_text(str(Path(out) / name), page.substitute(words))


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>\n{body}</section>"


def _comparison(results: Sequence[Measured]) -> str:
    rows = []
    for measured in results:
        for name, network in measured.networks.items():
            for measure, word in MEASURES.items():
                share: Share = getattr(network.scores, measure)
                rows.append([measured.name, name, word, shown(share), _span(share)])
        for measure in ("top1", "mean_ap") if measured.better else ():
            gain = shown(getattr(measured.better, measure), sign=True)
            rows.append([measured.name, "difference", MEASURES[measure], gain, ""])
    return _table(["target", "weights", "measure", "value [95 %]", ""], rows, numbers={3})


class _Drawing(str):
    """HTML of our own making, which is not escaped."""


def _span(share: Share) -> _Drawing:
    """A share as a line, with its interval."""
    left, width = 100 * share.low, 100 * (share.high - share.low)
    return _Drawing(
        f'<span class="span"><i style="left:{left:.2f}%;width:{width:.2f}%"></i>'
        f'<b style="left:{100 * share.value:.2f}%"></b></span>'
    )


def _choices(measured: Measured) -> list[str]:
    sections = []
    for name, network in measured.networks.items():
        if not network.choices:
            continue
        settings = list(network.choices[0].settings)
        rows = [
            [
                *(f"{choice.settings[setting]:g}" for setting in settings),
                "overflows" if choice.diverged else f"{choice.top1:.1%}",
                "" if choice.diverged else f"{choice.mean_ap:.1%}",
                "taken" if choice.taken else "",
            ]
            for choice in network.choices
        ]
        taken = {i for i, choice in enumerate(network.choices) if choice.taken}
        head = [*settings, "top-1", "mAP", ""]
        table = _table(head, rows, numbers=set(range(len(head) - 1)), taken=taken)
        sections.append(_section(f"Chosen on the hold-out: {name}", table))
    return sections


def _labels(networks: Mapping[str, Network]) -> str:
    head = ["", "label", "videos"]
    for name in networks:
        head += [f"{name}: top-1", "top-5", "AP", "mistaken for"]
    rows = []
    parts = [network.scores.per_label for network in networks.values()]
    for number, scores in enumerate(zip(*parts, strict=True)):
        row = [str(number), scores[0].label, str(scores[0].videos)]
        rows.append(row + [word for own in scores for word in _of_label(own)])
    wide = {0, 2, *(i for i in range(3, len(head)) if (i - 3) % 4 < 3)}
    return _table(head, rows, numbers=wide)


def _of_label(own: LabelScore) -> list[str]:
    shares = (own.top1, own.top5, own.average_precision)
    words = ["" if share is None else f"{share:.1%}" for share in shares]
    return [*words, own.mistaken_for or ""]


def _confusion(measured: Measured) -> str:
    parts = [
        '<p class="note">A row per label, a column per first guess, numbered as above; '
        "darker is a larger share of the row.</p>",
        '<div class="pictures">',
    ]
    for name, network in measured.networks.items():
        picture = confusion_picture(network.scores)
        parts.append(
            f'<figure><img alt="Confusion matrix, {escape(name)}" src="{picture}">'
            f"<figcaption>{escape(name)}</figcaption></figure>"
        )
    parts.append("</div>")
    for name, network in measured.networks.items():
        labels = [own.label for own in network.scores.per_label]
        wrong = [(n, i, j) for i, j, n in network.scores.confusion if i != j]
        most = sorted(wrong, key=lambda pair: (-pair[0], pair[1:]))[:_CONFUSED]
        rows = [[labels[i], labels[j], str(n)] for n, i, j in most]
        parts.append(f"<h3>{escape(name)}</h3>")
        parts.append(_table(["label", "taken for", "videos"], rows, numbers={2}))
    return "\n".join(parts)


def confusion_picture(scores: Scores) -> str:
    """The confusion matrix, each row adding up to 1, as the data URI of a PNG.

    Labels stand as numbers: their text is on the page, where it can be escaped, and fonts lack
    some of their letters.
    """
    labels = len(scores.per_label)
    counts_CC = np.zeros((labels, labels))
    for own, guess, videos in scores.confusion:
        counts_CC[own, guess] = videos
    shares_CC = counts_CC / np.maximum(counts_CC.sum(1, keepdims=True), 1)
    figure = Figure(figsize=(_PICTURE_IN, _PICTURE_IN), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares_CC, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axes.set(xlabel="first guess", ylabel="label")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, shrink=0.7, label="share of the label's videos")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _protocol(measured: Measured) -> str:
    rows = [[f"dataset {split}", digest] for split, digest in measured.datasets.items()]
    rows += [
        [f"weights, {name}", network.weights or "random"]
        for name, network in measured.networks.items()
    ]
    for section, values in measured.protocol.items():
        rows += [[f"{section}.{name}", str(value)] for name, value in values.items()]
    return _table(["", ""], rows, numbers=set())


def _table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: set[int],
    taken: Iterable[int] = (),
) -> str:
    """A table of texts, all escaped but those that are drawings of ours."""
    marked = set(taken)

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=n' if i in numbers else ''}>"
            f"{cell if isinstance(cell, _Drawing) else escape(cell)}</{tag}>"
            for i, cell in enumerate(row)
        )

    body = "\n".join(
        f"<tr{' class=taken' if i in marked else ''}>{cells('td', row)}</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f'<div class="scroll"><table><thead><tr>{cells("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
