import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from formats.storage import sha256_file
from training.evaluate import VideoFeatures
from training.feature_cache import cache_key, load_features, model_digest, save_features
from training.learner import build_model
from training.options import ModelOptions, Options, load_options
from training.truth import Truth

TINY = ModelOptions(depth=18, width=4)
TRUTH = Truth("d", ("x", "y"), {"aa": (0,), "bb": (1,), "cc": (0,)}, False)
FEATURES = VideoFeatures(
    np.random.default_rng(0).normal(0, 1, (3, 2, 4)).astype(np.float32), ("bb", "aa", "cc")
)


def change(folder: Path, **facts: object) -> None:
    path = folder / "k.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def put(folder: Path, array: object, **options: bool) -> None:
    """Another array, under its right hash."""
    np.save(folder / "k.npy", array, **options)  # type: ignore[arg-type]
    change(folder, sha256=sha256_file(str(folder / "k.npy")))


def longer(folder: Path) -> None:
    with open(folder / "k.npy", "ab") as file:
        file.write(bytes(5000))
    change(folder, sha256=sha256_file(str(folder / "k.npy")))


def claiming(folder: Path) -> None:
    """A header that claims ten terabytes."""
    content = (folder / "k.npy").read_bytes()
    claimed = content.replace(b"(3, 2, 4), }         ", b"(3, 2, 400000000000)}")
    assert claimed != content
    (folder / "k.npy").write_bytes(claimed)
    change(folder, sha256=sha256_file(str(folder / "k.npy")))


def linked(folder: Path) -> None:
    (folder / "k.npy").rename(folder / "other.npy")
    (folder / "k.npy").symlink_to(folder / "other.npy")


HOSTILE: dict[str, Callable[[Path], None]] = {
    "no array": lambda folder: (folder / "k.npy").unlink(),
    "a changed array": lambda f: np.save(f / "k.npy", FEATURES.features_VKD + 1),
    "no json": lambda folder: (folder / "k.json").write_text("{"),
    "deep json": lambda folder: (folder / "k.json").write_text("[" * 100_000),
    "another key": lambda folder: change(folder, key="l"),
    "other videos": lambda folder: change(folder, clip_ids=["aa", "bb", "dd"]),
    "a video twice": lambda folder: change(folder, clip_ids=["aa", "aa", "cc"]),
    "ids that are no texts": lambda folder: change(folder, clip_ids=[1, 2, 3]),
    "doubles": lambda folder: put(folder, FEATURES.features_VKD.astype(float)),
    "another shape": lambda folder: put(folder, FEATURES.features_VKD[0]),
    "infinite numbers": lambda folder: put(folder, FEATURES.features_VKD / np.float32(0)),
    "a pickle": lambda folder: put(folder, np.array([{}, {}, {}]), allow_pickle=True),
    "more bytes": longer,
    "a claim of terabytes": claiming,
    "a link": linked,
}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    assert load_features(str(tmp_path), "k", TRUTH) is None
    save_features(str(tmp_path), "k", FEATURES)
    found = load_features(str(tmp_path), "k", TRUTH)
    assert found is not None
    assert found.clip_ids == FEATURES.clip_ids
    np.testing.assert_array_equal(found.features_VKD, FEATURES.features_VKD)


@pytest.mark.parametrize("what", HOSTILE)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_cache_that_is_not_ours_is_not_taken_and_said(
    what: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_features(str(tmp_path), "k", FEATURES)
    HOSTILE[what](tmp_path)
    assert load_features(str(tmp_path), "k", TRUTH) is None
    assert "computed anew" in caplog.text


def test_equal_weights_have_one_digest_and_others_another() -> None:
    state = build_model(TINY, 3, 0).state_dict()
    assert model_digest(state) == model_digest(build_model(TINY, 3, 0).state_dict())
    turned = dict(reversed(state.items()))
    assert model_digest(turned) == model_digest(state)
    state["fc.bias"] = state["fc.bias"] + torch.tensor([0, 1e-6, 0])
    assert model_digest(state) != model_digest(turned)


def test_the_key_changes_with_all_that_features_depend_on() -> None:
    options = load_options("sample", [])
    keys = {
        cache_key("w", TRUTH, options, 5, half=False),
        cache_key("v", TRUTH, options, 5, half=False),
        cache_key("w", replace(TRUTH, dataset_id="e"), options, 5, half=False),
        cache_key("w", TRUTH, load_options("sample", ["clips.fps=5"]), 5, half=False),
        cache_key("w", TRUTH, load_options("sample", ["model.normalise=colour"]), 5, half=False),
        cache_key("w", TRUTH, options, 6, half=False),
        cache_key("w", TRUTH, options, 5, half=True),
    }
    assert len(keys) == 7
    faster: Options = load_options("sample", ["clips.cache_mib=0", "clips.workers=2"])
    assert cache_key("w", TRUTH, faster, 5, half=False) in keys
