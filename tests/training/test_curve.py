import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.curve import draw_loss_curve


@pytest.mark.parametrize("steps", [0, 1, 200])
def test_the_curve_is_a_picture_however_long_the_run(steps: int, tmp_path: Path) -> None:
    log, picture = tmp_path / "log.jsonl", tmp_path / "loss.png"
    log.write_text("".join(json.dumps({"loss": 5 / (1 + i)}) + "\n" for i in range(steps)))
    draw_loss_curve(str(log), str(picture))
    with Image.open(picture) as image:
        assert image.size == (840, 480)
        assert np.asarray(image.convert("L")).std() > 0
