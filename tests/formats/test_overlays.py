import numpy as np
import pytest

from formats.overlays import OVERLAYS, draw_overlay

# Which part of the picture each covers at least a little, and nothing outside of it.
PLACES = {
    "bar_text": (slice(0, 0.2), slice(0, 1)),
    "big_text": (slice(0.5, 1), slice(0, 1)),
    "logo": (slice(0, 0.4), slice(0.8, 1)),
    "sticker": (slice(0.2, 1), slice(0.53, 0.83)),
}


@pytest.mark.parametrize("size", [(426, 240), (270, 480), (64, 48)])
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_drawn_in_its_place_and_clear_elsewhere(
    name: str, size: tuple[int, int]
) -> None:
    picture = draw_overlay(name, size)
    assert (picture.size, picture.mode) == (size, "RGBA")
    drawn = np.asarray(picture)[..., 3] > 0
    down, across = (
        slice(int(place.start * length), int(np.ceil(place.stop * length)))
        for place, length in zip(PLACES[name], drawn.shape, strict=True)
    )
    inside = np.zeros_like(drawn)
    inside[down, across] = True
    assert drawn[inside].any() and not drawn[~inside].any()


def test_a_sticker_is_28_per_cent_of_the_width_and_the_same_every_time() -> None:
    picture = draw_overlay("sticker", (400, 300))
    columns = np.flatnonzero(np.asarray(picture)[..., 3].any(axis=0))
    assert abs(np.ptp(columns) + 1 - 112) <= 2
    assert picture.tobytes() == draw_overlay("sticker", (400, 300)).tobytes()
