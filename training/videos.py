"""From the bytes of a stored video to the clips that are looked at: which frames, what square."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from training.clip_options import ClipOptions
from training.frames import SCALING, SHARP, Frames, StoredVideo, VideoError
from training.images import StoredImage
from training.store import StoredClip
from training.transforms import (
    Cut,
    centre_cut,
    cut_out,
    frame_numbers,
    random_cut,
    random_start,
    recoloured,
    scaled_size,
    span,
    spread_starts,
)
from training.workers import empty_bytes
from training.yuv import YuvClips, part_of


class _Opened(NamedTuple):
    """A video, or its scaled frames."""

    take: Callable[[Sequence[int]], Frames]
    """The frames with these numbers, scaled."""
    available: int
    pace: float
    """Frames from one that is looked at to the next; below 1 some are taken twice."""
    size: tuple[int, int]
    """(height, width) that they are scaled to."""
    video: StoredVideo | StoredImage | None


class Where(NamedTuple):
    """Which clip of a video: everything random in it, as fractions in [0, 1)."""

    place: Sequence[float]
    """Four: its start in time (jitter), top, left, mirrored or not."""
    colours: Sequence[float] | None = None
    """Two, if it is recoloured."""


class VideoReader:
    """Cuts clips out of videos; keeps up to `cache_mib` of decoded, scaled frames of whole ones.

    A clip that cannot be decoded is a VideoError that names it and its shard: nothing is skipped.
    """

    def __init__(self, options: ClipOptions):
        self._options = options
        self._kept: dict[str, _Opened] = {}
        self._room = options.cache_mib * 2**20

    def squares(self, clip: StoredClip, how: Where) -> Frames:
        """RGB squares of a random clip, uint8 [T, crop, crop, 3]."""
        with _named(clip):
            opened, numbers, cut = self._random(clip, how)
            return cut_out(opened.take(numbers), cut, self._options.crop)

    def planes(self, clips: Sequence[tuple[StoredClip, Where]]) -> YuvClips:
        """The same clips as they are stored, and what is still to be done to them."""
        asked, frames, crop = [], self._options.num_frames, self._options.crop
        # All are read before the first is decoded: decoders push everything else out of the caches.
        for clip, how in clips:
            with _named(clip):
                opened, numbers, cut = self._random(clip, how)
                assert opened.video is not None  # Nothing is kept with this output.
                size = opened.video.height, opened.video.width
                part = part_of(size, cut, crop)
                asked.append((clip, opened.video.planes(numbers, part), part, size, cut))
        bytes_N = empty_bytes(frames * sum(part.bytes for _, _, part, *_ in asked))
        start, array = 0, bytes_N.numpy()
        for clip, put, part, *_ in asked:
            end = start + frames * part.bytes
            with _named(clip):
                put(array[start:end].reshape(frames, -1))
            start = end
        sizes, cuts = tuple(size for *_, size, _ in asked), tuple(cut for *_, cut in asked)
        return YuvClips(bytes_N, sizes, cuts, frames, crop)

    def spread(self, clip: StoredClip, count: int) -> list[Frames]:
        """Centre squares of `count` evenly spread clips of a video."""
        with _named(clip):
            opened = self._open(clip)
            length = span(self._options.num_frames, opened.pace)
            starts = spread_starts(opened.available, length, count)
            frames_THWC = opened.take([n for s in starts for n in self._numbers(opened, s)])
            crop, each = self._options.crop, self._options.num_frames
            squares = cut_out(frames_THWC, centre_cut(opened.size, self._options), crop)
            return [squares[i * each : (i + 1) * each] for i in range(count)]

    def _random(self, clip: StoredClip, how: Where) -> tuple[_Opened, list[int], Cut]:
        opened = self._open(clip)
        length = span(self._options.num_frames, opened.pace)
        start = random_start(opened.available, length, how.place[0])
        cut = random_cut(opened.size, self._options, how.place[1:])
        cut = recoloured(cut, how.colours) if how.colours else cut
        return opened, self._numbers(opened, start), cut

    def _numbers(self, opened: _Opened, start: int) -> list[int]:
        return frame_numbers(start, self._options.num_frames, opened.pace, opened.available)

    def _open(self, clip: StoredClip) -> _Opened:
        if clip.clip_id in self._kept:
            return self._kept[clip.clip_id]
        options = self._options
        video = StoredImage(clip) if clip.image else StoredVideo(clip)
        size = scaled_size(video.height, video.width, options)
        pace = video.fps / options.fps if options.fps else float(options.stride)
        scaling = SHARP if options.sharp else SCALING
        opened = _Opened(
            lambda numbers: video.frames(numbers, *size, scaling),
            video.num_frames,
            pace,
            size,
            video,
        )
        needed = video.num_frames * size[0] * size[1] * 3
        if needed > self._room:
            return opened
        self._room -= needed
        frames_THWC = opened.take(range(video.num_frames))
        opened = opened._replace(take=lambda numbers: frames_THWC[list(numbers)], video=None)
        self._kept[clip.clip_id] = opened
        return opened


@contextmanager
def _named(clip: StoredClip) -> Iterator[None]:
    try:
        yield
    except VideoError as error:
        raise VideoError(f"{clip.path}: clip {clip.clip_id}: {error}") from error
