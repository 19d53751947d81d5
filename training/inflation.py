"""A checkpoint of an R2D, trained on frames, as the start of an R3D (paper 4.3.2)."""

from dataclasses import replace
from pathlib import Path

from formats.storage import sha256_file
from training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint
from training.errors import TrainingError
from training.layouts import describe
from training.learner import build_model
from training.models import inflate
from training.options import Options, override

NUM_FRAMES = 8
"""Of the paper's R3D-18 in Table 4."""


def inflate_checkpoint(path: str, out: str, overrides: list[str]) -> str:
    """Write `checkpoint.pt` of the inflated network to `out`; return what was done as a sentence.

    Its options are those of the R2D but for the kind, with 8 frames per clip unless `overrides` say
    otherwise; it stands at step 0, and keeps its labels.

    Raises:
        CheckpointError: the file is missing or not a checkpoint of ours.
        SettingsError: an override that is refused.
        TrainingError: the checkpoint is not of an R2D, or `out` holds a checkpoint already.
    """
    flat, target = load_checkpoint(path), Path(out) / CHECKPOINT
    if flat.options.model.kind != "r2d":
        raise TrainingError(
            f"{path} is a checkpoint of {describe(flat.options.model)}: want model.kind = r2d"
        )
    if target.exists():
        raise TrainingError(f"{target} exists already: choose another --out")
    options = _options(flat.options, overrides)
    deep = build_model(options.model, len(flat.labels), 0)
    inflate(flat.model, deep)
    checkpoint = Checkpoint(
        options=options,
        labels=flat.labels,
        dataset_id=flat.dataset_id,
        model=deep.state_dict(),
        optimiser={},
        step=0,
        epoch=0,
        clips=0,
        ranks=1,
        rng_state=flat.rng_state,
        origin=sha256_file(path),
    )
    save_checkpoint(str(target), checkpoint)
    return f"inflated to {describe(options.model)}, {options.clips.num_frames} frames: {target}"


def _options(flat: Options, overrides: list[str]) -> Options:
    frames = [f"clips.num_frames={NUM_FRAMES}"]
    options = override(flat, [*frames, *overrides])
    return replace(options, model=replace(flat.model, kind="r3d"))
