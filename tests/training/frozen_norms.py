"""Trains as `tests/training/test_ranks.py` asks, with batch norms that take no statistics.

Then several ranks are one with a larger batch, but for rounding.
"""

import sys

import torch
from torch import nn

from training.clips import TrainingClips
from training.learner import Learner, build_model
from training.loop import train
from training.options import load_options
from training.ranks import joined


class Frozen(nn.BatchNorm3d):
    def train(self, mode: bool = True) -> "Frozen":
        return super().train(False)


def learn(data: str, out: str, words: list[str]) -> None:
    options = load_options("sample", words)
    torch.set_num_threads(1)
    with joined():
        model = build_model(options.model, 3, 0)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm3d):
                module.__class__ = Frozen
        how = options.train
        clips = TrainingClips(data, options.clips, rng_seed=0, batch_size=how.batch_size)
        learner = Learner(model, how, options.model, torch.device("cpu"))
        train(learner, clips, options, section="train", out=out)


if __name__ == "__main__":
    learn(sys.argv[1], sys.argv[2], sys.argv[3:])
