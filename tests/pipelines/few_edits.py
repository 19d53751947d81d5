"""Fewer edits than there are, so that a test of what is done with them takes seconds."""

import pytest

from formats.edits import EDITS
from pipelines.judging import edit_recall, reedits


def keep_edits(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    few = {name: edit for name, edit in EDITS.items() if name in names}
    for module in (edit_recall, reedits):
        monkeypatch.setattr(module, "EDITS", few)
