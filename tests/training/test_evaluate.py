import numpy as np
import pytest
import torch

from tests.training.moving_clips import moving_split
from training.clips import SpreadClips
from training.evaluate import Accuracy, accuracy, evaluate, extract_features
from training.learner import build_model
from training.options import ClipOptions, ModelOptions
from training.transforms import normalise

SMALL = ClipOptions(num_frames=4, height=20, width=26, crop=16)
TINY = ModelOptions(depth=18, width=4, precision="float32")


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moving_split(tmp_path_factory.mktemp("data") / "val", per_label=2, frames=12)


def test_accuracy_counts_first_and_first_five_places_by_label() -> None:
    scores = np.array(
        [
            [0.9, 0.1, 0, 0, 0, 0],
            [0.6, 0.4, 0, 0, 0, 0],
            [0.1, 0.2, 0.3, 0.4, 0.5, 0.0],
            [0.5, 0.4, 0.3, 0.2, 0.1, 0.0],
        ],
        dtype=np.float32,
    )
    labels = ("a", "b", "c", "d", "e", "f")
    assert accuracy(scores, np.array([0, 1, 1, 5]), labels) == Accuracy(
        top1=0.25, top5=0.75, per_class={"a": 1.0, "b": 0.0, "f": 0.0}, videos=4
    )


def test_a_network_that_says_the_same_of_all_is_never_right() -> None:
    scores = np.full((3, 7), 1 / 7, dtype=np.float32)
    result = accuracy(scores, np.array([0, 1, 2]), tuple("abcdefg"))
    assert (result.top1, result.top5) == (0, 0)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_videos_prediction_is_the_mean_softmax_of_its_clips(split: str, batch_size: int) -> None:
    model = build_model(TINY, 3, 0).eval()
    torch.nn.init.normal_(model.fc.weight, 0, 5)
    rows, labels = [], []
    with torch.inference_mode():
        for video in SpreadClips(split, SMALL, 10).videos():
            softmax = model(normalise(video.frames_BTHWC, "colour")).softmax(1)
            rows.append(softmax.mean(0).numpy())
            labels.append(int(video.label_id_B[0]))
    wanted = accuracy(np.stack(rows), np.array(labels), ("left", "right", "still"))
    found = evaluate(model, SpreadClips(split, SMALL, 10), batch_size, TINY)
    assert found == wanted
    assert found.videos == 6


def test_features_are_the_pooled_layer_of_each_network_for_each_clip(split: str) -> None:
    models = [build_model(TINY, 3, seed) for seed in (0, 1)]
    found = extract_features(models, SpreadClips(split, SMALL, 2), 4, TINY)
    videos = list(SpreadClips(split, SMALL, 2).videos())
    for model, features in zip(models, found, strict=True):
        assert features.features_VKD.shape == (6, 2, 32)
        assert features.clip_ids == tuple(video.clip_ids[0] for video in videos)
        assert features.label_id_V.tolist() == [int(v.label_id_B[0]) for v in videos]
        with torch.inference_mode():
            wanted = [
                model.eval().features(normalise(v.frames_BTHWC, "colour")).numpy() for v in videos
            ]
        np.testing.assert_allclose(features.features_VKD, np.stack(wanted), rtol=1e-4, atol=1e-5)


def test_testing_leaves_the_network_as_it_was(split: str) -> None:
    model = build_model(TINY, 3, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluate(model.train(), SpreadClips(split, SMALL, 1), 4, TINY)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
