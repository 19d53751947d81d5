import numpy as np
import pytest

from dedup.hashing import WHOLE, Box, dct_coefficients, hash_frames, to_codes
from dedup.insets import inset_boxes
from dedup.variants import (
    frames_of,
    inset_box,
    source_boxes,
    target_boxes,
    target_coefficients,
    tilt,
)


def picture(side: int = 128) -> np.ndarray:
    y, x = np.mgrid[0:side, 0:side] / side
    waves = np.sin(9 * x + 4 * y) + np.cos(17 * x * y) + np.sin(23 * y - 5 * x)
    noise = np.random.default_rng(1).integers(-20, 20, (3, side, side))
    return np.clip(128 + 30 * waves + noise, 0, 255).astype(np.uint8)


def rounded(boxes: dict[str, Box]) -> dict[str, tuple[float, ...]]:
    return {name: tuple(round(float(edge), 4) for edge in box) for name, box in boxes.items()}


def test_a_landscape_source_without_bars_has_one_version():
    assert source_boxes(picture(), 16 / 9) == {"raw": Box(0.0, 1.0, 0.0, 1.0)}


def test_an_upright_source_is_also_searched_for_a_wide_picture_inside():
    assert rounded(source_boxes(picture(), 9 / 16)) == {
        "raw": (0.0, 1.0, 0.0, 1.0),
        "band16:9": (0.3418, 0.6582, 0.0, 1.0),
        "band4:3": (0.2891, 0.7109, 0.0, 1.0),
    }


def test_a_source_with_bars_has_a_version_without_them():
    frames = picture()
    frames[:, :31] = 0
    assert source_boxes(frames, 16 / 9) == {
        "raw": Box(0.0, 1.0, 0.0, 1.0),
        "stripped": Box(0.25, 1.0, 0.0, 1.0),
    }


def test_a_picture_in_the_picture_is_a_version_with_its_place_in_its_name():
    frames = np.random.default_rng(2).integers(110, 146, (8, 128, 128), dtype=np.uint8)
    frames[:, 33:97, 64:] = np.arange(0, 80, 10, dtype=np.uint8)[:, None, None]
    boxes = source_boxes(frames, 16 / 9)
    assert boxes["inset26-75,50-100"] == Box(33 / 128, 0.75, 0.5, 1.0)
    assert inset_box("inset26-75,50-100") == (0.26, 0.75, 0.5, 1.0)


def test_an_inset_is_taken_without_its_bars():
    frames = np.random.default_rng(2).integers(110, 146, (8, 128, 128), dtype=np.uint8)
    frames[:, 33:53, 64:] = 200
    frames[:, 53:97, 64:] = np.arange(0, 80, 10, dtype=np.uint8)[:, None, None]
    assert any(box.top == 33 / 128 for box in inset_boxes(frames, 1.0))
    boxes = source_boxes(frames, 16 / 9)
    assert boxes["inset42-75,50-100"] == Box(54 / 128, 0.75, 0.5, 1.0)
    assert all(box.top != 33 / 128 for box in boxes.values())


def test_an_inset_that_is_the_frame_without_its_bars_is_no_version_of_its_own():
    frames = np.random.default_rng(2).integers(60, 256, (8, 128, 128), dtype=np.uint8)
    frames[:, :31] = 0
    assert inset_boxes(frames, 1.0) == (Box(31 / 128, 1.0, 0.0, 1.0),)
    assert source_boxes(frames, 16 / 9).keys() == {"raw", "stripped"}


def test_a_target_with_bars_is_also_cropped_with_its_bars_and_then_with_or_without_them():
    frames = picture()
    frames[:, :15] = frames[:, -15:] = 0
    boxes = target_boxes(frames, 4 / 3)
    assert boxes["full"] == Box(0.125, 0.875, 0.0, 1.0)
    assert rounded(boxes)["barred-crop85"] == (0.125, 0.875, 0.075, 0.925)
    assert rounded(boxes)["barred-crop70"] == (0.15, 0.85, 0.15, 0.85)
    assert rounded(boxes)["framed-crop85"] == (0.075, 0.925, 0.075, 0.925)
    assert rounded(boxes)["framed-part0-0"] == (0.0, 0.82, 0.0, 0.82)
    names = [name for name, _ in target_coefficients(picture(), 4 / 3)]
    assert not any(name.startswith(("barred-", "framed-")) for name in names)


def test_a_target_with_bars_is_also_turned_with_its_bars():
    frames = picture()
    frames[:, :31] = 0
    found = dict(target_coefficients(frames, 1.0))
    turned = np.ascontiguousarray(np.rot90(frames[::2], -1, (1, 2)))
    assert np.array_equal(to_codes(found["framed-rot270"]), hash_frames(turned))
    tilted = dct_coefficients(tilt(frames[::2], -5.0, 1.0), WHOLE)
    assert np.array_equal(found["framed-rot-5"], tilted)
    assert not np.array_equal(found["rot270"], found["framed-rot270"])


def test_the_crops_of_a_wide_target():
    assert rounded(target_boxes(picture(), 16 / 9)) == {
        "full": (0.0, 1.0, 0.0, 1.0),
        "crop92": (0.04, 0.96, 0.04, 0.96),
        "crop85": (0.075, 0.925, 0.075, 0.925),
        "crop77": (0.115, 0.885, 0.115, 0.885),
        "crop70": (0.15, 0.85, 0.15, 0.85),
        "crop64": (0.18, 0.82, 0.18, 0.82),
        "square": (0.0, 1.0, 0.2188, 0.7812),
        "4:5": (0.0, 1.0, 0.275, 0.725),
        "9:16": (0.0, 1.0, 0.3418, 0.6582),
        **{
            f"part{25 * down}-{25 * across}": (
                top,
                round(top + 0.82, 4),
                left,
                round(left + 0.82, 4),
            )
            for down, top in enumerate((0.0, 0.045, 0.09, 0.135, 0.18))
            for across, left in enumerate((0.0, 0.045, 0.09, 0.135, 0.18))
            if (down, across) != (2, 2)
        },
    }


def test_the_crops_of_a_barred_target_are_cut_from_its_picture():
    frames = picture()
    frames[:, :31] = frames[:, -31:] = 0
    boxes = target_boxes(frames, 8 / 9)
    assert boxes["full"] == Box(0.25, 0.75, 0.0, 1.0)
    assert boxes["unstripped"] == Box(0.0, 1.0, 0.0, 1.0)
    assert rounded(boxes)["square"] == (0.25, 0.75, 0.2188, 0.7812)
    assert "16:9" not in boxes


@pytest.mark.parametrize(
    ("variant", "edit"),
    [
        ("full", lambda f: f),
        ("full+mirror", lambda f: f[:, :, ::-1]),
        ("rot90", lambda f: np.rot90(f, 1, (1, 2))),
        ("rot270", lambda f: np.rot90(f, -1, (1, 2))),
        ("rot270+mirror", lambda f: np.rot90(f, -1, (1, 2))[:, :, ::-1]),
    ],
)
def test_a_variant_is_the_hash_of_the_edited_frame(variant, edit):
    frames = picture()
    found = dict(target_coefficients(frames, 4 / 3))[variant]
    edited = np.ascontiguousarray(edit(frames[frames_of(variant)]))
    assert np.array_equal(to_codes(found), hash_frames(edited))


def test_every_variant_comes_plain_and_mirrored():
    names = [name for name, _ in target_coefficients(picture(), 16 / 9)]
    plain = [name for name in names if not name.endswith("+mirror")]
    assert names == [each for name in plain for each in (name, name + "+mirror")]
    assert plain[:5] == ["full", "rot90", "rot270", "rot+5", "rot-5"]
    assert len(names) == 74


def test_a_square_picture_tilted_by_90_degrees_is_turned_clockwise():
    frames = picture()
    assert np.array_equal(tilt(frames, 90.0, 1.0), np.rot90(frames, -1, (1, 2)))


def test_a_tilt_keeps_the_true_shape_of_a_squashed_picture():
    # A horizontal line of a 2:1 picture, tilted by atan(1/2), is its falling diagonal.
    frames = np.zeros((1, 128, 128), np.uint8)
    frames[:, 62:66] = 255
    tilted = tilt(frames, np.rad2deg(np.arctan(0.5)), 2.0)[0]
    assert all(tilted[i, i] == 255 for i in range(20, 108))


def test_tilting_leaves_the_uncovered_corners_black():
    white = np.full((1, 64, 64), 255, np.uint8)
    tilted = tilt(white, 45.0, 1.0)[0]
    assert [int(tilted[y, x]) for y in (0, -1) for x in (0, -1)] == [0, 0, 0, 0]
    assert tilted[32, 32] == 255


def test_tilts_of_a_barred_target_are_hashed_inside_its_picture():
    frames = picture()
    frames[:, :31] = 0
    found = dict(target_coefficients(frames, 1.0))["rot+5"]
    expected = dct_coefficients(tilt(frames[::2], 5.0, 1.0), Box(0.25, 1.0, 0.0, 1.0))
    assert np.array_equal(found, expected)
