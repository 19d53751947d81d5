"""The loader: batches of clips from the shards of a split.

Everything it does is a function of (rng_seed, epoch, clip_id), and all clips of an epoch come in
one order. So the same batches come out whatever the number of workers, ranks share them out, and a
run goes on at any clip of an epoch, also with other numbers of both.
"""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple, cast

import numpy as np
from torch import Tensor, tensor
from torch.utils.data import IterableDataset

from formats.shards import Manifest, ShardEntry, ShardError
from training.clip_options import ClipOptions
from training.draws import Epoch, Window, draw_shard, plan, shuffled
from training.ranks import Ranks, ranks
from training.sharing import is_mine
from training.store import Shard, ShardStore, StoredClip
from training.transforms import to_batch
from training.videos import VideoReader, Where
from training.workers import ahead, made_by, share

_AHEAD = 64
"""Clips whose bytes the system is asked for before they are wanted."""


class Batch(NamedTuple):
    """Some clips with their labels."""

    frames_BTHWC: Tensor
    """uint8 RGB, cropped, not yet normalised. With `yuv` output a `YuvClips`, whose `to` gives
    that: it is to be moved to the device first, even if that is the CPU."""
    label_id_B: Tensor
    """int64 [B]; for learning several labels per clip float32 [B, labels] of 0 and 1."""
    clip_ids: tuple[str, ...]


Chosen = Callable[[str], bool]
"""Which clip_ids of a split exist for a loader."""


class _Use(NamedTuple):
    clip: StoredClip
    number: int
    """0, 1 ... for a clip drawn more than once."""


class TrainingClips(IterableDataset[Batch]):
    """Random clips of a split, one epoch per iteration, in batches.

    The clips of an epoch have one order for all ranks: shards are shuffled, and the clips of
    `shards_per_window` of them are mixed. Step s takes clips s * step_clips to (s + 1) * step_clips
    and each rank its part; so all ranks have equally many batches of one size. What is left at the
    end of an epoch is left out, but for an epoch of less than one step: it is one smaller step.

    Memory per process: the index of two windows (100 bytes per clip), a batch, 50 bytes per frame
    of one video, some 30 MB of decoders and scalers, `cache_mib` of decoded frames, and 100 bytes
    per shard for the order. Videos are read from the shards where they lie.

    Raises:
        ShardError: the split is not finished, or a shard is not what its manifest says; while
            iterating for one that was damaged, before its first clip is used.
        VideoError: while iterating, for a clip that cannot be decoded. It names clip and shard; no
            clip is ever left out for being bad.
    """

    def __init__(
        self,
        folder: str,
        options: ClipOptions,
        *,
        rng_seed: int,
        batch_size: int,
        chosen: Chosen | None = None,
    ):
        self._store = ShardStore(folder, options)
        self.manifest: Manifest = self._store.manifest
        self.rank = ranks()
        """Whose batches these are; may be set before the first one."""
        self._chosen = chosen
        self._options = options
        self._rng_seed = rng_seed
        self._batch_size = batch_size
        self._reader = VideoReader(options)
        self._units: list[tuple[ShardEntry, int]] = []
        self._plans: dict[int, list[Window]] = {}
        self._epoch, self._first_clip = Epoch(rng_seed, 0), 0

    @property
    def step_clips(self) -> int:
        """Clips that all ranks together take in a step."""
        return self._batch_size * self.rank.count

    def num_clips(self, epoch: int) -> int:
        """How many draws an epoch has; known without reading a shard."""
        windows = self._windows(epoch)
        return windows[-1].end if windows else 0

    def num_batches(self, epoch: int, first_clip: int = 0) -> int:
        """How many batches each rank gets from an epoch, from a clip of it on.

        Raises:
            ShardError: the epoch has a clip, but not one for every rank.
        """
        clips = self.num_clips(epoch)
        if 0 < clips < self.rank.count:
            raise ShardError(f"{self._store.folder}: {clips} draws for {self.rank.count} ranks")
        if 0 < clips < self.step_clips:
            return int(first_clip == 0)
        return max(0, clips - first_clip) // self.step_clips

    def batches(
        self, epoch: int, first_batch: int = 0, *, first_clip: int | None = None
    ) -> Iterator[Batch]:
        """This rank's batches of an epoch from one on, decoded by the workers.

        `first_clip` says where to begin in clips that all ranks together have used before, whatever
        their number was. Nothing of what lies before is read.
        """
        first = first_batch * self.step_clips if first_clip is None else first_clip
        self._epoch, self._first_clip = Epoch(self._rng_seed, epoch), first
        # Planned here and not by every worker.
        if self.num_batches(epoch, first):
            yield from made_by(self, self._options.workers, self._store.remote)

    def __iter__(self) -> Iterator[Batch]:
        uses = self._uses()
        while batch := list(itertools.islice(uses, self._each)):
            yield self._batch(batch)

    @property
    def _each(self) -> int:
        """Clips of a batch."""
        return min(self._batch_size, self.num_clips(self._epoch.number) // self.rank.count)

    def _uses(self) -> Iterator[_Use]:
        """The clips that this worker makes batches of."""
        step, workers = share()
        steps = self.num_batches(self._epoch.number, self._first_clip)
        begin = self._first_clip + step * self.step_clips
        end = self._first_clip + steps * self.step_clips
        windows = [w for w in self._windows(self._epoch.number) if w.end > begin and w.first < end]
        for window, shards in ahead(windows, self._open_window):
            mine: list[int] = []
            while step < steps:
                start = self._first_clip + step * self.step_clips + self.rank.number * self._each
                wanted = range(max(start, window.first), min(start + self._each, window.end))
                mine += [number - window.first for number in wanted]
                if start + self._each > window.end:
                    break
                step += workers
            yield from _announced(self._drawn(shards, mine))

    def _drawn(self, shards: Sequence[Shard], places: list[int]) -> list[_Use]:
        """The uses at these places of a window's order."""
        drawn = [
            draw_shard(shard.index["key"], shard.index["units"], shard.name, self._epoch)
            for shard in shards
        ]
        shard_D = np.repeat(np.arange(len(drawn)), [len(draws.clip_D) for draws in drawn])
        clip_D, number_D = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
        key_D = np.concatenate(
            [shard.index["key"][d.clip_D] for shard, d in zip(shards, drawn, strict=True)]
        )
        order = shuffled(key_D, number_D, self._epoch)[places]
        return [
            _Use(StoredClip(shards[shard], clip), number)
            for shard, clip, number in zip(
                shard_D[order].tolist(),
                clip_D[order].tolist(),
                number_D[order].tolist(),
                strict=True,
            )
        ]

    def _windows(self, epoch: int) -> list[Window]:
        if not self._units:
            self._units = [(entry, self._drawn_from(entry)) for entry in self.manifest.shards]
        if epoch not in self._plans:
            size = self._options.shards_per_window
            self._plans = {epoch: plan(self._units, size, Epoch(self._rng_seed, epoch))}
        return self._plans[epoch]

    def _drawn_from(self, entry: ShardEntry) -> int:
        if self._chosen:
            return int(self._open(entry).index["units"].sum())
        return self._store.units(entry)

    def _open_window(self, window: Window) -> list[Shard]:
        return [self._open(entry) for entry in window.shards]

    def _open(self, entry: ShardEntry) -> Shard:
        return _only(self._store.open(entry), self._chosen)

    def _batch(self, uses: Sequence[_Use]) -> Batch:
        clips = [(clip, self._where(clip.clip_id, number)) for clip, number in uses]
        if self._options.output == "yuv":
            # Whoever gets it moves it to a device like a tensor, and then has one.
            frames = cast(Tensor, self._reader.planes(clips))
        else:
            frames = to_batch([self._reader.squares(clip, where) for clip, where in clips])
        return Batch(
            frames,
            tensor([clip.label_id for clip, _ in uses]),
            tuple(clip.clip_id for clip, _ in uses),
        )

    def _where(self, clip_id: str, number: int) -> Where:
        epoch = self._epoch
        colours = epoch.fractions("colour", clip_id, number) if self._options.recolour else None
        return Where(epoch.fractions("frames", clip_id, number), colours)


class SpreadClips(IterableDataset[Batch]):
    """`count` centre-cropped clips of each video of a split, one video per item, in shard order.

    Of several ranks each gets videos of its own, see `sharing`. Always RGB. Memory per process: the
    index of two shards, and the frames of one video's clips.

    Raises:
        ShardError, VideoError: as for `TrainingClips`.
    """

    def __init__(self, folder: str, options: ClipOptions, count: int, chosen: Chosen | None = None):
        self._store = ShardStore(folder, options)
        self.manifest: Manifest = self._store.manifest
        self._chosen = chosen
        self._options = replace(options, cache_mib=0)
        self._count = count
        self._mine = partial(is_mine, Ranks(), 1)

    def videos(self, together: int = 1) -> Iterator[Batch]:
        """One batch of `count` clips per video of this rank, which takes so many videos at once."""
        # Known here, and not by a worker.
        self._mine = partial(is_mine, ranks(), together)
        yield from made_by(self, self._options.workers, self._store.remote)

    def __iter__(self) -> Iterator[Batch]:
        first, step = share()
        reader, number, own = VideoReader(self._options), itertools.count(), itertools.count()
        for _, shard in ahead(self.manifest.shards, self._open):
            of_rank = [i for i in range(len(shard.index)) if self._mine(next(number))]
            mine = [i for i in of_rank if next(own) % step == first]
            for clip, _ in _announced([_Use(StoredClip(shard, i), 0) for i in mine]):
                squares = reader.spread(clip, self._count)
                label_id_B = tensor([clip.label_id] * len(squares))
                yield Batch(to_batch(squares), label_id_B, (clip.clip_id,) * len(squares))

    def _open(self, entry: ShardEntry) -> Shard:
        return _only(self._store.open(entry), self._chosen)


def _only(shard: Shard, chosen: Chosen | None) -> Shard:
    if chosen:
        shard.index = shard.index[[chosen(name.decode()) for name in shard.index["clip_id"]]]
    return shard


def _announced(uses: Sequence[_Use]) -> Iterator[_Use]:
    """The same, while the system already reads the bytes of those that come next."""
    for use in uses[:_AHEAD]:
        use.clip.expect()
    for use, later in itertools.zip_longest(uses, uses[_AHEAD:]):
        if later:
            later.clip.expect()
        yield use
