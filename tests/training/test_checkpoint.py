import os
from pathlib import Path

import pytest
import torch

from formats.storage import StorageError
from training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from training.options import Options


class Evil:
    def __init__(self, marker: str):
        self.marker = marker

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.marker,)


def checkpoint(step: int = 7) -> Checkpoint:
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.SGD([parameter], lr=0.1, momentum=0.9)
    torch.autograd.backward(parameter.sum())
    optimiser.step()
    return Checkpoint(
        options=Options(),
        labels=("running", "jumping"),
        dataset_id="ab" * 32,
        model={"fc.weight": torch.arange(4.0), "fc.bias": torch.zeros(2)},
        optimiser=optimiser.state_dict(),
        step=step,
        epoch=2,
        clips=16,
        ranks=2,
        rng_state=torch.get_rng_state(),
        origin="cd" * 32,
    )


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    saved, path = checkpoint(), str(tmp_path / "checkpoint.pt")
    save_checkpoint(path, saved)
    loaded = load_checkpoint(path)
    assert torch.equal(loaded.model["fc.weight"], saved.model["fc.weight"])
    assert torch.equal(loaded.rng_state, saved.rng_state)
    assert torch.equal(
        loaded.optimiser["state"][0]["momentum_buffer"],
        saved.optimiser["state"][0]["momentum_buffer"],
    )
    names = (
        "options", "labels", "dataset_id", "step", "epoch", "clips", "ranks", "origin", "format",
    )  # fmt: skip
    assert [getattr(loaded, n) for n in names] == [getattr(saved, n) for n in names]


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    save_checkpoint(str(path), checkpoint(step=1))
    broken = checkpoint(step=2)
    broken.model["fc.weight"] = lambda: None  # type: ignore[assignment]
    with pytest.raises(AttributeError):
        save_checkpoint(str(path), broken)
    assert load_checkpoint(str(path)).step == 1
    assert [file.name for file in path.parent.iterdir()] == ["checkpoint.pt"]


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        save_checkpoint(str(tmp_path / "checkpoint.pt"), checkpoint())


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nothing.pt: no checkpoint there"):
        load_checkpoint(str(tmp_path / "nothing.pt"))


@pytest.mark.parametrize("cut", [0, 10, 1000])
def test_a_cut_checkpoint_is_refused(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(str(path), checkpoint())
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        load_checkpoint(str(path))


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], {"options": {}, "format": 1}])
def test_another_programs_file_is_refused(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        load_checkpoint(str(tmp_path / "weights.pt"))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"model": Evil(str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="not a checkpoint of ours"):
        load_checkpoint(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"fc.bias": "weights"}}, "its model is no dictionary of tensors"),
        ({"model": {"stem": torch.ones(1)}}, "with a last layer"),
        ({"labels": (1, 2)}, "its labels are no texts"),
        ({"clips": -1}, r"stands at step, epoch and clip \(7, 2, -1\)"),
    ],
)
def test_a_checkpoint_with_other_content_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = str(tmp_path / "checkpoint.pt")
    save_checkpoint(path, Checkpoint(**{**vars(checkpoint()), **change}))
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(path)


def test_another_format_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoint.pt")
    save_checkpoint(path, Checkpoint(**{**vars(checkpoint()), "format": 1}))
    with pytest.raises(CheckpointError, match="ours: format 1, this version reads 2"):
        load_checkpoint(path)
