import json
import shutil
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from formats.shards import ShardEntry, ShardError
from tests.training.clip_batches import SMALL, assert_same, training
from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training.clips import Batch
from training.ranks import Ranks
from training.store import ShardStore


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> str:
    return moving_split(tmp_path_factory.mktemp("data") / "all", per_label=6)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Shards of 5, 5, 5 and 2 clips; drawn 0 to 2.7 times each."""
    repeats = (1.0, 0.3, 2.7, 0.0, 1.5)
    video = encode(draw_motion("left", 12, 0), preset="ultrafast")
    clips = [(f"{i:016x}", video, i % 3, repeats[i % 5]) for i in range(17)]
    return write_split(tmp_path_factory.mktemp("uneven") / "all", clips, clips_per_shard=5)


def shared_out(folder: str, count: int, workers: int, **where: int) -> list[list[Batch]]:
    """What every one of `count` ranks gets of epoch 1, six clips a step in all."""
    batches = []
    for number in range(count):
        clips = training(folder, replace(SMALL, workers=workers), batch_size=6 // count)
        clips.rank = Ranks(number, count)
        batches.append(list(clips.batches(1, **where)))
    return batches


def in_order(shares: list[list[Batch]]) -> list[tuple[str, torch.Tensor]]:
    """Every clip in the order of steps, and of ranks within a step."""
    return [
        (clip_id, frames)
        for step in zip(*shares, strict=True)
        for batch in step
        for clip_id, frames in zip(batch.clip_ids, batch.frames_BTHWC, strict=True)
    ]


@pytest.mark.parametrize(("ranks", "workers"), [(1, 1), (1, 2), (2, 0), (2, 2), (3, 1)])
def test_ranks_and_workers_share_out_one_order(uneven: str, ranks: int, workers: int) -> None:
    alone = in_order(shared_out(uneven, 1, 0))
    shares = shared_out(uneven, ranks, workers)
    assert {len(batch.clip_ids) for share in shares for batch in share} == {6 // ranks}
    for one, other in zip(alone, in_order(shares), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])


@pytest.mark.parametrize("first_clip", [0, 1, 6, 7, 12])
def test_an_epoch_goes_on_at_any_clip_with_other_ranks_and_workers(
    uneven: str, first_clip: int
) -> None:
    whole = in_order(shared_out(uneven, 1, 0))
    rest = in_order(shared_out(uneven, 3, 2, first_clip=first_clip))
    total = training(uneven).num_clips(1)
    assert len(rest) == (total - first_clip) // 6 * 6
    assert [clip_id for clip_id, _ in rest][: len(whole) - first_clip] == [
        clip_id for clip_id, _ in whole[first_clip : first_clip + len(rest)]
    ]


def test_nothing_before_the_place_where_an_epoch_goes_on_is_opened(
    split: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_ = ShardStore.open

    def noted(self: ShardStore, entry: ShardEntry) -> object:
        opened.append(entry.path)
        return open_(self, entry)

    monkeypatch.setattr(ShardStore, "open", noted)
    clips = training(split)
    assert clips.num_batches(0) == 4
    assert opened == []
    list(clips.batches(0, first_batch=3))
    # The last window has one of five shards, and a part of the one before.
    assert 0 < len(opened) <= 3


def test_all_clips_of_a_window_are_mixed_and_windows_differ_between_epochs(split: str) -> None:
    clips = training(split, replace(SMALL, shards_per_window=5), batch_size=18)
    (first,), (second,) = clips.batches(0), clips.batches(1)
    in_shards = sorted(first.clip_ids)
    places = [in_shards.index(clip_id) // 4 for clip_id in first.clip_ids]
    # Without mixing, the shard would change four times.
    assert sum(a != b for a, b in pairwise(places)) > 8
    assert first.clip_ids != second.clip_ids


def test_draws_follow_the_square_root_law(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 6, 0), preset="ultrafast")
    # Labels with 16, 4 and 1 videos are drawn 4 : 2 : 1, each label's share over its videos.
    clips = [
        (f"{label}{i:03x}", video, label, count**0.5 / count)
        for label, count in enumerate((16, 4, 1))
        for i in range(count)
    ]
    folder = write_split(tmp_path / "all", clips, clips_per_shard=5)
    loader = training(folder, batch_size=1)
    drawn = Counter(
        int(label) for epoch in range(30) for b in loader.batches(epoch) for label in b.label_id_B
    )
    assert sum(loader.num_clips(epoch) for epoch in range(30)) == drawn.total()
    assert drawn[2] == 30
    assert drawn[0] / 30 == pytest.approx(4, abs=0.5)
    assert drawn[1] / 30 == pytest.approx(2, abs=0.5)


def test_a_manifest_of_an_older_version_gives_the_same_batches(uneven: str, tmp_path: Path) -> None:
    folder = tmp_path / "all"
    shutil.copytree(uneven, folder)
    content = json.loads((folder / "MANIFEST.json").read_text())
    for shard in content["shards"]:
        del shard["repeats"]
    (folder / "MANIFEST.json").write_text(json.dumps(content))
    assert_same(list(training(uneven).batches(0)), training(str(folder)).batches(0))


def test_fewer_draws_than_ranks_are_refused(tmp_path: Path) -> None:
    video = encode(draw_motion("left", 6, 0))
    clips = training(write_split(tmp_path / "all", [("aa", video, 0, 1.0)]))
    clips.rank = Ranks(1, 2)
    with pytest.raises(ShardError, match="1 draws for 2 ranks"):
        list(clips.batches(0))


def test_an_epoch_of_less_than_a_step_is_shared_out_too(split: str) -> None:
    sizes = []
    for number in range(4):
        clips = training(split, batch_size=10)
        clips.rank = Ranks(number, 4)
        sizes.append([len(batch.clip_ids) for batch in clips.batches(0)])
    assert sizes == [[4]] * 4
