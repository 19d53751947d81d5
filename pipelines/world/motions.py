"""The actions of the sample world: each label is a way of moving, and nothing but a way of moving.

A motion turns a phase in cycles into a pose. What moves, where, how large, over which background
and in which direction is drawn elsewhere, independently of the label, so that one still frame says
next to nothing about it (design 7).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Pose:
    """Where the object is: offset in short edges of the frame (y down), size factor, turn."""

    x: float
    y: float
    scale: float = 1.0
    angle: float = 0.0
    """Radians, counter-clockwise."""


@dataclass(frozen=True)
class Motion:
    """One label's movement; `pose` repeats after `cycles` whole phases."""

    pose: Callable[[float], Pose]
    period_s: float
    """Seconds per cycle at ordinary tempo."""
    cycles: int = 1
    reversible: bool = True
    """Whether it is still this action when time runs backwards."""
    resizes: bool = False
    """Whether it covers the range of sizes by itself."""


def _bounce(phase: float) -> Pose:
    height = abs(math.sin(math.pi * phase))
    squash = 1.0 - 0.18 * max(0.0, 1.0 - 4.0 * height)
    return Pose(0.0, 0.27 - 0.54 * height, squash)


def _hoop(phase: float) -> Pose:
    turn = math.tau * phase
    return Pose(0.13 * math.cos(turn), 0.05 * math.sin(turn), 1.0 + 0.12 * math.sin(turn))


def _swing(phase: float) -> Pose:
    lean = 0.95 * math.sin(math.tau * phase)
    return Pose(0.42 * math.sin(lean), 0.42 * math.cos(lean) - 0.33, 1.0, lean)


def _shoot(phase: float) -> Pose:
    """A throw along a parabola and one back, each with a short rest in the hands."""
    flight, back = phase % 1.0, int(phase) % 2
    along = min(1.0, max(0.0, (flight - 0.1) / 0.8))
    x = -0.32 + 0.64 * along
    return Pose(-x if back else x, 0.26 - 2.08 * along * (1.0 - along))


def _juggle(phase: float) -> Pose:
    turn = math.tau * phase
    return Pose(0.3 * math.sin(turn), 0.22 * math.sin(2.0 * turn))


def _circle(phase: float) -> Pose:
    turn = math.tau * phase
    return Pose(0.27 * math.cos(turn), 0.27 * math.sin(turn))


def _zigzag(phase: float) -> Pose:
    side = _triangle(phase)
    heading = 0.5 if phase % 1.0 < 0.5 else -0.5
    return Pose(0.2 * side, 0.27 * _triangle(phase / 4.0), 1.0, heading)


def _roll(phase: float) -> Pose:
    along = _triangle(phase)
    return Pose(0.36 * along, 0.0, 1.0, -0.36 * along / 0.11)


def _approach(phase: float) -> Pose:
    """Growing as what comes nearer at constant speed does, then quickly back."""
    part = phase % 1.0
    near = part / 0.8 if part < 0.8 else (1.0 - part) / 0.2
    return Pose(0.0, 0.05 * near, 0.62 * math.exp(0.98 * near))


def _shake(phase: float) -> Pose:
    sway = math.sin(math.tau * phase)
    return Pose(0.085 * sway, 0.0, 1.0, 0.12 * sway)


def _spin(phase: float) -> Pose:
    turn = math.tau * phase
    return Pose(0.015 * math.cos(turn), 0.015 * math.sin(turn), 1.0, turn)


def _slide(phase: float) -> Pose:
    """Down a slope, ever faster, and back up at an even pace."""
    part = phase % 1.0
    along = (part / 0.65) ** 2 if part < 0.65 else (1.0 - part) / 0.35
    return Pose(-0.32 + 0.64 * along, -0.24 + 0.48 * along, 1.0, -0.64)


def _triangle(phase: float) -> float:
    """A wave of straight lines between -1 (phase 0) and 1 (phase one half)."""
    return 1.0 - 4.0 * abs(phase % 1.0 - 0.5)


IDLE = Motion(lambda phase: Pose(0.0, 0.0), 1.0)
"""What an object does while no action takes place: nothing."""

MOTIONS: Mapping[str, Motion] = MappingProxyType(
    {
        "shooting basketball": Motion(_shoot, 0.85, cycles=2),
        "bouncing on trampoline": Motion(_bounce, 0.75),
        "hula hooping": Motion(_hoop, 0.5),
        "swinging on something": Motion(_swing, 1.2),
        "juggling balls": Motion(_juggle, 1.3),
        "driving car": Motion(_approach, 1.0, reversible=False, resizes=True),
        "spinning poi": Motion(_circle, 0.9),
        "breakdancing": Motion(_spin, 0.7),
        "bowling": Motion(_roll, 1.6),
        "shaking head": Motion(_shake, 0.3),
        "skiing slalom": Motion(_zigzag, 0.8, cycles=4),
        "tobogganing": Motion(_slide, 1.1, reversible=False),
    }
)
"""Kinetics-400 labels of the sample world, from head to tail."""


def extent(motion: Motion) -> tuple[float, float, float, float]:
    """Smallest and largest x, then y, that the motion reaches, in short edges.

    >>> extent(MOTIONS["breakdancing"])
    (-0.015, 0.015, -0.015, 0.015)
    """
    poses = [motion.pose(step * motion.cycles / 64.0) for step in range(64)]
    x = [pose.x for pose in poses]
    y = [pose.y for pose in poses]
    return min(x), max(x), min(y), max(y)
