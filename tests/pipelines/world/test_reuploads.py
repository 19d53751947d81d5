import numpy as np
import pytest

from pipelines.world.reuploads import EDITS, reuploaded
from pipelines.world.scenes import Film, film_frames

FILM = Film("target", ("bowling",), 96, 72, 15, 30, 0, 30)
FRAMES = np.stack(list(film_frames(FILM, rng_seed=0)))

SHAPES = {
    "reencoded": (30, 72, 96), "scaled_down": (30, 44, 58), "cropped": (30, 72, 96),
    "mirrored": (30, 72, 96), "captioned": (30, 72, 96), "letterboxed": (30, 94, 96),
    "pillarboxed": (30, 72, 130), "trimmed": (18, 72, 96), "sped_up": (30, 72, 96),
    "brightened": (30, 72, 96), "portrait": (30, 170, 96), "portrait_blurred": (30, 170, 96),
    "spliced": (75, 72, 96), "mirrored+cropped": (30, 72, 96),
    "captioned+brightened+reencoded": (30, 72, 96), "trimmed+letterboxed": (18, 94, 96),
}  # fmt: skip


def edited(edit):
    return np.stack(list(reuploaded(FILM, edit, rng_seed=0).frames_THWC))


def test_every_edit_keeps_sides_even_and_gives_the_expected_size():
    assert {edit: edited(edit).shape[:3] for edit in EDITS} == SHAPES


def test_frames_are_edited_as_the_name_says():
    assert (edited("mirrored") == FRAMES[:, :, ::-1]).all()
    assert (edited("trimmed") == FRAMES[6:24]).all()
    assert (edited("spliced")[45:] == FRAMES).all()
    assert (edited("letterboxed")[:, 11:83] == FRAMES).all()
    assert not edited("letterboxed")[:, :11].any()
    assert (edited("pillarboxed")[:, :, 17:113] == FRAMES).all()
    assert (edited("portrait_blurred")[:, 49:121] == FRAMES).all()
    assert edited("brightened").mean() > FRAMES.mean() + 10
    assert (edited("captioned")[:, :50] == FRAMES[:, :50]).all()
    assert edited("captioned")[:, 50:].min(axis=-1).max() > 200


def test_speed_and_quality_are_changed_without_touching_the_frames():
    assert reuploaded(FILM, "sped_up", rng_seed=0).fps == 18.75
    assert reuploaded(FILM, "reencoded", rng_seed=0).crf == 40
    assert (edited("sped_up") == FRAMES).all()


def test_an_unknown_edit_is_refused():
    with pytest.raises(KeyError, match="inverted"):
        reuploaded(FILM, "mirrored+inverted", rng_seed=0)
