"""Textures, backgrounds and things, each drawn from one random generator and nothing else."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Palette = NDArray[np.float32]
"""RGB colours 0..255, shape [colours, 3], dark to light."""

_SPRITE = 72


def fractal(rng: np.random.Generator, width: int, height: int, octaves: int = 4) -> NDArray:
    """Value noise, finer octaves at half the strength: float32 [height, width] in [0, 1]."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cells = 3 * 2**octave
        rows = max(2, round(cells * height / max(width, height)) + 1)
        columns = max(2, round(cells * width / max(width, height)) + 1)
        grid = Image.fromarray(rng.random((rows, columns), dtype=np.float32))
        total += np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC)) / 2**octave
    low, high = float(total.min()), float(total.max())
    return ((total - low) / max(high - low, 1e-6)).astype(np.float32)


def palette(rng: np.random.Generator, colours: int = 4) -> Palette:
    """Colours of related hue from dark to light, as a photograph's would be."""
    hue, saturation = rng.random(), rng.uniform(0.15, 0.75)
    spread = rng.choice([0.06, 0.15, 0.4])
    shades = []
    for index in range(colours):
        value = 0.22 + 0.76 * index / max(colours - 1, 1)
        shade = hue + spread * rng.uniform(-1, 1)
        shades.append(_rgb(shade, saturation * rng.uniform(0.6, 1.2), value))
    return np.array(shades, np.float32)


def coloured(field: NDArray, colours: Palette) -> Image.Image:
    """A field of values in [0, 1] as an RGB picture through the palette."""
    steps = np.linspace(0.0, 1.0, 256, dtype=np.float32)
    stops = np.linspace(0.0, 1.0, len(colours), dtype=np.float32)
    table = np.stack([np.interp(steps, stops, colours[:, c]) for c in range(3)], axis=1)
    return Image.fromarray(table.astype(np.uint8)[(field * 255).astype(np.uint8)])


def background(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    """A scene of one of five kinds, larger than the frame so that a camera can move over it."""
    kinds: list[Callable[[np.random.Generator, int, int], Image.Image]]
    kinds = [_hills, _city, _room, _park, _lights]
    return kinds[int(rng.integers(len(kinds)))](rng, width, height)


def sprite(rng: np.random.Generator) -> Image.Image:
    """A thing to be moved: RGBA, 72 x 72, patterned, shaded and outlined."""
    outline = _outline(rng)
    mask = Image.new("L", (2 * _SPRITE, 2 * _SPRITE))
    ImageDraw.Draw(mask).polygon([(x * 2, y * 2) for x, y in outline], fill=255)
    mask = mask.resize((_SPRITE, _SPRITE), Image.Resampling.BOX)
    picture = Image.composite(_pattern(rng), _pattern(rng), _halves(rng))
    inner = mask.filter(ImageFilter.MinFilter(5))
    dark = Image.new("RGB", picture.size, tuple(int(v) for v in rng.integers(0, 60, 3)))
    picture = Image.composite(_shaded(picture), dark, inner)
    picture.putalpha(mask)
    return picture


def _rgb(hue: float, saturation: float, value: float) -> list[float]:
    wheel = [(5, 3, 1)[c] + 6.0 * hue for c in range(3)]
    parts = [max(0.0, min(w % 6.0, 4.0 - w % 6.0, 1.0)) for w in wheel]
    return [255.0 * value * (1.0 - min(saturation, 1.0) * part) for part in parts]


def _sky(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    down = np.linspace(0.0, 1.0, height, dtype=np.float32)[:, None]
    clouds = fractal(rng, width, height, 5)
    slope = down if rng.random() < 0.7 else 1.0 - down
    return coloured(0.55 * slope + 0.45 * clouds, palette(rng))


def _layer(field: NDArray, colours: Palette, mask: NDArray, under: Image.Image) -> Image.Image:
    alpha = Image.fromarray((np.clip(mask, 0.0, 1.0) * 255).astype(np.uint8))
    return Image.composite(coloured(field, colours), under, alpha)


def _ridge(rng: np.random.Generator, width: int, height: int, level: float) -> NDArray:
    """1 below a wavy line at `level` of the height, 0 above it."""
    line = fractal(rng, width, 8, 4)[0] - 0.5
    top = height * (level + rng.uniform(0.15, 0.5) * line)
    return (np.arange(height, dtype=np.float32)[:, None] - top[None, :]).astype(np.float32)


def _hills(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = _sky(rng, width, height)
    for level in np.sort(rng.uniform(0.3, 0.95, int(rng.integers(2, 4)))):
        mask = _ridge(rng, width, height, float(level))
        picture = _layer(fractal(rng, width, height, 6), palette(rng), mask, picture)
    return picture


def _city(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = _sky(rng, width, height)
    draw = ImageDraw.Draw(picture)
    ground = int(height * rng.uniform(0.7, 0.95))
    x = -int(rng.integers(10, 30))
    while x < width:
        wide, tall = int(rng.integers(20, 60)), int(height * rng.uniform(0.2, 0.8))
        shades = palette(rng).astype(int)
        draw.rectangle((x, ground - tall, x + wide, height), fill=tuple(shades[1]))
        pitch = int(rng.integers(6, 13))
        for row in range(ground - tall + 4, ground - 4, pitch):
            for column in range(x + 3, x + wide - 4, pitch):
                pane = tuple(shades[3] if rng.random() < 0.5 else shades[0])
                draw.rectangle((column, row, column + pitch // 2, row + pitch // 2), fill=pane)
        x += wide + int(rng.integers(0, 14))
    street = np.arange(height)[:, None] - ground + np.zeros((1, width))
    return _layer(fractal(rng, width, height, 6), palette(rng), street, picture)


def _room(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    tilt = rng.choice([0.0, math.pi / 2, rng.uniform(0, math.pi)])
    pitch = rng.uniform(10, 36)
    stripes = (math.cos(tilt) * x + math.sin(tilt) * y) / pitch % 1.0 < rng.uniform(0.2, 0.6)
    wall = 0.75 * fractal(rng, width, height, 5) + 0.25 * stripes
    picture = coloured(wall.astype(np.float32), palette(rng))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 5))):
        left, top = rng.uniform(-0.1, 0.9) * width, rng.uniform(-0.1, 0.5) * height
        box = (left, top, left + rng.uniform(20, 70), top + rng.uniform(20, 60))
        shades = palette(rng).astype(int)
        draw.rectangle(box, fill=tuple(shades[2]), outline=tuple(shades[0]), width=3)
    floor = y - height * rng.uniform(0.6, 0.85)
    boards = (x - width / 2) / np.maximum(floor + 20, 1) * 3 % 1.0 < 0.5
    field = (0.7 * fractal(rng, width, height, 6) + 0.3 * boards).astype(np.float32)
    return _layer(field, palette(rng), floor, picture)


def _park(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = _hills(rng, width, height)
    draw = ImageDraw.Draw(picture)
    for foot in np.sort(rng.uniform(0.6, 1.05, int(rng.integers(3, 9)))) * height:
        x, tall = rng.uniform(0, width), rng.uniform(0.25, 0.6) * height
        shades = palette(rng).astype(int)
        draw.rectangle((x - 3, foot - tall * 0.5, x + 3, foot), fill=tuple(shades[0]))
        for _ in range(14):
            px, py = x + rng.normal(0, tall * 0.16), foot - tall * rng.uniform(0.4, 1.0)
            size = tall * rng.uniform(0.06, 0.16)
            shade = tuple(shades[int(rng.integers(0, 3))])
            draw.ellipse((px - size, py - size, px + size, py + size), fill=shade)
    return picture


def _lights(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    picture = coloured(0.6 * fractal(rng, width, height, 5), palette(rng))
    glow = Image.new("RGB", picture.size)
    draw = ImageDraw.Draw(glow)
    shades = (palette(rng, 6) * rng.uniform(0.35, 0.8)).astype(int)
    for _ in range(int(rng.integers(14, 50))):
        x, y, size = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(4, 22)
        shade = tuple(shades[int(rng.integers(6))])
        draw.ellipse((x - size, y - size, x + size, y + size), fill=shade)
    return ImageChops.screen(picture, glow.filter(ImageFilter.BoxBlur(2)))


def _outline(rng: np.random.Generator) -> list[tuple[float, float]]:
    """Corners of a ball, polygon, star or blob that fills the sprite."""
    kind = int(rng.integers(4))
    corners = (48, int(rng.integers(3, 8)), 2 * int(rng.integers(4, 8)), 48)[kind]
    start, long_axis = rng.uniform(0, math.tau), rng.uniform(0.72, 1.0)
    waves = rng.uniform(0, math.tau, 3)
    points = []
    for index in range(corners):
        angle = start + math.tau * index / corners
        reach = 0.6 if kind == 2 and index % 2 else 1.0
        if kind == 3:
            reach = 0.78 + 0.07 * sum(math.sin((n + 2) * angle + w) for n, w in enumerate(waves))
        radius = reach * (_SPRITE / 2 - 1)
        x, y = radius * math.cos(angle), radius * long_axis * math.sin(angle)
        points.append((_SPRITE / 2 + x, _SPRITE / 2 + y))
    return points


def _pattern(rng: np.random.Generator) -> Image.Image:
    y, x = np.mgrid[0:_SPRITE, 0:_SPRITE].astype(np.float32)
    noise = fractal(rng, _SPRITE, _SPRITE, 4)
    pitch, tilt = rng.uniform(9, 26), rng.uniform(0, math.pi)
    along, across = math.cos(tilt) * x + math.sin(tilt) * y, math.cos(tilt) * y - math.sin(tilt) * x
    stripes = along / pitch % 1.0 < 0.5
    checks = stripes ^ (across / pitch % 1.0 < 0.5)
    dots = (along % pitch - pitch / 2) ** 2 + (across % pitch - pitch / 2) ** 2 < (pitch / 3) ** 2
    figure = (np.zeros_like(stripes), stripes, checks, dots)[int(rng.integers(4))]
    colours = palette(rng)
    colours = np.clip(colours * rng.uniform(0.9, 1.4), 0, 255).astype(np.float32)
    return coloured((0.45 * noise + 0.55 * figure).astype(np.float32), colours)


def _halves(rng: np.random.Generator) -> Image.Image:
    """A mask that gives the two ends of a thing different patterns, so that a turn shows."""
    y, x = np.mgrid[0:_SPRITE, 0:_SPRITE] - _SPRITE / 2
    tilt = rng.uniform(0, math.tau)
    edge = math.cos(tilt) * x + math.sin(tilt) * y + rng.uniform(-12, 12)
    return Image.fromarray(((edge > 0) * 255).astype(np.uint8))


def _shaded(picture: Image.Image) -> Image.Image:
    y, x = np.mgrid[0:_SPRITE, 0:_SPRITE].astype(np.float32) / _SPRITE
    light = 1.0 - 0.75 * np.hypot(x - 0.36, y - 0.32)
    shade = Image.fromarray((np.clip(light + 0.15, 0.3, 1.0) * 255).astype(np.uint8))
    return ImageChops.multiply(picture, Image.merge("RGB", (shade, shade, shade)))
