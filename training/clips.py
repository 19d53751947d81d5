"""The loader: batches of clips from the shards of a split.

Everything it does is a function of (rng_seed, epoch, clip_id): the same batches come out whatever
the number of workers, and a run continues in the middle of an epoch where it was cut.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor, cuda, tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from formats.shards import Manifest, ShardEntry
from training.draws import ClipFacts, Draw, Epoch, draw_clips, windows
from training.frames import Frames, StoredVideo, VideoError
from training.options import ClipOptions
from training.samples import open_split, read_facts, read_videos
from training.transforms import (
    centre_square,
    looped,
    random_square,
    random_start,
    recolour,
    spread_starts,
    to_batch,
)


class Batch(NamedTuple):
    """Some clips with their labels."""

    frames_BTHWC: Tensor
    """uint8 RGB, cropped, not yet normalised."""
    label_id_B: Tensor
    clip_ids: tuple[str, ...]


class _Videos:
    """Thinned and scaled frames of videos, from memory where there is room to keep them."""

    def __init__(self, options: ClipOptions):
        self._options = options
        self._kept: dict[str, Frames] = {}
        self._room = options.cache_mib * 2**20

    def __contains__(self, clip_id: str) -> bool:
        return clip_id in self._kept

    def random(self, clip_id: str, content: bytes | None, fraction: float) -> Frames:
        """The clip at a random place of a video, not cropped."""
        opened, available = self._open(clip_id, content)
        start = random_start(available, self._options.num_frames, fraction)
        return self._take(opened, looped(start, self._options.num_frames, available))

    def spread(self, clip_id: str, content: bytes | None, count: int) -> list[Frames]:
        """`count` evenly spread clips of a video, not cropped."""
        opened, available = self._open(clip_id, content)
        length = self._options.num_frames
        starts = spread_starts(available, length, count)
        indices = [i for start in starts for i in looped(start, length, available)]
        frames_THWC = self._take(opened, indices)
        return [frames_THWC[i * length : (i + 1) * length] for i in range(count)]

    def _open(self, clip_id: str, content: bytes | None) -> tuple[Frames | StoredVideo, int]:
        """A video and how many frames it has at the rate that is looked at."""
        if content is None or clip_id in self._kept:
            return self._kept[clip_id], len(self._kept[clip_id])
        try:
            video = StoredVideo(content)
        except VideoError as error:
            raise VideoError(f"clip {clip_id}: {error}") from error
        available = max(1, int(video.num_frames / self._pace(video)))
        needed = available * self._options.height * self._options.width * 3
        if needed > self._room:
            return video, available
        self._room -= needed
        self._kept[clip_id] = self._take(video, range(available))
        return self._kept[clip_id], available

    def _take(self, opened: Frames | StoredVideo, indices: Sequence[int]) -> Frames:
        if not isinstance(opened, StoredVideo):
            return opened[list(indices)]
        pace, last = self._pace(opened), opened.num_frames - 1
        numbers = [min(int(i * pace), last) for i in indices]
        return opened.frames(numbers, self._options.height, self._options.width)

    def _pace(self, video: StoredVideo) -> float:
        """Frames of the video per frame that is looked at; below 1 some are taken twice."""
        return video.fps / self._options.fps if self._options.fps else 1.0


class TrainingClips(IterableDataset[Batch]):
    """Random clips of a split, one epoch per iteration, in batches.

    Holds the mp4 bytes of one window of shards, and up to `cache_mib` of decoded frames. An epoch's
    last, incomplete batch is left out unless it is the only one.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        VideoError: while iterating, for a clip that cannot be decoded.
    """

    def __init__(self, folder: str, options: ClipOptions, *, rng_seed: int, batch_size: int):
        self.manifest: Manifest = open_split(folder, options.verify)
        self._folder = folder
        self._options = options
        self._rng_seed = rng_seed
        self._batch_size = batch_size
        self._videos = _Videos(options)
        self._facts: dict[str, list[ClipFacts]] = {}
        self._epoch, self._first_batch = Epoch(rng_seed, 0), 0

    def batches(self, epoch: int, first_batch: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from number `first_batch` on, decoded by the workers."""
        self._epoch, self._first_batch = Epoch(self._rng_seed, epoch), first_batch
        yield from _loader(self, self._options.workers)

    def __iter__(self) -> Iterator[Batch]:
        first, step = _share()
        first += self._first_batch
        waiting: list[tuple[Draw, Frames]] = []
        size, offset, full = self._batch_size, 0, False
        for window in windows(self.manifest.shards, self._options.shards_per_window, self._epoch):
            draws = self._draws(window)
            numbers = [(offset + i) // size for i in range(len(draws))]
            mine = [
                d for d, n in zip(draws, numbers, strict=True) if n in range(first, n + 1, step)
            ]
            offset += len(draws)
            full = full or offset >= size
            for draw, frames in self._decode(window, mine):
                waiting.append((draw, frames))
                if len(waiting) == size:
                    yield _collate(waiting)
                    waiting = []
        if waiting and not full:
            yield _collate(waiting)

    def _draws(self, window: tuple[ShardEntry, ...]) -> list[Draw]:
        labels = len(self.manifest.labels)
        clips = []
        for shard in window:
            if shard.path not in self._facts and self._options.cache_mib:
                self._facts[shard.path] = read_facts(self._folder, shard, labels)
            clips += self._facts.get(shard.path) or read_facts(self._folder, shard, labels)
        return draw_clips(clips, self._epoch)

    def _decode(
        self, window: tuple[ShardEntry, ...], draws: Sequence[Draw]
    ) -> Iterator[tuple[Draw, Frames]]:
        wanted = {d.clip.clip_id for d in draws if d.clip.clip_id not in self._videos}
        contents: dict[str, bytes] = {}
        for shard in window if wanted else ():
            contents.update(read_videos(self._folder, shard, wanted))
        for draw in draws:
            clip_id = draw.clip.clip_id
            where = self._epoch.fractions("frames", clip_id, draw.number)
            frames = self._videos.random(clip_id, contents.get(clip_id), where[0])
            yield draw, self._augment(frames, draw, where[1:])

    def _augment(self, frames: Frames, draw: Draw, where: Sequence[float]) -> Frames:
        options = self._options
        square = random_square(frames, options.crop, where, mirror=options.mirror)
        if not options.recolour:
            return square
        return recolour(square, self._epoch.fractions("colour", draw.clip.clip_id, draw.number))


class SpreadClips(IterableDataset[Batch]):
    """`count` centre-cropped clips of each video of a split, one video per item, in shard order.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says.
        VideoError: while iterating, for a clip that cannot be decoded.
    """

    def __init__(self, folder: str, options: ClipOptions, count: int):
        self.manifest: Manifest = open_split(folder, options.verify)
        self._folder = folder
        self._options = options
        self._count = count

    def videos(self) -> Iterator[Batch]:
        """One batch of `count` clips per video."""
        yield from _loader(self, self._options.workers)

    def __iter__(self) -> Iterator[Batch]:
        first, step = _share()
        videos = _Videos(ClipOptions(**{**vars(self._options), "cache_mib": 0}))
        number = itertools.count()
        for shard in self.manifest.shards:
            clips = read_facts(self._folder, shard, len(self.manifest.labels))
            mine = {c.clip_id: c for c in clips if next(number) % step == first}
            for clip_id, content in read_videos(self._folder, shard, mine):
                spread = videos.spread(clip_id, content, self._count)
                squares = [centre_square(frames, self._options.crop) for frames in spread]
                label = mine[clip_id].label_id
                yield Batch(
                    to_batch(squares), tensor([label] * len(squares)), (clip_id,) * len(squares)
                )


def _loader(dataset: IterableDataset[Batch], workers: int) -> DataLoader[Batch]:
    # Batches are made by the dataset: only so can they be the same for any number of workers.
    return DataLoader(dataset, batch_size=None, num_workers=workers, pin_memory=cuda.is_available())


def _share() -> tuple[int, int]:
    """Which items this process makes: the first, and the distance to its next."""
    worker = get_worker_info()
    return (0, 1) if worker is None else (worker.id, worker.num_workers)


def _collate(waiting: Sequence[tuple[Draw, Frames]]) -> Batch:
    return Batch(
        to_batch([frames for _, frames in waiting]),
        tensor([draw.clip.label_id for draw, _ in waiting]),
        tuple(draw.clip.clip_id for draw, _ in waiting),
    )
