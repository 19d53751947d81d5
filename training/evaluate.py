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

from formats.terminal import Terminal
from training.clip_options import ClipOptions
from training.clips import Batch, SpreadClips
from training.learner import forward
from training.models.networks import VideoResNet
from training.options import EvaluateOptions, Options

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
    """How clips are cut for a test: as for training, or larger for a fully-convolutional one."""
    if not how.fully_convolutional:
        return clips
    side = how.full_crop
    return replace(clips, crop=side, height=max(side, clips.height), width=max(side, clips.width))


def predict(
    model: VideoResNet, videos: SpreadClips, options: Options, *, several: bool = False
) -> Predictions:
    """The mean over a video's clips, and the places in them, of softmax or (`several`) sigmoid."""
    model.eval()
    full = FullyConvolutional(model, options.clips.crop)
    looking = cast(VideoResNet, full) if options.evaluate.fully_convolutional else model
    activate: Callable[[Tensor], Tensor] = torch.sigmoid if several else _softmax
    scores, clip_ids = [], []
    with torch.inference_mode():
        for group in _groups(videos, options.evaluate.batch_size, "evaluate"):
            frames = torch.cat([video.frames_BTHWC for video in group])
            logits = forward(looking, frames, options.model)
            by_video = activate(logits).reshape(len(group), -1, logits.shape[-1])
            scores.append(by_video.mean(1).cpu().numpy())
            clip_ids += [video.clip_ids[0] for video in group]
    return Predictions(np.concatenate(scores), tuple(clip_ids))


def extract_features(
    models: Sequence[VideoResNet], videos: SpreadClips, options: Options
) -> list[VideoFeatures]:
    """The pooled features that each network gives for the clips of a split; one pass over it.

    Held in memory: videos x clips x features x 4 bytes per network.
    """
    for model in models:
        model.eval()
    parts: list[list[Floats]] = [[] for _ in models]
    clip_ids: list[str] = []
    with torch.inference_mode():
        for group in _groups(videos, options.evaluate.batch_size, "features"):
            frames = torch.cat([video.frames_BTHWC for video in group])
            for model, part in zip(models, parts, strict=True):
                features = forward(model, frames, options.model, features=True).cpu().numpy()
                part.append(features.reshape(len(group), -1, features.shape[1]))
            clip_ids += [video.clip_ids[0] for video in group]
    return [VideoFeatures(np.concatenate(part), tuple(clip_ids)) for part in parts]


def _softmax(logits: Tensor) -> Tensor:
    return logits.softmax(-1)


def _groups(videos: SpreadClips, size: int, what: str) -> Iterator[list[Batch]]:
    waiting = []
    total = videos.manifest.clips
    bar = tqdm(videos.videos(), desc=what, total=total, unit="video", disable=None, file=Terminal())
    for video in bar:
        waiting.append(video)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
