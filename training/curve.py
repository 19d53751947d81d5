"""The loss curve of a run as a picture."""

import json
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from formats.storage import publish


def draw_loss_curve(log: str, picture: str) -> None:
    """Draw the loss of every step in a log, and its running mean, to a PNG."""
    rows = [json.loads(line) for line in Path(log).read_text().splitlines()]
    losses = np.array([row["loss"] for row in rows], dtype=float)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(losses, linewidth=0.5, alpha=0.4, label="step")
    span = max(1, len(losses) // 20)
    if len(losses) > span:
        means = np.convolve(losses, np.ones(span) / span, mode="valid")
        axes.plot(np.arange(span - 1, len(losses)), means, label=f"mean of {span} steps")
    axes.set(xlabel="step", ylabel="cross-entropy", title="Training loss")
    axes.legend()
    with publish(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
