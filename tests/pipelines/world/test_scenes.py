import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from pipelines.world.motions import MOTIONS, Pose
from pipelines.world.scenes import Film, Thing, film_frames, generator, pose_at


def film(film_id="a", actions=("bowling",), frames=12, start=0, end=None):
    return Film(film_id, actions, 96, 72, 15, frames, start, frames if end is None else end)


def render(film, rng_seed=0):
    return np.stack(list(film_frames(film, rng_seed=rng_seed)))


def thing(**more):
    """One that takes part exactly as the label's motion says."""
    return Thing(Image.new("RGBA", (4, 4)), (0.0, 0.0), 9.0, **{
        "flip": 1, "reverse": 1, "reach": 1.0, "tempo": 1.0, "phase": 0.25, "turn": 0.0, **more
    })  # fmt: skip


def test_a_film_has_the_frames_that_were_asked_for():
    frames = render(film())
    assert (frames.shape, frames.dtype) == ((12, 72, 96, 3), np.uint8)


def test_the_same_seed_and_film_give_the_same_pixels_and_others_give_others():
    digests = [
        hashlib.sha256(render(film(film_id), rng_seed).tobytes()).hexdigest()
        for film_id, rng_seed in (("a", 0), ("a", 0), ("b", 0), ("a", 1))
    ]
    assert digests[0] == digests[1] and len(set(digests)) == 3


def test_the_scene_does_not_depend_on_the_label():
    one, other = (render(film(actions=(a,), frames=1)) for a in ("bowling", "spinning poi"))
    assert (one != other).any() and (one == other).mean() > 0.7


@pytest.mark.parametrize("label", MOTIONS)
def test_the_action_begins_when_it_should(label):
    acting = render(film(actions=(label,), frames=12, start=6))
    waiting = render(film(actions=(label,), frames=12, start=11))
    assert (acting[:7] == waiting[:7]).all()
    assert all((acting[i] != waiting[i]).any() for i in range(7, 12))


def test_poses_are_held_before_and_after_the_action():
    spinning = film(actions=("spinning poi",), frames=40, start=10, end=20)
    poses = [pose_at(spinning, thing(), index) for index in range(40)]
    assert poses[:11] == [MOTIONS["spinning poi"].pose(0.25)] * 11
    assert poses[19:] == [MOTIONS["spinning poi"].pose(0.25 + 9 / 15 / 0.9)] * 21
    assert len(set(poses[10:20])) == 10


def test_actions_share_the_time_one_after_the_other():
    both = film(actions=("bowling", "shaking head"), frames=30)
    poses = [pose_at(both, thing(), index) for index in range(30)]
    assert poses[:15] == [MOTIONS["bowling"].pose(0.25 + i / 15 / 1.6) for i in range(15)]
    assert poses[15:] == [MOTIONS["shaking head"].pose(0.25 + i / 15 / 0.3) for i in range(15)]


def test_direction_reach_tempo_and_turn_are_the_things_own():
    own = thing(flip=-1, reverse=-1, reach=0.5, tempo=2.0, turn=1.0)
    plain = MOTIONS["bowling"].pose(0.25 - 2 * (3 / 15) / 1.6)
    expected = Pose(-0.5 * plain.x, 0.5 * plain.y, plain.scale, 1.0 - plain.angle)
    assert pose_at(film(), own, 3) == expected


def test_what_has_a_direction_in_time_is_never_reversed():
    sliding = film(actions=("tobogganing",))
    assert pose_at(sliding, thing(reverse=-1), 3) == pose_at(sliding, thing(), 3)


def test_without_an_action_the_thing_stands_still():
    idle = film(actions=())
    assert {pose_at(idle, thing(), index) for index in range(12)} == {Pose(0.0, 0.0)}


def test_generators_depend_on_seed_and_names():
    draws = [generator(*key).random() for key in ((0, "a"), (0, "a"), (1, "a"), (0, "b"))]
    assert draws[0] == draws[1] and len(set(draws)) == 3


def track(frames_THWC):
    """Spectrum of where the picture differs from its median: a crude tracker of the thing."""
    gray = frames_THWC.astype(np.float32).mean(axis=-1)
    off = np.abs(gray - np.median(gray, axis=0))
    off[off < 20] = 0
    mass = off.sum(axis=(1, 2)) + 1e-3
    y, x = np.mgrid[0 : off.shape[1], 0 : off.shape[2]]
    places = [(off * x).sum(axis=(1, 2)) / mass, (off * y).sum(axis=(1, 2)) / mass, mass / 500]
    return np.concatenate([np.abs(np.fft.rfft(place - place.mean())) for place in places])


@pytest.mark.slow
def test_a_still_does_not_tell_the_label_and_motion_does():
    stills, tracks, labels = [], [], []
    for number in range(20):
        for label in MOTIONS:
            frames = render(film(f"{label}{number}", (label,), 30))
            stills.append(frames[15, ::6, ::6].ravel())
            tracks.append(track(frames))
            labels.append(label)
    train = np.arange(len(labels)) < 12 * 12
    accuracy = {}
    for name, features in (("still", np.array(stills)), ("motion", np.array(tracks))):
        model = make_pipeline(StandardScaler(), NearestCentroid())
        model.fit(features[train], np.array(labels)[train])
        accuracy[name] = model.score(features[~train], np.array(labels)[~train])
    assert accuracy["still"] < 0.17 and accuracy["motion"] > 0.3, accuracy
