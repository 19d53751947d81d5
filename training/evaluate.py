"""What a network says of whole videos: the mean over clips spread evenly in time (paper 4)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from training.clips import Batch, SpreadClips
from training.learner import forward
from training.models.networks import VideoResNet
from training.options import ModelOptions

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Accuracy:
    """How often the right label came first."""

    top1: float
    top5: float
    per_class: dict[str, float]
    """Top-1 per label; labels without a video are left out."""
    videos: int


@dataclass(frozen=True)
class VideoFeatures:
    """Features of the clips of every video of a split."""

    features_VKD: Floats
    label_id_V: Ints
    clip_ids: tuple[str, ...]


def evaluate(
    model: VideoResNet, videos: SpreadClips, batch_size: int, options: ModelOptions
) -> Accuracy:
    """The accuracy of a network on a split, softmax averaged over the clips of each video."""
    probabilities, labels = [], []
    model.eval()
    with torch.inference_mode():
        for group in _groups(videos, batch_size, "evaluate"):
            logits = forward(model, torch.cat([v.frames_BTHWC for v in group]), options)
            softmax = logits.softmax(1).reshape(len(group), -1, logits.shape[1])
            probabilities.append(softmax.mean(1).cpu().numpy())
            labels += [int(v.label_id_B[0]) for v in group]
    return accuracy(np.concatenate(probabilities), np.array(labels), videos.manifest.labels)


def extract_features(
    models: Sequence[VideoResNet], videos: SpreadClips, batch_size: int, options: ModelOptions
) -> list[VideoFeatures]:
    """The pooled features that each network gives for the clips of a split; one pass over it.

    Held in memory: videos x clips x features x 4 bytes per network.
    """
    for model in models:
        model.eval()
    parts: list[list[Floats]] = [[] for _ in models]
    labels, clip_ids = [], []
    with torch.inference_mode():
        for group in _groups(videos, batch_size, "features"):
            frames_BTHWC = torch.cat([v.frames_BTHWC for v in group])
            for model, part in zip(models, parts, strict=True):
                features = forward(model, frames_BTHWC, options, features=True).cpu().numpy()
                part.append(features.reshape(len(group), -1, features.shape[1]))
            labels += [int(v.label_id_B[0]) for v in group]
            clip_ids += [v.clip_ids[0] for v in group]
    ids, names = np.array(labels), tuple(clip_ids)
    return [VideoFeatures(np.concatenate(part), ids, names) for part in parts]


def accuracy(scores_VC: Floats, label_id_V: Ints, labels: Sequence[str]) -> Accuracy:
    """Top-1, top-5 and per-label accuracy of one score per video and label."""
    right_V = scores_VC[np.arange(len(label_id_V)), label_id_V]
    # Ties count against the network: a constant score must not look right.
    rank_V = (scores_VC >= right_V[:, None]).sum(1)
    per_class = {
        label: float((rank_V[label_id_V == i] == 1).mean())
        for i, label in enumerate(labels)
        if (label_id_V == i).any()
    }
    return Accuracy(
        float((rank_V == 1).mean()), float((rank_V <= 5).mean()), per_class, len(label_id_V)
    )


def _groups(videos: SpreadClips, size: int, what: str) -> Iterator[list[Batch]]:
    waiting = []
    total = videos.manifest.clips
    for video in tqdm(videos.videos(), desc=what, total=total, unit="video", disable=None):
        waiting.append(video)
        if len(waiting) == size:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
