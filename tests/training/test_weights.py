import argparse
import pickle
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.test_checkpoint import Evil, checkpoint
from training.checkpoint import CheckpointError, save_checkpoint
from training.layouts import build
from training.options import ModelOptions, Options
from training.weights import (
    WeightsError,
    as_checkpoint,
    fitted,
    load_weights,
    put_weights,
    refuse_misfit,
)

NET = ModelOptions(depth=18, width=8)
LABELS = ("left", "right", "still")


def network(options: ModelOptions = NET, classes: int = 3, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return build(options, classes)


def saved(path: Path, content: object, **how: bool) -> str:
    torch.save(content, path, **how)
    return str(path)


def prefixed(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


STATE = network().state_dict()
SCRIPT = argparse.Namespace(model="r2plus1d", use_pool1=False)


@pytest.mark.parametrize(
    "content",
    [
        STATE,
        {"state_dict": STATE, "epoch": 3},
        {"model": prefixed("module.", STATE), "optimizer": {}, "args": SCRIPT},
        prefixed("module._orig_mod.", STATE),
        {k: v.half() if v.is_floating_point() else v for k, v in STATE.items()},
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_is_found_in_its_wrapping(
    tmp_path: Path, content: object, zipped: bool
) -> None:
    path = saved(tmp_path / "w.pth", content, _use_new_zipfile_serialization=zipped)
    weights = load_weights(path)
    assert (weights.network, weights.classes, weights.labels) == (NET, 3, None)
    assert weights.found == "R(2+1)D-18 of width 8 as its authors define it, 3 classes"
    assert weights.state.keys() == STATE.keys()
    torch.testing.assert_close(
        weights.state["fc.weight"].float(), STATE["fc.weight"], atol=1e-4, rtol=1e-3
    )


def test_all_of_the_weights_are_put_where_the_number_of_classes_is_the_same(
    tmp_path: Path,
) -> None:
    bare = {name: v for name, v in STATE.items() if not name.endswith("num_batches_tracked")}
    weights, model = load_weights(saved(tmp_path / "w.pth", bare)), network(seed=1)
    assert put_weights(model, weights, LABELS) == (  # type: ignore[arg-type]
        "the last layer is kept, trusting that its classes are in the order of ours"
    )
    assert all(torch.equal(v, STATE[name]) for name, v in model.state_dict().items())
    frames = torch.randn(1, 3, 4, 16, 16)
    with torch.inference_mode():
        torch.testing.assert_close(model.eval()(frames), network().eval()(frames))


def test_another_number_of_classes_gets_a_new_last_layer(tmp_path: Path) -> None:
    weights, model = load_weights(saved(tmp_path / "w.pth", STATE)), network(classes=2, seed=1)
    fresh = model.state_dict()["fc.weight"].clone()
    assert put_weights(model, weights, ("a", "b")) == (  # type: ignore[arg-type]
        "the last layer of 3 classes is replaced by one of 2"
    )
    state = model.state_dict()
    assert torch.equal(state["fc.weight"], fresh)
    assert torch.equal(state["stem.0.weight"], STATE["stem.0.weight"])


def test_a_checkpoint_of_ours_says_what_it_is_and_keeps_its_labels(tmp_path: Path) -> None:
    path, model = str(tmp_path / "checkpoint.pt"), network(classes=2)
    options = replace(Options(), model=NET)
    ours = replace(checkpoint(), options=options, model=model.state_dict())
    save_checkpoint(path, ours)
    weights = load_weights(path)
    assert weights.labels == ("running", "jumping")
    assert weights.found == (
        "a checkpoint of ours: R(2+1)D-18 of width 8 as its authors define it, 2 classes, step 7"
    )
    assert put_weights(model, weights, weights.labels) == "the last layer is kept"  # type: ignore[arg-type]
    told = put_weights(model, weights, ("up", "down"))  # type: ignore[arg-type]
    assert told == "the last layer of 2 classes is replaced by one of 2"


def test_a_checkpoint_that_holds_another_network_than_it_says_is_refused(tmp_path: Path) -> None:
    path = str(tmp_path / "checkpoint.pt")
    options, labels = Options(model=ModelOptions(depth=34)), LABELS
    save_checkpoint(path, replace(checkpoint(), model=STATE, options=options, labels=labels))
    with pytest.raises(CheckpointError, match=r"holds R.2.1.D-18 of width 8 .* but says .*-34"):
        load_weights(path)


def test_weights_of_others_become_a_checkpoint_with_their_network(tmp_path: Path) -> None:
    other = ModelOptions(depth=18, width=8, midplanes="torchvision")
    path = saved(tmp_path / "w.pth", network(other).state_dict())
    options = replace(Options(), model=ModelOptions(precision="float32"))
    made = as_checkpoint(load_weights(path), options)
    assert (made.options.model, made.labels) == (replace(other, precision="float32"), ())
    assert (made.step, len(made.origin)) == (0, 64)


def test_r3d_weights_say_that_their_eps_is_unknown(tmp_path: Path) -> None:
    net = ModelOptions("r3d", 18, 8)
    weights = load_weights(saved(tmp_path / "w.pth", network(net).state_dict()))
    assert weights.found.endswith(
        "(its eps is not in the file: torchvision's needs model.eps=1e-5)"
    )
    assert fitted(weights, ModelOptions(eps=1e-5)).eps == 1e-5


def test_a_network_that_the_options_do_not_name_is_refused(tmp_path: Path) -> None:
    weights = load_weights(saved(tmp_path / "w.pth", STATE))
    refuse_misfit(weights, replace(NET, precision="float32", folded=False))
    with pytest.raises(WeightsError, match=r"set model.depth=18, model.width=8$"):
        refuse_misfit(weights, ModelOptions())


LOOP: dict[str, object] = {}
LOOP["model"] = LOOP


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**STATE, "stem.0.weight": torch.full((5, 3, 1, 7, 7), torch.nan)}, "no finite number"),
        ({**STATE, "fc.bias": [0.0]}, "fc.bias is a list, not a plain tensor"),
        ({**STATE, "fc.bias": torch.zeros(3).to_sparse()}, "not a plain tensor"),
        ({**STATE, "fc.bias": torch.zeros(3, dtype=torch.int64)}, "no finite number"),
        ({"args": argparse.Namespace(use_pool1=True), "model": STATE}, "trained with a pool1"),
        ([1, 2], "holds a list, not names with tensors"),
        (LOOP, "holds a dict, not names with tensors"),
        ({"epoch": 1}, "epoch is a int, not a plain tensor"),
        ({"conv1.weight": torch.ones(1)}, "no stem.0.weight of a video network"),
    ],
)
def test_what_is_no_network_of_ours_is_refused(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(
        WeightsError, match=rf"w.pth: no weights for a network of ours: .*{message}"
    ):
        load_weights(saved(tmp_path / "w.pth", content))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_runs_none(tmp_path: Path, zipped: bool) -> None:
    path = saved(
        tmp_path / "evil.pth",
        {"state_dict": Evil(str(tmp_path / "ran"))},
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(WeightsError, match=r"names \w+.mkdir, which weights do not need"):
        load_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more", bytes(range(100, 200))])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(WeightsError, match="not weights that PyTorch saved, or damaged"):
        load_weights(str(tmp_path / "w.pth"))


@pytest.mark.parametrize("zipped", [True, False])
def test_mutated_weights_are_refused_in_one_line_or_are_weights(
    tmp_path: Path, zipped: bool
) -> None:
    whole = saved(tmp_path / "whole", STATE, _use_new_zipfile_serialization=zipped)
    content, rng = Path(whole).read_bytes(), random.Random(0)
    # The pickles stand at the start, the list of a zip's members at the end.
    places = [*range(60, 9000), *range(len(content) - 9000 * zipped, len(content))]
    refused = []
    for number in range(200):
        mutated = bytearray(content)
        for place in rng.sample(places, 3):
            mutated[place] = rng.randrange(256)
        path = tmp_path / f"{number}.pth"
        path.write_bytes(mutated)
        try:
            load_weights(str(path))
        except WeightsError as error:
            refused.append(str(error))
        path.unlink()
    assert len(refused) > 100
    assert not [told for told in refused if "\n" in told]


def test_caffe2s_files_are_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": [1.0]}}, protocol=2))
    with pytest.raises(WeightsError, match="Caffe2's files are not read: take the .pth"):
        load_weights(str(tmp_path / "w.pkl"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="w.pth: no such file"):
        load_weights(str(tmp_path / "w.pth"))
