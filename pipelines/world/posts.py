"""Who posts what in the sample world: the plan of every post and every target video.

The plan is a function of the seed alone; nothing is rendered here.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

import numpy as np

from pipelines.world.captions import caption, licence, uploader
from pipelines.world.motions import MOTIONS
from pipelines.world.reuploads import EDITS
from pipelines.world.scenes import Film, generator

SAMPLE_HOST = "sample.tagreel.test"
"""Host of every post's URI; fetching connects it to wherever the world is served."""

LABELS = tuple(MOTIONS)
_SIZES = ((192, 144), (192, 144), (208, 156), (224, 126), (256, 144), (160, 160), (144, 192))
_LONG_SIZE = (160, 120)
_LONG_FPS = 10
_CLEAN = (30, 20, 15, 12, 10, 9, 8, 8, 7, 7, 7, 4)
"""Correctly tagged posts of each label: a head, a tail, and one label too small to keep."""
_LONG = (4, 3, 3)
"""How many of those run 55-60 s."""
_TARGETS = MappingProxyType({"train": 10, "val": 8})


class Kind(StrEnum):
    """What is true of a post. From `dead` on, the file or the server is at fault."""

    CLEAN = "clean"
    WRONG_TAG = "wrong_tag"
    """Shows one label's action, carries a relevant hashtag of another."""
    NO_TAG = "no_tag"
    """Shows an action, carries no relevant hashtag."""
    UNRELATED = "unrelated"
    """No action and no relevant hashtag."""
    MULTI_LABEL = "multi_label"
    """Two actions one after the other, hashtags of both."""
    REUPLOAD = "reupload"
    """A target video, altered, with its label's hashtag."""
    SAME_URI = "same_uri"
    """A second row with the URI of another post."""
    DEAD = "dead"
    DENIED = "denied"
    HTML = "html"
    TRUNCATED = "truncated"
    ZERO = "zero"
    ONE_FRAME = "one_frame"
    TOO_LONG = "too_long"
    FLAKY = "flaky"
    """The first request is answered 503 with `Retry-After: 1`; the file is good."""
    CUT = "cut"
    """The first answer breaks off half-way; the file is good."""


_COUNTS: Mapping[Kind, int] = MappingProxyType(
    {
        Kind.WRONG_TAG: 30,
        Kind.NO_TAG: 20,
        Kind.UNRELATED: 8,
        Kind.MULTI_LABEL: 8,
        Kind.REUPLOAD: 26,
        Kind.DEAD: 3,
        Kind.DENIED: 1,
        Kind.HTML: 2,
        Kind.TRUNCATED: 3,
        Kind.ZERO: 2,
        Kind.ONE_FRAME: 2,
        Kind.TOO_LONG: 1,
        Kind.FLAKY: 3,
        Kind.CUT: 1,
    }
)


@dataclass(frozen=True)
class Target:
    """One cleanly labelled video of the benchmark; its uri is relative to the world's folder."""

    video_id: str
    uri: str
    label: str
    subset: str
    film: Film


@dataclass(frozen=True)
class Post:
    """One row of the catalog and what is behind it."""

    video_id: str
    uri: str
    caption: str
    uploader: str
    licence: str
    kind: Kind
    film: Film
    tagged: tuple[str, ...]
    """Labels whose hashtags the caption carries."""
    target_video_id: str = ""
    edit: str = ""

    @property
    def path(self) -> str:
        """Where the post's file lies below the world's folder, if it has one."""
        return self.uri.removeprefix(f"http://{SAMPLE_HOST}/")


def plan_targets(rng_seed: int) -> tuple[Target, ...]:
    """Ten training and eight validation videos of each label, 2-4 s long, sorted by id."""
    targets = []
    for label in LABELS:
        for subset, count in _TARGETS.items():
            for number in range(count):
                video_id = _identity(rng_seed, f"target:{label}:{subset}:{number}")
                rng = generator(rng_seed, "plan", video_id)
                film = _film(video_id, (label,), rng, seconds=float(rng.uniform(2.0, 4.0)))
                targets.append(Target(video_id, f"targets/{video_id}.mp4", label, subset, film))
    return tuple(sorted(targets, key=lambda target: target.video_id))


def plan_posts(rng_seed: int) -> tuple[Post, ...]:
    """Every row of the catalog, sorted by id, which says nothing about the content."""
    posts = [*_clean_posts(rng_seed), *_tagged_posts(rng_seed), *_reuploads(rng_seed)]
    first = next(post for post in posts if post.kind is Kind.CLEAN)
    posts.append(_post(rng_seed, Kind.SAME_URI, 0, first.film, first.tagged, uri=first.uri))
    return tuple(sorted(posts, key=lambda post: post.video_id))


def _clean_posts(rng_seed: int) -> Iterator[Post]:
    for rank, (label, count) in enumerate(zip(LABELS, _CLEAN, strict=True)):
        for number in range(count):
            name = f"clean:{label}:{number}"
            rng = generator(rng_seed, "plan", name)
            long = rank < len(_LONG) and number < _LONG[rank]
            film = _long_film(name, label, rng) if long else _film(name, (label,), rng)
            yield _post(rng_seed, Kind.CLEAN, rank * 100 + number, film, (label,))


def _tagged_posts(rng_seed: int) -> Iterator[Post]:
    """Posts that are wrong, vague or broken in some way; the smallest label is left alone."""
    weights = np.array(_CLEAN[:-1]) / sum(_CLEAN[:-1])
    for kind, count in _COUNTS.items():
        if kind is Kind.REUPLOAD:
            continue
        for number in range(count):
            rng = generator(rng_seed, "plan", kind, str(number))
            first, second = (int(i) for i in rng.choice(len(weights), 2, replace=False, p=weights))
            actions, tagged = _claims(kind, LABELS[first], LABELS[second])
            film = _film(f"{kind}:{number}", actions, rng, seconds=_seconds(kind, rng))
            yield _post(rng_seed, kind, number, _broken(film, kind), tagged)


def _claims(kind: Kind, first: str, second: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a post shows and what its hashtags claim."""
    if kind is Kind.WRONG_TAG:
        return (second,), (first,)
    if kind is Kind.NO_TAG:
        return (first,), ()
    if kind is Kind.UNRELATED:
        return (), ()
    if kind is Kind.MULTI_LABEL:
        return (first, second), (first, second)
    return (first,), (first,)


def _reuploads(rng_seed: int) -> Iterator[Post]:
    targets = plan_targets(rng_seed)
    chosen = generator(rng_seed, "reuploads").permutation(len(targets))
    for number in range(_COUNTS[Kind.REUPLOAD]):
        target = targets[int(chosen[number])]
        yield _post(
            rng_seed,
            Kind.REUPLOAD,
            number,
            target.film,
            (target.label,),
            target_video_id=target.video_id,
            edit=EDITS[number % len(EDITS)],
        )


def _post(
    rng_seed: int, kind: Kind, number: int, film: Film, tagged: tuple[str, ...], **more: str
) -> Post:
    video_id = _identity(rng_seed, f"post:{kind}:{number}")
    rng = generator(rng_seed, "post", video_id)
    suffix = "webm" if kind in (Kind.CLEAN, Kind.NO_TAG) and number % 16 == 5 else "mp4"
    uri = more.pop("uri", f"http://{SAMPLE_HOST}/videos/{video_id}.{suffix}")
    words = caption(tagged, rng)
    return Post(
        video_id, uri, words, uploader(rng), licence(rng), kind, film, tagged, **more
    )  # fmt: skip


def _film(
    name: str, actions: tuple[str, ...], rng: np.random.Generator, seconds: float = 0.0
) -> Film:
    """A film of that length (0 = as posts have it) with the action somewhere inside."""
    seconds = seconds or _post_seconds(rng)
    width, height = _SIZES[int(rng.integers(len(_SIZES)))]
    fps = 15 if seconds > 10.0 else int(rng.choice((15, 20, 24, 30), p=(0.7, 0.12, 0.1, 0.08)))
    acted = rng.uniform(0.85, 1.0) if seconds <= 5.0 else rng.uniform(0.5, 0.85)
    return _timed(Film(name, actions, width, height, fps, 0, 0, 0), seconds, float(acted), rng)


def _long_film(name: str, label: str, rng: np.random.Generator) -> Film:
    seconds, acted = float(rng.uniform(55.2, 59.8)), float(rng.uniform(0.4, 0.7))
    return _timed(Film(name, (label,), *_LONG_SIZE, _LONG_FPS, 0, 0, 0), seconds, acted, rng)


def _timed(film: Film, seconds: float, acted: float, rng: np.random.Generator) -> Film:
    frames = max(1, round(seconds * film.fps))
    length = round(acted * frames)
    start = int(rng.integers(0, frames - length + 1))
    return Film(
        film.film_id, film.actions, film.width, film.height, film.fps, frames, start, start + length
    )


def _post_seconds(rng: np.random.Generator) -> float:
    low, high = ((1.3, 5.0), (5.0, 10.0), (10.0, 30.0))[int(rng.choice(3, p=(0.72, 0.18, 0.1)))]
    return float(rng.uniform(low, high))


def _seconds(kind: Kind, rng: np.random.Generator) -> float:
    return float(rng.uniform(3.0, 5.0)) if kind is Kind.MULTI_LABEL else 0.0


def _broken(film: Film, kind: Kind) -> Film:
    """The film of a post whose fault lies in its length."""
    if kind is Kind.ONE_FRAME:
        return Film(film.film_id, film.actions, film.width, film.height, film.fps, 1, 0, 1)
    if kind is Kind.TOO_LONG:
        return Film(film.film_id, film.actions, *_LONG_SIZE, 1, 75, 0, 75)
    return film


def _identity(rng_seed: int, name: str) -> str:
    digest = hashlib.sha256(f"{rng_seed}:{name}".encode()).digest()
    return base64.b32encode(digest)[:11].decode().lower()
