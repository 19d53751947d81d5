"""What one command measures, judged and written as it comes."""

from collections.abc import Mapping
from typing import Any

from formats.settings import significant
from training.options import Options
from training.ranks import ranks
from training.results import (
    Measured,
    Said,
    Where,
    forget,
    judge,
    sentence,
    write_measured,
    write_summary,
)
from training.targets import Target
from training.transfer_pages import write_overview, write_page
from training.truth import Truth

_PROTOCOL = ("model", "clips", "evaluate")


class Results:
    """What is measured by one command, written as it comes; by the first rank only."""

    def __init__(
        self, out: str, verb: str, options: Options, protocol: Mapping[str, Any] | None = None
    ):
        self.out = out
        self.options = options
        self._verb = verb
        self._protocol = protocol or protocol_of(options)
        self._measured: list[Measured] = []
        self._writes = bool(out) and ranks().writes

    def add(self, target: Target, test: tuple[str, Truth], said: Mapping[str, Said]) -> None:
        """Judge what networks said of one split."""
        split, truth = test
        # Not before there is something new: a wrong word in a command must cost no result.
        if self._writes and all(known.target != target.name for known in self._measured):
            forget(self.out, self._verb, target.name)
        learned = {"train": target.train.dataset_id} if target.tests else {}
        datasets = {**learned, split: truth.dataset_id}
        where = Where(self._verb, target.name, split, datasets)
        measured, rows = judge(where, truth, said, self._protocol)
        self._measured.append(measured)
        if self._writes:
            write_measured(self.out, measured, rows)
            write_page(self.out, measured)

    def finish(self) -> str:
        """Write the summary; return it as text, a line per target and split."""
        if self._writes:
            write_summary(self.out, self._verb, self._measured)
            write_overview(self.out, self._verb, self._measured)
        return "\n".join(sentence(measured) for measured in self._measured)


def protocol_of(options: Options) -> dict[str, Any]:
    """The options that a result depends on."""
    return {part: significant(getattr(options, part)) for part in _PROTOCOL}
