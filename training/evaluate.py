"""What a network says of whole videos: the mean over clips spread evenly in time (paper 4)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from formats.settings import SettingsError
from formats.terminal import Terminal
from training.clip_options import ClipOptions
from training.clips import Batch, SpreadClips
from training.errors import DivergedError
from training.learner import forward
from training.models.networks import VideoResNet
from training.options import EvaluateOptions, Options
from training.ranks import ranks
from training.sharing import collected, everyones, in_order, told

Floats = npt.NDArray[np.float32]
SHRINKAGE = 16
"""How many pixels of a frame, across, are one of the last layer's activations."""


@dataclass(frozen=True)
class Predictions:
    """What a network says of every video of a split."""

    scores_VC: Floats
    """In [0, 1], the mean over a video's clips; of a softmax, they add up to 1."""
    clip_ids: tuple[str, ...]


@dataclass(frozen=True)
class VideoFeatures:
    """Features of K clips of every video of a split."""

    features_VKD: Floats
    clip_ids: tuple[str, ...]


class FullyConvolutional(nn.Module):
    """A network that looks at every window of its training size in a larger frame (paper 4.4).

    The final pooling, made for `crop` pixels, moves in steps of one over the activations of a
    larger square; the last layer, as a 1x1x1 convolution, judges each place. For 112 and 128 pixels
    that is 7x7 on 8x8, in 2x2 places, as in the authors' code.
    """

    def __init__(self, model: VideoResNet, crop: int):
        super().__init__()
        self.model = model
        self._side = -(-crop // SHRINKAGE)

    def forward(self, frames_BCTHW: Tensor) -> Tensor:
        """Logits of each place, [B, places, num_classes]."""
        activations = self.model.activations(frames_BCTHW)
        window = (activations.shape[2], self._side, self._side)
        pooled = functional.avg_pool3d(activations, window, stride=1)
        return cast(Tensor, self.model.fc(pooled.flatten(2).transpose(1, 2)))


def cut_for_test(clips: ClipOptions, how: EvaluateOptions) -> ClipOptions:
    """How clips are cut for a test: as for training, or larger for a fully-convolutional one.

    Raises:
        SettingsError: larger ones are asked for that are smaller, or larger than the frames.
    """
    if not how.fully_convolutional:
        return clips
    side = how.full_crop
    if side < clips.crop:
        raise SettingsError(f"evaluate.full_crop={side} is below the clips.crop={clips.crop}")
    # With a scaled short edge the other side is no smaller, whatever clips.width says.
    fits = clips.height if clips.scale == "short_edge" else min(clips.height, clips.width)
    if side > fits:
        raise SettingsError(
            f"evaluate.full_crop={side} is more than the {fits} pixels that the smaller side of "
            "frames is scaled to (clips.height, clips.width)"
        )
    return replace(clips, crop=side)


def predict(
    model: VideoResNet, videos: SpreadClips, options: Options, *, several: bool = False
) -> Predictions:
    """The mean over a video's clips, and the places in them, of softmax or (`several`) sigmoid.

    The ranks share the videos, and all get what came out.

    Raises:
        DivergedError: it is not finite, so neither is what the network computes.
    """
    model.eval()
    full = FullyConvolutional(model, options.clips.crop)
    looking = cast(VideoResNet, full) if options.evaluate.fully_convolutional else model
    activate: Callable[[Tensor], Tensor] = torch.sigmoid if several else _softmax
    scores, clip_ids, size = [], [], options.evaluate.batch_size
    with torch.inference_mode():
        for group in _groups(videos, size, "evaluate"):
            frames = torch.cat([video.frames_BTHWC for video in group])
            logits = forward(looking, frames, options.model)
            by_video = activate(logits).reshape(len(group), -1, logits.shape[-1])
            scores.append(by_video.mean(1).cpu().numpy())
            clip_ids += [video.clip_ids[0] for video in group]
    scores_VC = told(collected(_rows(scores), size))
    assert scores_VC is not None  # The first rank has told them.
    refuse_overflow(scores_VC)
    return Predictions(scores_VC, tuple(in_order(everyones(clip_ids), size)))


def extract_features(
    models: Sequence[VideoResNet], videos: SpreadClips, options: Options
) -> list[VideoFeatures]:
    """The pooled features that each network gives for the clips of a split; one pass over it.

    The ranks share the videos, and the first one gets what came out, the others nothing.
    Held in its memory: videos x clips x features x 4 bytes per network.

    Raises:
        DivergedError: some are not finite.
    """
    for model in models:
        model.eval()
    parts: list[list[Floats]] = [[] for _ in models]
    clip_ids: list[str] = []
    size = options.evaluate.batch_size
    with torch.inference_mode():
        for group in _groups(videos, size, "features"):
            frames = torch.cat([video.frames_BTHWC for video in group])
            for model, part in zip(models, parts, strict=True):
                features = forward(model, frames, options.model, features=True).cpu().numpy()
                part.append(features.reshape(len(group), -1, features.shape[1]))
            clip_ids += [video.clip_ids[0] for video in group]
    every = tuple(in_order(everyones(clip_ids), size))
    found = []
    for part in parts:
        features_VKD = collected(_rows(part), size)
        if features_VKD is not None:
            refuse_overflow(features_VKD)
            found.append(VideoFeatures(features_VKD, every))
    return found


def refuse_overflow(computed: Floats) -> None:
    """Refuse what a network whose weights overflow gives: it would pass for right.

    Raises:
        DivergedError: a number is not finite.
    """
    if not np.isfinite(computed).all():
        raise DivergedError("the network gives numbers that are not finite: lower its train.lr")


def _rows(parts: Sequence[Floats]) -> Floats:
    return np.concatenate(parts) if parts else np.empty((0, 0), np.float32)


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


def _groups(videos: SpreadClips, size: int, what: str) -> Iterator[list[Batch]]:
    waiting = []
    here = ranks()
    bar = tqdm(
        videos.videos(size),
        desc=what,
        total=-(-videos.manifest.clips // here.count),
        unit="video",
        disable=None if here.writes else True,
        file=Terminal(),
    )
    for video in bar:
        waiting.append(video)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
