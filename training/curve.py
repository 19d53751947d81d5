"""The loss curve of a run as a picture."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from formats.storage import publish

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_POINTS = 2000
"""More than a picture this wide can show, so that a long run is drawn as fast as a short one."""
SPANS = 20
"""The running mean is over this part of a run."""


def draw_loss_curve(losses: Sequence[float], picture: str) -> None:
    """Draw the loss of every step, of a long run their means over a few, to a PNG.

    Beside it stands the running mean.
    """
    loss_S = np.asarray(losses, dtype=float)
    span = max(1, len(loss_S) // SPANS)
    each = max(1, len(loss_S) // _POINTS)
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    ends, means = running_mean(loss_S, each, each)
    label = "step" if each == 1 else f"mean of {each} steps"
    axes.plot(ends, means, linewidth=0.5, alpha=0.4, label=label)
    if len(loss_S) > span:
        axes.plot(*running_mean(loss_S, span, each), label=f"mean of {span} steps")
    axes.set(xlabel="step", ylabel="cross-entropy", title="Training loss")
    axes.legend()
    with publish(picture) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def running_mean(loss_S: Doubles, span: int, each: int) -> tuple[Ints, Doubles]:
    """(last step, mean) of every `each`-th stretch of `span` steps.

    >>> [part.tolist() for part in running_mean(np.array([1.0, 3.0, 5.0, 7.0]), 2, 2)]
    [[1, 3], [2.0, 6.0]]
    """
    sum_S = np.concatenate([[0.0], np.cumsum(loss_S)])
    ends = np.arange(span, len(sum_S), each)
    return ends - 1, (sum_S[ends] - sum_S[ends - span]) / span
