import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from formats.storage import StorageError
from tests.training.small_files import no_file_beyond
from training.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from training.layouts import build
from training.options import ModelOptions, Options

NET = ModelOptions(depth=18, width=2)


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
        options=Options(model=NET),
        labels=("running", "jumping"),
        dataset_id="ab" * 32,
        model=build(NET, 2).state_dict(),
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


# At its beginning, in the midst of a tensor, and in the directory at its end.
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_a_disk_that_takes_only_a_part_is_named_and_leaves_the_one_before(
    tmp_path: Path, share: float
) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(str(path), checkpoint(step=1))
    refused = pytest.raises(StorageError, match="checkpoint.pt: cannot be written: File too large")
    with refused, no_file_beyond(int(share * path.stat().st_size)):
        save_checkpoint(str(path), checkpoint(step=2))
    assert load_checkpoint(str(path)).step == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]


def test_a_checkpoint_of_which_one_bit_changed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    saved = checkpoint()
    save_checkpoint(str(path), saved)
    content = bytearray(path.read_bytes())
    content[content.index(saved.model["fc.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged: the bytes of .*/data/.* changed since"):
        load_checkpoint(str(path))


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


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"state_dict": {}}, r"are read with WEIGHTS= \(--weights\)"),
        ([1, 2], r"are read with WEIGHTS= \(--weights\)"),
        ({"options": {}, "format": 1}, "format 1, this version reads"),
    ],
)
def test_another_programs_file_is_refused(tmp_path: Path, content: object, told: str) -> None:
    torch.save(content, tmp_path / "weights.pt")
    with pytest.raises(CheckpointError, match=f"not a checkpoint of ours: .*{told}"):
        load_checkpoint(str(tmp_path / "weights.pt"))


def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    torch.save({"model": Evil(str(tmp_path / "ran"))}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match=r"ours: names posix.mkdir, .* run code: refused$"):
        load_checkpoint(str(tmp_path / "evil.pt"))
    assert not (tmp_path / "ran").exists()


def weight(value: torch.Tensor | None) -> dict[str, object]:
    """The change of one weight."""
    model = {**build(NET, 2).state_dict(), "stem.0.weight": value}
    return {"model": {name: v for name, v in model.items() if v is not None}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"fc.bias": "weights"}}, "its model is no dictionary of tensors"),
        ({"model": {"stem": torch.ones(1)}}, "with a last layer"),
        ({"labels": (1, 2)}, "its labels are no texts"),
        ({"clips": -1}, r"stands at step, epoch and clip \(7, 2, -1\)"),
        ({"labels": "ab"}, "its labels are no texts"),
        ({"labels": ("one",)}, "it has 2 classes and 1 labels"),
        ({"rng_state": "x"}, "its rng_state is none"),
        ({"rng_state": torch.zeros(3, dtype=torch.uint8)}, "its rng_state is none"),
        ({"optimiser": [1]}, "its optimiser is none"),
        ({"optimiser": {"code": 1}}, "its optimiser is none"),
        (weight(None), "stem.0.weight is missing|no stem.0.weight"),
        (weight(torch.ones(3)), "no stem.0.weight of a video network"),
        (weight(torch.full((1, 3, 1, 7, 7), torch.nan)), "stem.0.weight holds what is no finite"),
        (weight(torch.ones(1, 3, 1, 7, 7).to_sparse()), "stem.0.weight is a Tensor, not a plain"),
        (weight(torch.ones(1).expand(10**6, 10**6)), "stem.0.weight claims 1000000000000 numbers"),
        ({"model": build(replace(NET, depth=34), 2).state_dict()}, "34 .* but says R.2.1.D-18"),
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


def test_a_checkpoint_that_would_grow_when_read_is_refused(tmp_path: Path) -> None:
    path, packed = tmp_path / "checkpoint.pt", tmp_path / "packed.pt"
    save_checkpoint(str(path), checkpoint())
    with zipfile.ZipFile(path) as plain, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for member in plain.namelist():
            new.writestr(member, plain.read(member))
    with pytest.raises(CheckpointError, match="is compressed, which PyTorch never does"):
        load_checkpoint(str(packed))


def test_a_checkpoint_whose_parts_lie_in_each_other_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(str(path), checkpoint())
    with zipfile.ZipFile(path, "a") as file:
        # The same bytes again and again: each of them would be read.
        file.filelist += [max(file.filelist, key=lambda member: member.file_size)] * 100
        file.writestr("one more", b"")
    with pytest.raises(CheckpointError, match="damaged: it holds more than it is long"):
        load_checkpoint(str(path))


def test_a_zip_whose_end_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(str(path), checkpoint())
    content = bytearray(path.read_bytes())
    # The locator of a ZIP64 archive says on how many disks it lies.
    content[content.index(b"PK\6\7") + 16] = 3
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not a checkpoint of ours: cut or damaged"):
        load_checkpoint(str(path))
