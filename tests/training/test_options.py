from dataclasses import asdict, replace
from pathlib import Path

import pytest

from formats.settings import SettingsError
from training.options import (
    CONFIGS,
    Options,
    from_sections,
    load_options,
    lr_factors,
    override,
)


def test_every_config_loads() -> None:
    names = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    assert names == [
        "ig-kinetics-34-32f", "ig-kinetics-34-8f", "ig-kinetics-r2d-18", "sample",
    ]  # fmt: skip
    assert all(load_options(name, []) for name in names)


@pytest.mark.parametrize(("frames", "per_gpu", "batch"), [(8, 16, 2048), (32, 6, 768)])
def test_the_papers_configs_are_the_papers(frames: int, per_gpu: int, batch: int) -> None:
    options = load_options(f"ig-kinetics-34-{frames}f", [])
    model, clips, train = options.model, options.clips, options.train
    assert (model.kind, model.depth, model.width) == ("r2plus1d", 34, 64)
    assert (clips.num_frames, clips.height, clips.width, clips.crop) == (frames, 128, 171, 112)
    assert (clips.fps, clips.mirror, options.evaluate.clips) == (0, True, 10)
    assert (train.clips, train.lr, train.reductions) == (490_000_000, 0.192, 13)
    assert (train.lr_factor, train.batch_size, train.lr_batch_size) == (0.5, per_gpu, batch)


def test_a_file_of_the_users_is_a_config_too(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[model]\ndepth = 18\n")
    assert load_options(str(tmp_path / "mine.toml"), []).model.depth == 18


def test_factors_of_layers_are_read() -> None:
    options = load_options("sample", ["finetune.layer_lr=stem=0, layer4 = .5, fc=1e1"])
    assert lr_factors(options.finetune) == {"stem": 0, "layer4": 0.5, "fc": 10}
    assert lr_factors(options.train) == {}


def test_options_survive_being_taken_apart() -> None:
    options = load_options("sample", ["train.lr=0.5", "evaluate.linear_c=1,2"])
    assert from_sections(asdict(options)) == options


def test_single_options_of_a_checkpoint_can_be_changed() -> None:
    options = load_options("sample", [])
    changed = override(options, ["evaluate.clips=3"])
    assert changed == replace(options, evaluate=replace(options.evaluate, clips=3))
    with pytest.raises(SettingsError, match="did you mean 'clips'"):
        override(options, ["evaluate.clip=3"])


@pytest.mark.parametrize("sections", [{}, {**asdict(Options()), "model": {"colour": 1}}])
def test_options_of_another_version_are_refused(sections: dict[str, dict[str, object]]) -> None:
    with pytest.raises(ValueError, match="options of another version"):
        from_sections(sections)


@pytest.mark.parametrize(
    ("config", "word", "message"),
    [
        ("sampel", "", "'sampel' is no config; known: ig-kinetics-34-32f"),
        ("sample", "train.lrr=1", "'lrr' is no option of [train]; did you mean 'lr'?"),
        ("sample", "train.epoch=1", "'epoch' is no option of [train]; did you mean 'clips' (pro"),
        ("sample", "finetune.learning_rate=1", "is no option of [finetune]; did you mean 'lr'?"),
        ("sample", "model.kind=i3d", "kind must be r2plus1d or r3d or r2d, got 'i3d'"),
        ("sample", "model.midplanes=x", "midplanes must be paper or torchvision, got 'x'"),
        ("sample", "clips.verify=no", "verify must be full or size, got 'no'"),
        ("sample", "clips.workers=2", "cache_mib needs workers = 0"),
        ("sample", "clips.output=yuv", "output = yuv needs sharp = false and cache_mib = 0"),
        ("sample", "clips.stride=2", "stride needs fps = 0"),
        ("ig-kinetics-34-8f", "clips.scale=long_edge", "scale must be plain or short_edge"),
        ("ig-kinetics-34-8f", "clips.output=hsv", "output must be rgb or yuv"),
        ("ig-kinetics-34-8f", "clips.s3_endpoint=host:1", "is not http(s)://host:port"),
        ("sample", "clips.crop=500", "height must be at least 500"),
        ("sample", "model.precision=int8", "precision must be auto or float32 or bfloat16"),
        ("sample", "model.normalise=x", "normalise must be colour or motion, got 'x'"),
        ("sample", "train.batch_size=0", "batch_size must be at least 1, got 0"),
        ("sample", "evaluate.linear_c=0", "linear_c must be positive numbers"),
        ("sample", "evaluate.splits=", "splits must be names of folders, got ()"),
        ("sample", "evaluate.splits=../x", "splits must be names of folders"),
        ("sample", "evaluate.full_crop=8", "full_crop must be at least 16, got 8"),
        ("sample", "finetune.grid_lr=1,-1", "grid_lr and grid_weight_decay must be numbers, none"),
        ("sample", "finetune.grid_lr=nan", "grid_lr and grid_weight_decay must be numbers, none"),
        ("sample", "train.lr=nan", "lr must be at least 0, got nan"),
        ("sample", "train.lr=inf", "lr must be at least 0, got inf"),
        ("sample", "train.lr_factor=-1", "lr_factor must be at least 0, got -1"),
        ("sample", "train.momentum=1", "momentum must be below 1, got 1"),
        ("sample", "clips.fps=nan", "fps must be at least 0, got nan"),
        ("sample", "evaluate.linear_c=1,nan", "linear_c must be positive numbers"),
        ("sample", "finetune.layer_lr=head=1", "layer_lr has 'head=1', want each of stem, layer1"),
        ("sample", "finetune.layer_lr=fc=1,fc=2", "layer_lr has 'fc=2', want each of"),
        ("sample", "finetune.layer_lr=fc=-1", "layer_lr has 'fc=-1', want each of"),
        ("sample", "finetune.layer_lr=fc=nan", "layer_lr has 'fc=nan', want each of"),
        ("sample", "evaluate.holdout_fraction=1", "holdout_fraction must be in (0, 1)"),
    ],
)
def test_a_refused_option_is_named(config: str, word: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_options(config, [word] if word else [])
    assert message in str(caught.value)
