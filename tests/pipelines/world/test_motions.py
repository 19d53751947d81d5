import itertools
import math

import pytest

from pipelines.world.motions import MOTIONS, extent


@pytest.mark.parametrize("label", MOTIONS)
def test_a_motion_repeats_after_its_cycles(label):
    motion = MOTIONS[label]
    for step in range(20):
        first, later = motion.pose(step / 7), motion.pose(step / 7 + motion.cycles)
        turn = (later.angle - first.angle) / math.tau
        assert (first.x, first.y, first.scale) == pytest.approx((later.x, later.y, later.scale))
        assert turn == pytest.approx(round(turn), abs=1e-9)


def test_no_two_labels_move_alike():
    tracks = {
        label: [motion.pose(step / 16 * motion.cycles) for step in range(16)]
        for label, motion in MOTIONS.items()
    }
    for one, other in itertools.combinations(tracks.values(), 2):
        assert max(
            abs(a.x - b.x) + abs(a.y - b.y) + abs(a.scale - b.scale) + abs(a.angle - b.angle)
            for a, b in zip(one, other, strict=True)
        ) > 0.1  # fmt: skip


def test_every_motion_fits_into_a_frame():
    assert all(
        high_x - low_x <= 0.75 and high_y - low_y <= 0.75
        for low_x, high_x, low_y, high_y in map(extent, MOTIONS.values())
    )
