from dataclasses import replace

import numpy as np
import pytest
import torch

from formats.settings import SettingsError
from tests.training.moving_clips import moving_split
from training.clips import SpreadClips
from training.errors import DivergedError
from training.evaluate import FullyConvolutional, cut_for_test, extract_features, predict
from training.learner import build_model
from training.options import ClipOptions, EvaluateOptions, ModelOptions, Options
from training.transforms import normalise

SMALL = ClipOptions(num_frames=4, height=20, width=26, crop=16)
TINY = ModelOptions(depth=18, width=4, precision="float32")


def asked(batch_size: int = 4, **evaluate: object) -> Options:
    how = EvaluateOptions(batch_size=batch_size, **evaluate)  # type: ignore[arg-type]
    return Options(model=TINY, clips=SMALL, evaluate=how)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moving_split(tmp_path_factory.mktemp("data") / "val", per_label=2, frames=12)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_videos_prediction_is_the_mean_over_its_clips(
    split: str, batch_size: int, several: bool
) -> None:
    model = build_model(TINY, 3, 0).eval()
    torch.nn.init.normal_(model.fc.weight, 0, 5)
    rows, clip_ids = [], []
    with torch.inference_mode():
        for video in SpreadClips(split, SMALL, 10).videos():
            logits = model(normalise(video.frames_BTHWC, "colour"))
            rows.append((logits.sigmoid() if several else logits.softmax(1)).mean(0).numpy())
            clip_ids.append(video.clip_ids[0])
    found = predict(model, SpreadClips(split, SMALL, 10), asked(batch_size), several=several)
    np.testing.assert_allclose(found.scores_VC, np.stack(rows), rtol=1e-4, atol=1e-6)
    assert found.clip_ids == tuple(clip_ids)
    assert len(clip_ids) == 6


def test_features_are_the_pooled_layer_of_each_network_for_each_clip(split: str) -> None:
    models = [build_model(TINY, 3, seed) for seed in (0, 1)]
    found = extract_features(models, SpreadClips(split, SMALL, 2), asked())
    videos = list(SpreadClips(split, SMALL, 2).videos())
    for model, features in zip(models, found, strict=True):
        assert features.features_VKD.shape == (6, 2, 32)
        assert features.clip_ids == tuple(video.clip_ids[0] for video in videos)
        with torch.inference_mode():
            wanted = [
                model.eval().features(normalise(v.frames_BTHWC, "colour")).numpy() for v in videos
            ]
        np.testing.assert_allclose(features.features_VKD, np.stack(wanted), rtol=1e-4, atol=1e-5)


def test_testing_leaves_the_network_as_it_was(split: str) -> None:
    model = build_model(TINY, 3, 0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    predict(model.train(), SpreadClips(split, SMALL, 1), asked())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_network_that_overflows_is_not_taken_for_right(split: str) -> None:
    model = build_model(TINY, 3, 0)
    torch.nn.init.constant_(model.fc.bias, float("inf"))
    with pytest.raises(DivergedError, match="gives numbers that are not finite: lower its"):
        predict(model, SpreadClips(split, SMALL, 1), asked())
    torch.nn.init.constant_(model.stem[0].weight, 1e38)
    with pytest.raises(DivergedError, match="gives numbers that are not finite: lower its"):
        extract_features([model], SpreadClips(split, SMALL, 1), asked())


def test_a_larger_square_that_is_smaller_is_refused() -> None:
    how = asked(fully_convolutional=True, full_crop=16).evaluate
    assert cut_for_test(SMALL, how).crop == 16
    with pytest.raises(SettingsError, match=r"evaluate.full_crop=16 is below the clips.crop=18"):
        cut_for_test(replace(SMALL, crop=18), how)


def test_a_square_that_is_larger_than_the_frames_is_refused() -> None:
    how = asked(fully_convolutional=True, full_crop=20).evaluate
    assert cut_for_test(SMALL, how) == replace(SMALL, crop=20)
    with pytest.raises(SettingsError, match=r"full_crop=22 is more than the 20 pixels that the"):
        cut_for_test(SMALL, replace(how, full_crop=22))
    edge = replace(SMALL, scale="short_edge", height=22, width=20)
    assert cut_for_test(edge, replace(how, full_crop=22)).crop == 22


@pytest.mark.parametrize(("crop", "side", "places"), [(32, 48, 2), (33, 64, 2), (16, 32, 2)])
def test_every_window_of_the_activations_is_judged_as_if_it_were_alone(
    crop: int, side: int, places: int
) -> None:
    model = build_model(TINY, 5, 0).eval()
    torch.nn.init.normal_(model.fc.weight, 0, 5)
    frames_BCTHW = torch.randn(2, 3, 4, side, side, generator=torch.Generator().manual_seed(0))
    window = -(-crop // 16)
    with torch.inference_mode():
        found = FullyConvolutional(model, crop)(frames_BCTHW)
        hidden = model.activations(frames_BCTHW)
        wanted = [
            model.fc(hidden[:, :, :, top : top + window, left : left + window].mean((2, 3, 4)))
            for top in range(places)
            for left in range(places)
        ]
    torch.testing.assert_close(found, torch.stack(wanted, 1), rtol=1e-4, atol=1e-4)


def test_the_papers_squares_have_two_by_two_places() -> None:
    model = build_model(TINY, 5, 0).eval()
    with torch.inference_mode():
        assert FullyConvolutional(model, 112)(torch.zeros(1, 3, 8, 128, 128)).shape == (1, 4, 5)
        same = torch.randn(1, 3, 8, 112, 112)
        torch.testing.assert_close(FullyConvolutional(model, 112)(same)[:, 0], model(same))


def test_a_fully_convolutional_test_averages_softmax_over_places_and_clips(split: str) -> None:
    model = build_model(TINY, 3, 0).eval()
    torch.nn.init.normal_(model.fc.weight, 0, 5)
    options = asked(fully_convolutional=True, full_crop=32)
    clips = cut_for_test(replace(SMALL, height=32, width=40), options.evaluate)
    found = predict(model, SpreadClips(split, clips, 2), options)
    full = FullyConvolutional(model, SMALL.crop)
    with torch.inference_mode():
        wanted = [
            full(normalise(video.frames_BTHWC, "colour")).softmax(2).mean((0, 1)).numpy()
            for video in SpreadClips(split, clips, 2).videos()
        ]
    np.testing.assert_allclose(found.scores_VC, np.stack(wanted), rtol=1e-4, atol=1e-6)
