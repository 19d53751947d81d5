import json
from pathlib import Path
from typing import Any

import pytest

from formats.settings import SettingsError
from tests.training.moving_clips import LABELS, moving_split, two_motions_split, write_split
from training import commands, transfer
from training.checkpoint import Checkpoint, load_checkpoint
from training.options import Options, load_options, override
from training.targets import check_targets, find_targets
from training.truth import TargetError

WORDS = [
    "model.width=8", "model.precision=float32", "clips.num_frames=6", "clips.fps=0",
    "clips.height=26", "clips.width=34", "clips.crop=24", "clips.mirror=false", "train.threads=1",
    "train.clips=1440", "train.batch_size=12", "train.lr=0.05", "train.lr_batch_size=12",
    "train.warmup_clips=24", "train.lr_factor=0.4", "train.tensorboard=false", "finetune.clips=24",
    "finetune.batch_size=12", "finetune.grid_lr=0.01", "finetune.grid_weight_decay=0.005",
    "finetune.threads=1", "finetune.tensorboard=false", "evaluate.clips=2",
    "evaluate.linear_clips=2",
]  # fmt: skip


@pytest.fixture(scope="module")
def options() -> Options:
    return load_options("sample", WORDS)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    moving_split(folder / "shards" / "all", per_label=12, rng_seed=1)
    # Few to learn from and many to be tested on: with either, whatever the processor rounds, the
    # pre-trained network is far ahead of the random one.
    for number, (part, count) in enumerate((("train", 3), ("val", 16))):
        place = folder / "target_shards" / "discs" / part
        moving_split(place, per_label=count, rng_seed=2 + number)
    return folder


@pytest.fixture(scope="module")
def checkpoint(
    data: Path, options: Options, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    return commands.pretrain(str(data), str(tmp_path_factory.mktemp("run")), options)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_a_pre_trained_network_tells_motions_apart_and_a_random_one_does_not(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    targets = find_targets(str(data))
    assert targets == [str(data / "target_shards" / "discs")]
    text = transfer.linear(targets, checkpoint, str(tmp_path), options)
    (summary,) = read(tmp_path / "linear.json")["targets"]
    ours, random = (summary["networks"][name]["top1"] for name in ("pre-trained", "random"))
    assert ours["value"] >= 0.9
    assert ours["low"] <= ours["value"] <= ours["high"]
    better = summary["better"]["top1"]
    assert better["value"] == pytest.approx(ours["value"] - random["value"])
    assert better["low"] > 0
    assert text.startswith(f"discs: fc-only top-1 pre-trained {ours['value']:.1%} [")
    assert f"random {random['value']:.1%} [" in text
    assert text.endswith("; 3 labels, chance 33.3%, 48 videos")


def test_every_video_and_choice_is_in_the_result(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    transfer.linear(find_targets(str(data)), checkpoint, str(tmp_path), options)
    whole = read(tmp_path / "linear" / "discs.json")
    network = whole["networks"]["pre-trained"]
    assert [c["settings"]["C"] for c in network["choices"]] == [0.001, 0.01, 0.1, 1.0, 10.0]
    assert [s["label"] for s in network["scores"]["per_label"]] == list(LABELS)
    assert len(whole["videos"]) == 48
    right = [v["guesses"]["pre-trained"][0][0] in v["label_ids"] for v in whole["videos"]]
    assert sum(right) / 48 == network["scores"]["top1"]["value"]
    assert set(whole["datasets"]) == {"train", "val"}
    for page in ("linear.html", "linear/discs.html"):
        assert "pre-trained" in (tmp_path / page).read_text()


def test_features_are_computed_once(
    data: Path,
    options: Options,
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    targets = find_targets(str(data))
    said = transfer.linear(targets, checkpoint, str(tmp_path), options)
    calls: list[int] = []
    extract = transfer.extract_features

    def counted(models: Any, videos: Any, how: Options) -> Any:
        calls.append(len(models))
        return extract(models, videos, how)

    monkeypatch.setattr(transfer, "extract_features", counted)
    assert transfer.linear(targets, checkpoint, str(tmp_path), options) == said
    assert calls == []
    next((tmp_path / "features").glob("*.npy")).write_bytes(b"hostile")
    assert transfer.linear(targets, checkpoint, str(tmp_path), options) == said
    assert calls == [1]
    other = override(options, ["evaluate.clips=1"])
    transfer.linear(targets, checkpoint, str(tmp_path), other)
    assert calls == [1, 2]


def test_fine_tuning_starts_from_the_checkpoint_with_a_new_last_layer(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    target = data / "target_shards" / "discs"
    both = override(options, ["finetune.scratch=true", "finetune.layer_lr=layer1=0"])
    text = transfer.finetune([str(target)], checkpoint, str(tmp_path), both)
    run = tmp_path / "finetune" / "discs"
    tuned = load_checkpoint(str(run / "pre-trained" / "checkpoint.pt"))
    assert (tuned.step, tuned.labels) == (2, LABELS)
    # Two small steps leave the body near where it was; the last layer began anew.
    stem, moved = checkpoint.model["stem.0.weight"], tuned.model["stem.0.weight"]
    assert 0 < (moved - stem).norm() < 0.1 * stem.norm()
    head = checkpoint.model["fc.weight"]
    assert (tuned.model["fc.weight"] - head).norm() > 0.5 * head.norm()
    scratch = load_checkpoint(str(run / "random" / "checkpoint.pt"))
    assert (scratch.origin, scratch.options.finetune.layer_lr) == ("", ())
    (summary,) = read(tmp_path / "finetune.json")["targets"]
    value = summary["networks"]["pre-trained"]["top1"]["value"]
    assert text.startswith(f"discs: full-ft top-1 pre-trained {value:.1%} [")
    assert "difference" in text
    said = transfer.evaluate(f"{target}/val", tuned, tuned.options, str(tmp_path / "again"))
    assert said.startswith(f"discs: evaluated top-1 checkpoint {value:.1%} [")
    assert list(read(tmp_path / "again" / "evaluate" / "discs.json")["datasets"]) == ["val"]


def test_videos_with_several_labels_are_measured_by_map(
    options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    for seed, part in enumerate(("train", "val", "S2")):
        two_motions_split(tmp_path / "pairs" / part, 2, rng_seed=seed)
    how = override(options, ["evaluate.splits=val,S2", "finetune.grid_lr=0.01,0.02"])
    target = [str(tmp_path / "pairs")]
    text = transfer.linear(target, checkpoint, str(tmp_path / "out"), how)
    lines = text.splitlines()
    assert [line.partition(" pre-trained ")[0] for line in lines] == [
        "pairs: fc-only mAP",
        "pairs-S2: fc-only mAP",
    ]
    assert "chance" not in text
    whole = read(tmp_path / "out" / "linear" / "pairs-S2.json")
    assert whole["several"] is True
    assert {len(video["label_ids"]) for video in whole["videos"]} == {1, 2}
    said = transfer.finetune(target, checkpoint, str(tmp_path / "out"), how)
    assert said.startswith("pairs: full-ft mAP pre-trained ")
    tuned = tmp_path / "out" / "finetune" / "pairs" / "pre-trained" / "checkpoint.pt"
    again = transfer.evaluate(f"{target[0]}/S2", load_checkpoint(str(tuned)), how)
    assert again.split()[4] == said.splitlines()[1].split()[4]


def test_a_fully_convolutional_test_looks_at_larger_squares(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    words = ["clips.height=32", "clips.width=32", "evaluate.full_crop=32"]
    how = override(options, [*words, "evaluate.fully_convolutional=true"])
    folder = str(data / "target_shards" / "discs" / "val")
    transfer.evaluate(folder, checkpoint, how, str(tmp_path))
    protocol = read(tmp_path / "evaluate" / "discs.json")["protocol"]
    assert (protocol["evaluate"]["full_crop"], protocol["clips"]["crop"]) == (32, 24)


def test_a_test_that_cannot_be_is_refused_before_anything_is_tuned(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    how = override(options, ["evaluate.fully_convolutional=true", "evaluate.full_crop=32"])
    with pytest.raises(SettingsError, match="full_crop=32 is more than the 26 pixels"):
        transfer.finetune(find_targets(str(data)), checkpoint, str(tmp_path), how)
    assert list(tmp_path.iterdir()) == []


def test_a_linear_classifier_is_not_tested_so(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    how = override(options, ["evaluate.fully_convolutional=true"])
    with pytest.raises(SettingsError, match="is for finetune and evaluate"):
        transfer.linear(find_targets(str(data)), checkpoint, str(tmp_path), how)
    with pytest.raises(SettingsError, match="is for finetune and evaluate"):
        check_targets(find_targets(str(data)), how)


def test_a_split_with_another_number_of_labels_is_told_by_its_number(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = write_split(tmp_path / "val", [("aa", b"v", 0, 1.0)], labels=("up", "down"))
    with pytest.raises(TargetError, match=r"has 2 labels, the network 3$"):
        transfer.evaluate(folder, checkpoint, checkpoint.options)


def test_a_split_with_other_labels_cannot_be_measured(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    folder = write_split(tmp_path / "val", [("aa", b"v", 0, 1.0)], labels=("up", "down", "still"))
    with pytest.raises(TargetError, match="has other labels than the checkpoint"):
        transfer.evaluate(folder, checkpoint, checkpoint.options)


def test_a_target_with_one_video_of_each_label_is_too_small(
    checkpoint: Checkpoint, options: Options, tmp_path: Path
) -> None:
    for part in ("train", "val"):
        moving_split(tmp_path / part, per_label=1, frames=6)
    with pytest.raises(TargetError, match="too few"):
        transfer.linear([str(tmp_path)], checkpoint, str(tmp_path), options)


def test_of_an_earlier_call_what_was_found_on_the_same_target_goes_and_on_others_stays(
    data: Path, options: Options, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    for name, target in (("discs-few", "discs"), ("other", "other")):
        (tmp_path / "linear").mkdir(exist_ok=True)
        (tmp_path / "linear" / f"{name}.json").write_text(json.dumps({"target": target}))
        (tmp_path / "linear" / f"{name}.html").write_text("")
    with pytest.raises(TargetError):
        transfer.linear([str(tmp_path / "mistyped")], checkpoint, str(tmp_path), options)
    assert len(list((tmp_path / "linear").iterdir())) == 4
    transfer.linear(find_targets(str(data)), checkpoint, str(tmp_path), options)
    left = sorted(path.name for path in (tmp_path / "linear").iterdir())
    assert left == ["discs.html", "discs.json", "other.html", "other.json"]
