import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training.moving_clips import draw_motion, encode, write_split
from training.__main__ import main
from training.actions import action_scores, pairs_of
from training.checkpoint import Checkpoint, save_checkpoint
from training.clips import SpreadClips
from training.evaluate import predict
from training.finetune import restored
from training.layouts import build
from training.options import load_options
from training.truth import TargetError

VERBS, NOUNS = ("cut", "open", "take"), ("bread", "door", "meat ball", "tap")
ACTIONS = ("cut bread", "open door", "open tap", "take bread", "take meat ball")
WORDS = [
    "model.width=4", "model.precision=float32", "model.normalise=colour", "clips.num_frames=4",
    "clips.fps=0", "clips.height=20", "clips.width=26", "clips.crop=16", "train.threads=1",
    "evaluate.clips=2",
]  # fmt: skip


def judge(labels: tuple[str, ...], seed: int, *words: str) -> Checkpoint:
    """A network that knows these labels; its guesses are far from even."""
    options = load_options("sample", [*WORDS, *words])
    torch.manual_seed(seed)
    model = build(options.model, len(labels))
    torch.nn.init.normal_(model.fc.weight, 0, 3)
    rng = torch.get_rng_state()
    return Checkpoint(options, labels, "d", model.state_dict(), {}, 1, 0, 4, 1, rng)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("data") / "kitchen.action" / "val"
    videos = [
        (f"{i:02d}", encode(draw_motion("left", 8, i), preset="ultrafast"), i % 5, 1.0)
        for i in range(12)
    ]
    return write_split(folder, videos, clips_per_shard=5, labels=ACTIONS)


def test_of_all_pairs_the_known_one_with_the_largest_sum_of_logarithms_wins(
    split: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # The two look at clips of their own.
    judges = {"verb": judge(VERBS, 0), "noun": judge(NOUNS, 1, "clips.num_frames=2")}
    words = ["action", "--target", split, "--out", str(tmp_path)]
    for name, made in judges.items():
        save_checkpoint(str(tmp_path / f"{name}.pt"), made)
        words += [f"--{name}-net", str(tmp_path / f"{name}.pt")]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert said.startswith("kitchen.action: actions top-1 verb and noun ")
    whole = json.loads((tmp_path / "action" / "kitchen.action.json").read_text())
    assert whole["protocol"]["noun.clips"]["num_frames"] == 2
    assert whole["protocol"]["verb.clips"]["num_frames"] == 4
    shares = {
        name: predict(restored(made), SpreadClips(split, made.options.clips, 2), made.options)
        for name, made in judges.items()
    }
    hits = 0
    for row, video in enumerate(whole["videos"]):
        joint = {
            f"{verb} {noun}": p * q
            for verb, p in zip(VERBS, shares["verb"].scores_VC[row], strict=True)
            for noun, q in zip(NOUNS, shares["noun"].scores_VC[row], strict=True)
        }
        known = sorted(ACTIONS, key=joint.__getitem__, reverse=True)
        total = sum(joint[action] for action in ACTIONS)
        guesses = video["guesses"]["verb and noun"]
        assert [ACTIONS[i] for i, _ in guesses] == known
        assert [score for _, score in guesses] == pytest.approx(
            [joint[action] / total for action in known], abs=2e-6
        )
        hits += known[0] == ACTIONS[video["label_ids"][0]]
    assert whole["networks"]["verb and noun"]["scores"]["top1"]["value"] == hits / 12
    assert (
        "meat ball"
        in (tmp_path / "action.html").read_text()
        + (tmp_path / "action" / "kitchen.action.html").read_text()
    )


def test_what_a_network_thinks_impossible_is_the_last_guess_and_no_error() -> None:
    verb_VC = np.array([[1, 0, 0]], np.float32)
    noun_VC = np.array([[0, 0.25, 0.25, 0.5]], np.float32)
    scores_VA = action_scores(verb_VC, noun_VC, pairs_of(ACTIONS, VERBS, NOUNS))
    assert np.isfinite(scores_VA).all()
    assert scores_VA.sum() == pytest.approx(1)
    assert scores_VA.argmin() == 3


@pytest.mark.parametrize(
    ("actions", "verbs", "message"),
    [
        (("cut bread", "fry egg"), VERBS, "1 of 2 actions are no verb .* or could be two: fry egg"),
        (("cut meat ball",), ("cut", "cut meat"), "1 of 1 actions .* be two: cut meat ball"),
    ],
)
def test_an_action_that_is_no_pair_or_two_is_refused(
    actions: tuple[str, ...], verbs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(TargetError, match=message):
        pairs_of(actions, verbs, ("bread", "ball", "meat ball"))
