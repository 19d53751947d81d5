from pathlib import Path

import pytest

from formats.shards import ShardError
from tests.training.moving_clips import LABELS, two_motions_split, write_split
from training.options import ClipOptions
from training.truth import TargetError, Truth, holdout, read_truth, training_clips

SMALL = ClipOptions(num_frames=4, height=20, width=26, crop=16)


def of_labels(*label_ids: int) -> Truth:
    return Truth("", LABELS, {f"{i:03d}": (label,) for i, label in enumerate(label_ids)}, False)


def test_samples_with_one_label_have_that(tmp_path: Path) -> None:
    folder = write_split(tmp_path / "val", [("aa", b"v", 2, 1.0), ("bb", b"v", 0, 1.0)])
    truth = read_truth(folder, SMALL)
    assert (dict(truth.label_ids), truth.several) == ({"aa": (2,), "bb": (0,)}, False)
    assert truth.matrix(["bb", "aa"]).tolist() == [[True, False, False], [False, False, True]]


def test_samples_that_list_labels_carry_all_of_them_the_main_one_first(tmp_path: Path) -> None:
    clips = [("aa", b"v", 2, 1.0), ("bb", b"v", 0, 1.0)]
    folder = write_split(tmp_path / "val", clips, label_ids={"aa": [0, 2], "bb": [0]})
    truth = read_truth(folder, SMALL)
    assert (dict(truth.label_ids), truth.several) == ({"aa": (2, 0), "bb": (0,)}, True)
    assert truth.matrix(["aa"]).tolist() == [[True, False, True]]


def test_a_list_of_labels_for_some_samples_only_is_refused(tmp_path: Path) -> None:
    clips = [("aa", b"v", 2, 1.0), ("bb", b"v", 0, 1.0)]
    folder = write_split(tmp_path / "val", clips, label_ids={"aa": [0, 2]})
    with pytest.raises(TargetError, match="1 of 2 clips have label_ids, not all"):
        read_truth(folder, SMALL)


@pytest.mark.parametrize("listed", [[], [0], [2, 2], [2, 3], [2, -1], [2, True], "2", [2, 1.0]])
def test_a_list_that_cannot_be_true_is_refused(tmp_path: Path, listed: list[int]) -> None:
    folder = write_split(tmp_path / "val", [("aa", b"v", 2, 1.0)], label_ids={"aa": listed})
    with pytest.raises(ShardError, match="clip aa has label_ids .* of 3 labels"):
        read_truth(folder, SMALL)


def test_a_tenth_of_every_label_is_held_out_and_one_at_least() -> None:
    truth = of_labels(*[0] * 40, *[1] * 5, 2)
    held = holdout(truth, 0.1, 0)
    counts = [sum(truth.label_ids[c] == (i,) for c in held) for i in range(3)]
    assert counts == [4, 1, 0]


def test_what_is_held_out_depends_on_seed_and_ids_alone() -> None:
    truth = of_labels(*[0] * 40, *[1] * 40)
    turned = Truth("x", LABELS, dict(reversed(truth.label_ids.items())), False)
    assert holdout(truth, 0.1, 0) == holdout(turned, 0.1, 0)
    assert holdout(truth, 0.1, 0) != holdout(truth, 0.1, 1)
    assert holdout(truth, 0.1, 0) < holdout(truth, 0.3, 0)


@pytest.mark.parametrize("label_ids", [(0, 1, 2), (0, 0, 0)])
def test_too_small_a_target_is_refused(label_ids: tuple[int, ...]) -> None:
    with pytest.raises(TargetError, match="are too few"):
        holdout(of_labels(*label_ids), 0.1, 0)


def test_training_clips_bring_zeros_and_ones_for_every_label(tmp_path: Path) -> None:
    folder = two_motions_split(tmp_path / "train", 1, frames=6)
    truth = read_truth(folder, SMALL)
    clips = training_clips(folder, truth, SMALL, rng_seed=0, batch_size=3)
    batches = list(clips.batches(0))
    assert [b.label_id_B.shape for b in batches] == [(3, 3)] * 3
    for batch in batches:
        assert batch.label_id_B.bool().tolist() == truth.matrix(batch.clip_ids).tolist()
    assert {len(ids) for ids in truth.label_ids.values()} == {1, 2}


def test_clips_that_are_not_chosen_do_not_exist(tmp_path: Path) -> None:
    folder = two_motions_split(tmp_path / "train", 1, frames=6)
    truth = read_truth(folder, SMALL)
    some = sorted(truth.label_ids)[:4]
    clips = training_clips(folder, truth, SMALL, some.__contains__, rng_seed=0, batch_size=2)
    seen = [clip_id for batch in clips.batches(0) for clip_id in batch.clip_ids]
    assert sorted(seen) == some
