"""What a run leaves for people to see: a log with one line per step, TensorBoard, a loss curve."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from formats.settings import to_toml
from formats.storage import refused, remove_leftovers, write_text
from training.curve import SPANS, draw_loss_curve
from training.options import Options

OPTIONS = "options.toml"
LOG = "log.jsonl"
CURVE = "loss.png"
TENSORBOARD = "tensorboard"


class Journal:
    """The record of a run in its folder; only one rank keeps it.

    Opened at the step that a run goes on from, it forgets what came after it, and removes the
    checkpoint that a killed run may have left half written. Holds the loss of every step in memory.

    Raises:
        StorageError: the disk is full or refuses; so do its methods.
    """

    def __init__(self, out: Path, options: Options, *, step: int, tensorboard: bool):
        self._out = out
        remove_leftovers(str(out))
        write_text(str(out / OPTIONS), to_toml(options))
        path = out / LOG
        rows = _rows_before(path, step)
        write_text(str(path), "".join(line for line, _ in rows))
        self._losses = [loss for _, loss in rows]
        with self._written():
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
        # What the disk refused before, it refuses again; that is told already.
        with suppress(OSError) if error else self._written():
            self._log.close()
            if self._board:
                self._board.close()

    def write(self, row: dict[str, Any]) -> None:
        """Add a step, a dictionary of numbers; TensorBoard has a curve for each but `step`."""
        with self._written():
            self._log.write(json.dumps(row) + "\n")
            self._losses.append(row["loss"])
            if self._board:
                for name in row.keys() - {"step"}:
                    self._board.add_scalar(name, row[name], row["step"])

    def draw(self) -> None:
        """Draw the loss up to here, and let TensorBoard see it."""
        draw_loss_curve(self._losses, str(self._out / CURVE))
        if self._board:
            with self._written():
                self._board.flush()

    @contextmanager
    def _written(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise refused(str(self._out / LOG), error) from error


def last_mean_loss(out: Path) -> float | None:
    """The mean loss of the last twentieth of a run; None if its log is gone."""
    losses = [loss for _, loss in _rows_before(out / LOG, math.inf)]
    last = losses[-max(1, len(losses) // SPANS) :]
    return sum(last) / len(last) if last else None


def _rows_before(path: Path, step: float) -> list[tuple[str, float]]:
    """(line, loss) of the steps before one, once each; a torn line is left out."""
    rows = {}
    # Bytes that are no text are of a disk that lost its power.
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    for line in text.splitlines():
        try:
            row = json.loads(line)
            rows[int(row["step"])] = f"{line}\n", float(row["loss"])
        except (ValueError, TypeError, KeyError):
            continue
    return [rows[number] for number in sorted(rows) if number < step]


def _board(out: Path, step: int) -> Any:
    # Imported where it is used: it takes longer than all of the rest.
    from torch.utils.tensorboard import SummaryWriter

    # Steps that were logged and are taken again replace those of before.
    return SummaryWriter(str(out / TENSORBOARD), purge_step=step)
