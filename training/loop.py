"""The training loop: steps, a log, a loss curve and checkpoints, and going on after a cut."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from tqdm import tqdm

from formats.settings import significant, to_toml
from formats.storage import write_text
from training.checkpoint import CHECKPOINT, Checkpoint, load_checkpoint, save_checkpoint
from training.clips import Batch, TrainingClips
from training.curve import draw_loss_curve
from training.learner import Learner, TrainingError
from training.options import Options, TrainOptions
from training.schedule import learning_rate, total_steps

OPTIONS = "options.toml"
LOG = "log.jsonl"
CURVE = "loss.png"


def train(
    learner: Learner, clips: TrainingClips, options: Options, *, section: str, out: str
) -> Checkpoint:
    """Train to the end, going on from the checkpoint in `out` if there is one; return the last.

    `section` names the options that say how: `train` or `finetune`.
    Writes `options.toml`, `log.jsonl` (one line per step), `checkpoint.pt` and `loss.png`. Killed
    at any moment and started again, it ends with the weights of a run that was never killed (bit
    for bit on a CPU with the same number of threads).

    Raises:
        TrainingError: `out` holds another run, the loss is not finite, or no clip is ever drawn.
        CheckpointError: the checkpoint in `out` is damaged.
    """
    run = _Run(learner, clips, options, section, Path(out))
    run.resume()
    steps, checkpoint_steps = total_steps(run.how), run.how.checkpoint_steps
    with tqdm(total=steps, initial=run.step, unit="step", disable=None) as progress:
        for batch in run.batches(steps):
            started = time.monotonic()
            loss = learner.learn(batch, run.step)
            run.record(loss, time.monotonic() - started)
            progress.update()
            progress.set_postfix(loss=f"{loss:.3f}", epoch=run.epoch)
            if run.step % checkpoint_steps == 0:
                run.save()
    return run.save()


class _Run:
    """Where a run stands, and its files."""

    def __init__(
        self,
        learner: Learner,
        clips: TrainingClips,
        options: Options,
        section: str,
        out: Path,
    ):
        self.step, self.epoch, self.batch = 0, 0, 0
        self._learner = learner
        self._clips = clips
        self._options = options
        self._section = section
        self.how: TrainOptions = getattr(options, section)
        self._out = out
        self._rows: list[str] = []

    def resume(self) -> None:
        """Take up the checkpoint in the folder, if there is one, and forget what came after it."""
        path = self._out / CHECKPOINT
        if path.exists():
            checkpoint = load_checkpoint(str(path))
            self._refuse_another(checkpoint)
            self.step, self.epoch = checkpoint.step, checkpoint.epoch
            self.batch = checkpoint.batch
            self._learner.model.load_state_dict(checkpoint.model)
            self._learner.optimiser.load_state_dict(checkpoint.optimiser)
            torch.set_rng_state(checkpoint.rng_state)
        write_text(str(self._out / OPTIONS), to_toml(self._options))
        log = self._out / LOG
        rows = log.read_text().splitlines(keepends=True)[: self.step] if log.exists() else []
        write_text(str(log), "".join(rows))

    def _refuse_another(self, checkpoint: Checkpoint) -> None:
        if checkpoint.dataset_id != self._clips.manifest.dataset_id:
            raise TrainingError(f"{self._out} holds a run on another dataset: choose another --out")
        old, new = checkpoint.options, self._options
        for section in ("model", "clips", self._section):
            before = significant(getattr(old, section))
            for name, value in significant(getattr(new, section)).items():
                if value != before[name]:
                    raise TrainingError(
                        f"{self._out} holds a run with {section}.{name} = {before[name]}, "
                        f"not {value}: choose another --out"
                    )

    def batches(self, steps: int) -> Iterator[Batch]:
        """The batches from where the run stands to its end, epoch after epoch."""
        while self.step < steps:
            first = self.batch
            for batch in self._clips.batches(self.epoch, first):
                yield batch
                if self.step >= steps:
                    return
            if self.batch == 0:
                raise TrainingError(f"epoch {self.epoch} draws no clip: all repeats are near 0")
            self.epoch, self.batch = self.epoch + 1, 0

    def record(self, loss: float, seconds: float) -> None:
        """Count a step that was taken, and log it."""
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "loss": loss,
            "lr": learning_rate(self.step, self.how),
            "seconds": round(seconds, 4),
        }
        with (self._out / LOG).open("a") as log:
            log.write(json.dumps(row) + "\n")
        self.step += 1
        self.batch += 1

    def save(self) -> Checkpoint:
        """Write the checkpoint, and the loss curve up to it."""
        checkpoint = Checkpoint(
            options=self._options,
            labels=self._clips.manifest.labels,
            dataset_id=self._clips.manifest.dataset_id,
            model=self._learner.model.state_dict(),
            optimiser=self._learner.optimiser.state_dict(),
            step=self.step,
            epoch=self.epoch,
            batch=self.batch,
            rng_state=torch.get_rng_state(),
        )
        save_checkpoint(str(self._out / CHECKPOINT), checkpoint)
        draw_loss_curve(str(self._out / LOG), str(self._out / CURVE))
        return checkpoint
