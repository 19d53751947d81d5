import io
import re

import numpy as np
import pytest
from PIL import Image

from dedup.hashing import WHOLE, Box, dct_coefficients, mirrored, to_codes
from dedup.variants import target_coefficients
from formats.snapshots import Snapshot
from pipelines.reporting.views import View, draw_frame, say_view, source_view, target_view

WIDTH, HEIGHT = 96, 48


def snapshot(bars: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Snapshot:
    """A textured frame, with black bars of so many of 128 lines above and below."""
    ground = np.random.default_rng(0).integers(40, 255, (16, 16), np.uint8)
    gray = ground.repeat(8, 0).repeat(8, 1)
    gray[:bars] = gray[128 - bars :] = 0
    file = io.BytesIO()
    Image.fromarray(gray).resize(size).save(file, "JPEG")
    return Snapshot(file.getvalue(), np.stack([gray] * 3))


def place(svg: str, x: float, y: float) -> tuple[float, float]:
    """Where a point of the picture is drawn: the transforms of its group, the last one first."""
    found = re.search(r'<g transform="([^"]*)">', svg)
    for name, values in reversed(re.findall(r"(\w+)\(([^)]*)\)", found[1] if found else "")):
        numbers = [float(value) for value in values.split()]
        if name == "translate":
            x, y = x + numbers[0], y + numbers[1]
        elif name == "scale":
            x, y = x * numbers[0], y * numbers[1]
        else:
            turn = np.deg2rad(numbers[0])
            x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    return round(float(x), 6) + 0.0, round(float(y), 6) + 0.0


@pytest.mark.parametrize(
    ("variant", "shown", "top_left", "top_right"),
    [
        ("unstripped", (WIDTH, HEIGHT), (0, 0), (WIDTH, 0)),
        ("unstripped+mirror", (WIDTH, HEIGHT), (WIDTH, 0), (0, 0)),
        ("rot90", (HEIGHT, WIDTH), (0, WIDTH), (0, 0)),
        ("rot270", (HEIGHT, WIDTH), (HEIGHT, 0), (HEIGHT, WIDTH)),
        ("rot90+mirror", (HEIGHT, WIDTH), (HEIGHT, WIDTH), (HEIGHT, 0)),
    ],
)
def test_a_target_frame_is_drawn_as_it_was_turned(variant, shown, top_left, top_right):
    frame = snapshot()
    svg = draw_frame(frame, target_view(variant, frame), "words")
    assert f'viewBox="0 0 {shown[0]} {shown[1]}"' in svg
    assert place(svg, 0, 0) == top_left
    assert place(svg, WIDTH, 0) == top_right


def test_turns_are_those_of_the_hashes():
    """`rot90` and `rot270` are what hashing calls left and right."""
    frame = snapshot()
    codes = {name: to_codes(part) for name, part in target_coefficients(frame.gray_THW, 2.0)}
    for name in ("rot90", "rot270"):
        view = target_view(name, frame)
        turned = np.rot90(frame.gray_THW, -view.turn_degrees // 90, axes=(1, 2))
        coefficients = dct_coefficients(np.ascontiguousarray(turned), WHOLE)
        assert bits(to_codes(coefficients), codes[name]) <= 2
        assert bits(to_codes(mirrored(coefficients)), codes[f"{name}+mirror"]) <= 2


def bits(some: np.ndarray, others: np.ndarray) -> int:
    return int(np.bitwise_count(some[0] ^ others[0]).sum())


def test_a_crop_is_outlined_where_it_was_cut():
    frame = snapshot()
    view = target_view("crop70", frame)
    assert view.box == pytest.approx((0.15, 0.85, 0.15, 0.85))
    assert 'class="kept" d="M14.4 7.2H81.6V40.8H14.4Z"' in draw_frame(frame, view, "w")


def test_the_part_between_the_bars_is_outlined():
    frame = snapshot(bars=32)
    stripped = source_view("stripped", frame).box
    assert (stripped.top, stripped.bottom) == pytest.approx((0.25, 0.75), abs=0.02)
    assert target_view("full", frame).box == stripped
    assert target_view("rot90", frame).box == stripped
    assert source_view("raw", frame).box == WHOLE


def test_a_band_is_looked_for_in_upright_videos_alone():
    assert source_view("band16:9", snapshot()).box == WHOLE
    upright = source_view("band16:9", snapshot(size=(48, 96))).box
    assert (upright.top, upright.bottom) == pytest.approx((0.359, 0.641), abs=0.001)


def test_an_inset_is_outlined_where_the_whole_video_showed_it():
    view = source_view("inset5-55,40-90", snapshot())
    assert view.box == (0.05, 0.55, 0.4, 0.9)
    assert say_view("inset5-55,40-90") == "picture in the picture"
    assert say_view("part0-0+mirror") == "82 %, top, left, mirrored"


def test_a_source_frame_may_be_mirrored_to_be_held_against_another():
    frame = snapshot(bars=32)
    view = source_view("stripped+mirror", frame)
    assert view == View(source_view("stripped", frame).box, mirror=True)
    assert place(draw_frame(frame, view, "w"), 0, 0) == (WIDTH, 0)


def test_a_crop_of_a_picture_with_its_bars_says_so():
    assert say_view("barred-crop85+mirror") == "centre 85 % of picture and bars, mirrored"
    assert say_view("framed-part75-50") == "82 %, below the middle, centre, bars left on"
    frame = snapshot(bars=32)
    assert target_view("framed-rot270+mirror", frame) == View(turn_degrees=90, mirror=True)
    assert say_view("framed-rot270+mirror") == "turned right, bars left on, mirrored"


def test_a_tilt_turns_the_picture_below_the_box():
    frame = snapshot()
    svg = draw_frame(frame, target_view("rot-5", frame), "w")
    assert 'transform="rotate(-5 48 24)" preserveAspectRatio' in svg
    assert place(svg, 0, 0) == (0, 0)


def test_what_is_not_known_is_shown_whole_and_named_as_it_is():
    frame = snapshot()
    assert target_view("folded", frame) == View()
    assert source_view("", frame) == View()
    assert say_view("folded+mirror") == "folded, mirrored"
    assert 'class="kept"' not in draw_frame(frame, View(), "w")


def test_the_outline_leaves_out_all_but_the_box():
    svg = draw_frame(snapshot(), View(Box(0.0, 0.5, 0.25, 1.0)), "w")
    assert 'class="cut" d="M0 0H96V48H0ZM24.0 0.0H96.0V24.0H24.0Z"' in svg
