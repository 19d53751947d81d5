"""Films of the sample world: a thing that moves as its label says, over a scene of its own.

Every frame is a function of (rng_seed, film) alone. Scene, thing, size, place, direction, tempo,
camera and light are drawn from the film's id and never from its label.
"""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from pipelines.world.motions import IDLE, MOTIONS, Motion, Pose, extent
from pipelines.world.textures import background, fractal, sprite

_MARGIN = 1.3
"""Scene size over frame size: room for the camera to move in."""
_NOISE_FIELDS = 7


@dataclass(frozen=True)
class Film:
    """What is to be filmed; the look follows from `film_id`."""

    film_id: str
    actions: tuple[str, ...]
    """Labels acted out one after the other; none = the thing stands still."""
    width: int
    height: int
    fps: int
    frames: int
    action_start: int
    """First frame of the action; before it the thing holds its first pose."""
    action_end: int
    """Frame after the last one of the action; then the thing holds its last pose."""


@dataclass(frozen=True)
class Camera:
    """A slow pan and zoom with an unsteady hand."""

    pan_px: tuple[float, float]
    zoom: float
    shake_px: float
    hertz: tuple[float, float, float]
    phases: tuple[float, float, float]

    def shift(self, second: float) -> tuple[float, float]:
        """How far the view has moved to the right and down, in pixels."""
        (fx, fy, _), (px, py, _) = self.hertz, self.phases
        x = self.pan_px[0] * math.sin(math.tau * (fx * second + px))
        y = self.pan_px[1] * math.sin(math.tau * (fy * second + py))
        hand = self.shake_px * math.sin(math.tau * (2.3 * second + px))
        return x + hand, y + self.shake_px * math.sin(math.tau * (3.1 * second + py))

    def magnification(self, second: float) -> float:
        """Size on the frame over size in the scene."""
        return 1.0 + self.zoom * math.sin(math.tau * (self.hertz[2] * second + self.phases[2]))


@dataclass(frozen=True)
class Thing:
    """An object and how it takes part: `place` is in pixels, `flip` is 1 or -1."""

    picture: Image.Image
    place: tuple[float, float]
    size_px: float
    flip: int
    reverse: int
    reach: float
    """How far its motions carry it, relative to what they say."""
    tempo: float
    phase: float
    turn: float


@dataclass(frozen=True)
class _Set:
    """All that stays the same through a film."""

    scene: Image.Image
    camera: Camera
    thing: Thing
    vignette: Image.Image
    noise: tuple[Image.Image, ...]
    flicker: float


def generator(rng_seed: int, *names: str) -> np.random.Generator:
    """Random numbers that depend on the seed and the names alone."""
    key = ":".join([str(rng_seed), *names])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big"))


def film_frames(film: Film, *, rng_seed: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the film's frames in order: RGB, uint8 [height, width, 3]."""
    rng = generator(rng_seed, "film", film.film_id)
    stage = _build(film, rng)
    edge = min(film.width, film.height)
    for index in range(film.frames):
        second = index / film.fps
        picture = _shoot_scene(stage, film, second)
        _place_thing(picture, stage, pose_at(film, stage.thing, index), second, edge)
        picture = ImageChops.multiply(picture, stage.vignette)
        light = 1.0 + stage.flicker * math.sin(math.tau * (0.4 * second + stage.thing.phase))
        picture = picture.point([min(255, int(v * light)) for v in range(256)] * 3)
        noise = stage.noise[int(index * 5 + index // 3) % _NOISE_FIELDS]
        yield np.asarray(ImageChops.add(picture, noise, 1.0, -int(stage.noise[0].info["mean"])))


def pose_at(film: Film, thing: Thing, index: int) -> Pose:
    """How the thing stands on one frame, its own direction, reach, tempo and turn included."""
    motions = _motions(film)
    length = max(1, film.action_end - film.action_start)
    acted = min(max(index - film.action_start, 0), length - 1)
    part = acted * len(motions) // length
    motion = motions[part]
    second = (acted - part * length / len(motions)) / film.fps
    direction = thing.reverse if motion.reversible else 1
    phase = thing.phase * motion.cycles + direction * thing.tempo * second / motion.period_s
    pose = motion.pose(phase)
    x, y = thing.flip * thing.reach * pose.x, thing.reach * pose.y
    return Pose(x, y, pose.scale, thing.turn + thing.flip * pose.angle)


def _build(film: Film, rng: np.random.Generator) -> _Set:
    width, height = round(film.width * _MARGIN), round(film.height * _MARGIN)
    scene = background(rng, width, height)
    edge = min(film.width, film.height)
    for _ in range(int(rng.integers(1, 4))):
        size = int(edge * rng.uniform(0.1, 0.4))
        prop = sprite(rng).rotate(rng.uniform(0, 360)).resize((size, size))
        spot = (int(rng.uniform(0.1, 0.8) * width), int(rng.uniform(0.1, 0.8) * height))
        scene.paste(prop, spot, prop)
    return _Set(
        scene,
        _camera(rng, edge),
        _thing(film, rng),
        _vignette(rng, film.width, film.height),
        _noise(rng, film.width, film.height),
        float(rng.uniform(0.0, 0.08)),
    )


def _camera(rng: np.random.Generator, edge: int) -> Camera:
    x, y = rng.uniform(0.0, 0.05, 2) * edge
    hertz, phases = rng.uniform(0.06, 0.25, 3), rng.uniform(0.0, 1.0, 3)
    return Camera(
        (float(x), float(y)),
        float(rng.uniform(0.0, 0.05)),
        float(rng.choice([0.0, 0.25, 0.7])),
        (float(hertz[0]), float(hertz[1]), float(hertz[2])),
        (float(phases[0]), float(phases[1]), float(phases[2])),
    )


def _thing(film: Film, rng: np.random.Generator) -> Thing:
    """Draw the same numbers in the same order whatever the label is."""
    edge = min(film.width, film.height)
    picture, flip, reverse = sprite(rng), int(rng.choice([-1, 1])), int(rng.choice([-1, 1]))
    reach, size, near = rng.uniform(0.8, 1.15), rng.uniform(0.2, 0.27), rng.random()
    tempo, phase, turn = rng.uniform(0.85, 1.2), rng.random(), rng.uniform(0, math.tau)
    across, down = rng.random(2)
    motions = _motions(film)
    if not any(motion.resizes for motion in motions):
        size *= 0.62 * math.exp(0.98 * near)
    boxes = [extent(motion) for motion in motions]
    half = 0.5 * size
    low_x, high_x = min(b[0] for b in boxes), max(b[1] for b in boxes)
    if flip < 0:
        low_x, high_x = -high_x, -low_x
    low_y, high_y = min(b[2] for b in boxes), max(b[3] for b in boxes)
    x = _between(across, half - reach * low_x, film.width / edge - half - reach * high_x)
    y = _between(down, half - reach * low_y, film.height / edge - half - reach * high_y)
    return Thing(
        picture, (x * edge, y * edge), size * edge, flip, reverse, reach, tempo, phase, turn
    )


def _between(share: float, low: float, high: float) -> float:
    """A point of the middle four fifths of a range, or the middle of one too small."""
    middle, half = 0.5 * (low + high), max(0.0, 0.4 * (high - low))
    return middle + (2.0 * share - 1.0) * half


def _motions(film: Film) -> list[Motion]:
    return [MOTIONS[label] for label in film.actions] or [IDLE]


def _vignette(rng: np.random.Generator, width: int, height: int) -> Image.Image:
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    shade = 1.0 - rng.uniform(0.0, 0.25) * (x**2 + y**2) / 2.0
    shade = shade * (0.9 + 0.1 * fractal(rng, width, height, 2))
    tint = rng.uniform(0.92, 1.0, 3)
    return Image.fromarray((shade[:, :, None] * tint * 255).astype(np.uint8))


def _noise(rng: np.random.Generator, width: int, height: int) -> tuple[Image.Image, ...]:
    strength = int(rng.integers(1, 6))
    fields = rng.integers(0, 2 * strength + 1, (_NOISE_FIELDS, height, width, 3), np.uint8)
    pictures = tuple(Image.fromarray(field) for field in fields)
    pictures[0].info["mean"] = strength
    return pictures


def _shoot_scene(stage: _Set, film: Film, second: float) -> Image.Image:
    x, y = stage.camera.shift(second)
    zoom = 1.06 * stage.camera.magnification(second)
    half_w, half_h = film.width / zoom / 2.0 * 1.1, film.height / zoom / 2.0 * 1.1
    middle_x, middle_y = stage.scene.width / 2.0 + x, stage.scene.height / 2.0 + y
    box = (middle_x - half_w, middle_y - half_h, middle_x + half_w, middle_y + half_h)
    return stage.scene.resize((film.width, film.height), Image.Resampling.BILINEAR, box)


def _place_thing(
    picture: Image.Image,
    stage: _Set,
    pose: Pose,
    second: float,
    edge: int,
) -> None:
    """Paste the thing and its shadow onto the frame, to a fraction of a pixel."""
    thing, turn = stage.thing, pose.angle
    shift_x, shift_y = stage.camera.shift(second)
    x = thing.place[0] + pose.x * edge - shift_x
    y = thing.place[1] + pose.y * edge - shift_y
    size = thing.size_px * pose.scale * stage.camera.magnification(second)
    left, top, side = math.floor(x - size * 0.72), math.floor(y - size * 0.72), int(size * 1.44) + 2
    source = thing.picture.width
    cos, sin = math.cos(turn) * source / size, math.sin(turn) * source / size
    at_x, at_y = x - left, y - top
    matrix = (
        cos, -sin, source / 2 - cos * at_x + sin * at_y,
        sin, cos, source / 2 - sin * at_x - cos * at_y,
    )  # fmt: skip
    turned = thing.picture.transform(
        (side, side), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
    )
    shadow = turned.getchannel("A").point([v * 2 // 5 for v in range(256)])
    drop = max(2, round(size * 0.09))
    picture.paste((0, 0, 0), (left + drop, top + drop), shadow)
    picture.paste(turned, (left, top), turned)
