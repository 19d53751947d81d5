"""What a run leaves for people to see: a log with one line per step, TensorBoard, a loss curve."""

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from formats.settings import to_toml
from formats.storage import remove_leftovers, write_text
from training.curve import draw_loss_curve
from training.options import Options

OPTIONS = "options.toml"
LOG = "log.jsonl"
CURVE = "loss.png"
TENSORBOARD = "tensorboard"


class Journal:
    """The record of a run in its folder; only one rank keeps it.

    Opened at the step that a run goes on from, it forgets what came after it, and removes the
    checkpoint that a killed run may have left half written.
    """

    def __init__(self, out: Path, options: Options, *, step: int, tensorboard: bool):
        self._out = out
        remove_leftovers(str(out))
        write_text(str(out / OPTIONS), to_toml(options))
        path = out / LOG
        rows = path.read_text().splitlines(keepends=True)[:step] if path.exists() else []
        write_text(str(path), "".join(rows))
        self._log = path.open("a", buffering=1)
        self._board = _board(out, step) if tensorboard else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._log.close()
        if self._board:
            self._board.close()

    def write(self, row: dict[str, Any]) -> None:
        """Add a step, a dictionary of numbers; TensorBoard has a curve for each but `step`."""
        self._log.write(json.dumps(row) + "\n")
        if self._board:
            for name in row.keys() - {"step"}:
                self._board.add_scalar(name, row[name], row["step"])

    def draw(self) -> None:
        """Draw the loss up to here, and let TensorBoard see it."""
        draw_loss_curve(str(self._out / LOG), str(self._out / CURVE))
        if self._board:
            self._board.flush()


def _board(out: Path, step: int) -> Any:
    # Imported where it is used: it takes longer than all of the rest.
    from torch.utils.tensorboard import SummaryWriter

    # Steps that were logged and are taken again replace those of before.
    return SummaryWriter(str(out / TENSORBOARD), purge_step=step)
