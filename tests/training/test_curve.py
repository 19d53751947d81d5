from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.curve import draw_loss_curve, running_mean


@pytest.mark.parametrize("steps", [0, 1, 200, 700_000])
def test_the_curve_is_a_picture_however_long_the_run(steps: int, tmp_path: Path) -> None:
    picture = tmp_path / "loss.png"
    draw_loss_curve([5 / (1 + i) for i in range(steps)], str(picture))
    with Image.open(picture) as image:
        assert image.size == (840, 480)
        assert np.asarray(image.convert("L")).std() > 0


@pytest.mark.parametrize(("span", "each"), [(1, 1), (3, 1), (3, 2), (7, 5)])
def test_a_running_mean_is_that_of_the_steps_before(span: int, each: int) -> None:
    losses = np.random.default_rng(0).uniform(0, 9, 40)
    ends, means = running_mean(losses, span, each)
    assert ends.tolist() == list(range(span - 1, 40, each))
    wanted = [losses[end - span + 1 : end + 1].mean() for end in ends]
    np.testing.assert_allclose(means, wanted, rtol=1e-12)
