import json
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from formats.storage import StorageError
from tests.training.small_files import no_file_beyond
from training.journal import CURVE, LOG, OPTIONS, TENSORBOARD, Journal
from training.options import Options, load_options


def write(out: Path, first: int, end: int, loss: float, *, tensorboard: bool = True) -> None:
    with Journal(out, Options(), step=first, tensorboard=tensorboard) as journal:
        for step in range(first, end):
            journal.write({"step": step, "epoch": 0, "loss": loss, "lr": 0.5})
        journal.draw()


def test_steps_that_are_taken_again_replace_those_of_before(tmp_path: Path) -> None:
    write(tmp_path, 0, 5, 1.0)
    write(tmp_path, 3, 6, 2.0)
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [
        (0, 1.0), (1, 1.0), (2, 1.0), (3, 2.0), (4, 2.0), (5, 2.0),
    ]  # fmt: skip
    board = EventAccumulator(str(tmp_path / TENSORBOARD)).Reload()
    assert sorted(board.Tags()["scalars"]) == ["epoch", "loss", "lr"]
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [
        (row["step"], row["loss"]) for row in rows
    ]
    assert load_options(str(tmp_path / OPTIONS), []) == Options()


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    with Journal(tmp_path, Options(), step=0, tensorboard=False) as journal:
        journal.write({"step": 0, "loss": 1.5})
        assert json.loads((tmp_path / LOG).read_text()) == {"step": 0, "loss": 1.5}


def test_lines_that_a_power_cut_tore_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, 0, 4, 1.0, tensorboard=False)
    whole = (tmp_path / LOG).read_bytes()
    torn = b"\0\0\xff\n[7]\n" + whole[:-9]
    (tmp_path / LOG).write_bytes(torn)
    write(tmp_path, 5, 6, 2.0, tensorboard=False)
    rows = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert [(row["step"], row["loss"]) for row in rows] == [(0, 1.0), (1, 1.0), (2, 1.0), (5, 2.0)]


def test_a_checkpoint_that_was_left_half_written_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".checkpoint.pt.0123.tmp").write_bytes(b"half")
    write(tmp_path, 0, 1, 1.0, tensorboard=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == [LOG, CURVE, OPTIONS]


def test_tensorboard_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, 0, 2, 1.0, tensorboard=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == [LOG, CURVE, OPTIONS]


def test_a_disk_that_is_full_is_named(tmp_path: Path) -> None:
    refused = pytest.raises(StorageError, match=r"log.jsonl: cannot be written: File too large; ")
    with refused, no_file_beyond(20_000):
        write(tmp_path, 0, 1000, 1.0, tensorboard=False)
