import json
from pathlib import Path

import pytest
import torch

from tests.training.moving_clips import draw_motion, encode, moving_split, write_split
from training.__main__ import main
from training.bench import Bench, Speed, table

WORDS = [
    part
    for word in (
        "model.width=4", "clips.num_frames=4", "clips.height=20", "clips.width=26",
        "clips.crop=16", "train.batch_size=4", "train.threads=1",
    )
    for part in ("--set", word)
]  # fmt: skip


@pytest.fixture(autouse=True)
def _threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_loader_network_and_both_are_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moving_split(tmp_path / "shards" / "all", per_label=4, frames=8)
    assert main(["bench", "--data", str(tmp_path), "--steps", "3", "--json", *WORDS]) == 0
    result = json.loads(capsys.readouterr().out)
    speeds = result["speeds"]
    assert list(speeds) == ["loader alone", "model alone", "both"]
    assert (result["batch_size"], result["steps"], result["ranks"]) == (4, 3, 1)
    assert result["network"] == "R(2+1)D-18 of width 4 as its authors define it"
    assert result["clip"] == "4 x 16 x 16"
    for speed in speeds.values():
        # One step takes 4 clips: the two figures are one and the same.
        assert speed["clips_per_s"] * speed["step_ms"] / 1000 == pytest.approx(4, rel=0.05)
    # Alone, the loader is all that is waited for, and pixels that lie ready are not.
    assert speeds["loader alone"]["waiting"] > 0.5 > speeds["model alone"]["waiting"]
    assert result["host_mib"] > 50
    assert result["device"].startswith("CPU" if not torch.cuda.is_available() else "NVIDIA")


def test_a_dataset_that_draws_nothing_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    video = encode(draw_motion("left", 8, 0))
    write_split(tmp_path / "shards" / "all", [("aa", video, 0, 0.0)])
    assert main(["bench", "--data", str(tmp_path), *WORDS]) == 1
    assert "tagreel: epoch 0 draws no clip" in capsys.readouterr().err


def test_without_data_the_network_alone_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--steps", "1", *WORDS]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line[:12] for line in said[3:]] == ["model alone ", "memory: proc"]


def test_the_table_is_for_people() -> None:
    result = Bench(
        device="CPU, 2 threads", torch="2.13.0", network="R(2+1)D-18", clip="8 x 112 x 112",
        ranks=1, batch_size=16, steps=50, speeds={"both": Speed(12.345, 1296.1, 0.0123)},
        host_mib=900, worker_mib=300, device_mib=0,
    )  # fmt: skip
    assert table(result).splitlines() == [
        "R(2+1)D-18, 8 x 112 x 112, 1 x 16 clips per step",
        "CPU, 2 threads, torch 2.13.0, 50 steps",
        "                   clips/s   ms per step   waiting",
        "both                 12.35        1296.1      1.2%",
        "memory: process 900 MiB, largest worker 300 MiB, GPU 0 MiB",
    ]


def test_no_step_is_no_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["bench", "--steps", "0"])
    assert caught.value.code == 2
    assert "want at least 1, got 0" in capsys.readouterr().err
