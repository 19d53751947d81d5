"""The training loop: steps, checkpoints, and going on after a cut."""

import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NoReturn

import torch
from tqdm import tqdm

from formats.settings import significant
from formats.terminal import Terminal
from training.checkpoint import (
    CHECKPOINT,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    save_checkpoint,
)
from training.clips import Batch, TrainingClips
from training.errors import TrainingError
from training.journal import Journal
from training.learner import Learner, Outcome
from training.options import Options, TrainOptions
from training.ranks import agree, ranks, wait_for_all
from training.schedule import learning_rate, total_steps
from training.sharing import refuse_differences

_ELSEWHERE = "name another OUT= (--out), or delete that folder to begin anew"


class TrainingStopped(TrainingError):
    """The run was asked to end (SIGTERM); its checkpoint is written."""


def train(
    learner: Learner, clips: TrainingClips, options: Options, *, section: str, out: str
) -> Checkpoint:
    """Train to the end, going on from the checkpoint in `out` if there is one; return the last.

    `section` names the options that say how: `train` or `finetune`.
    Writes `options.toml`, `log.jsonl` (one line per step), `checkpoint.pt`, `loss.png` and
    `tensorboard/`; of several ranks the first one does. Killed at any moment and started again, it
    ends with the weights of a run that was never killed (bit for bit on a CPU with the same number
    of threads and ranks). The ranks may be fewer or more then, if a step still takes as many clips:
    the same clips are drawn.

    Raises:
        TrainingStopped: on SIGTERM, once a checkpoint is written.
        TrainingError: `out` holds another run, the loss is not finite, or no clip is ever drawn.
        CheckpointError: the checkpoint in `out` is damaged.
        PeerError: the ranks were begun with other options, data or weights.
    """
    data = clips.manifest.dataset_id
    refuse_differences(options, dataset_id=data, weights=learner.origin)
    run = _Run(learner, clips, options, section, Path(out))
    run.resume()
    steps = total_steps(run.how, ranks().count)
    with ExitStack() as stack:
        run.journal = stack.enter_context(run.opened()) if ranks().writes else None
        stopping = stack.enter_context(_terminations())
        progress = stack.enter_context(_progress(steps, run.step))
        for batch, waited in _timed(run.batches(steps)):
            run.count(learner.learn(batch, run.step, stop=stopping()), waited)
            stop = run.report(learner.lag)
            progress.update()
            progress.set_postfix(loss=f"{run.loss:.3f}", epoch=run.epoch)
            if stop:
                run.save()
                raise TrainingStopped(
                    f"stopped by SIGTERM after step {run.step} of {steps}, which {out} now holds: "
                    "the same command goes on from there"
                )
            if run.step % run.how.checkpoint_steps == 0:
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
        self.step, self.epoch, self.clips_done = 0, 0, 0
        self.loss = math.nan
        """Of the last step that is known."""
        self.journal: Journal | None = None
        self._learner = learner
        self._clips = clips
        self._options = options
        self._section = section
        self.how: TrainOptions = getattr(options, section)
        self._out = out
        self._unread: list[tuple[Outcome, dict[str, float]]] = []
        self._since = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint in the folder, if there is one."""
        path = self._out / CHECKPOINT
        if path.exists():
            checkpoint = load_checkpoint(str(path))
            self._refuse_another(checkpoint)
            if checkpoint.step > total_steps(self.how, ranks().count):
                raise CheckpointError(f"{path}: stands at step {checkpoint.step}, behind its end")
            self.step, self.epoch = checkpoint.step, checkpoint.epoch
            self.clips_done = checkpoint.clips
            try:
                self._learner.restore(checkpoint.model, checkpoint.optimiser)
            except ValueError as error:
                raise CheckpointError(f"{path}: not a checkpoint of ours: {error}") from error
            torch.set_rng_state(checkpoint.rng_state)
        if not agree(self.step):
            raise TrainingError(
                f"the ranks see different checkpoints in {self._out}: it must be on a disk that "
                "all of them share"
            )

    def opened(self) -> Journal:
        """The run's record, from where it stands."""
        return Journal(self._out, self._options, step=self.step, tensorboard=self.how.tensorboard)

    def _refuse_another(self, checkpoint: Checkpoint) -> None:
        if checkpoint.dataset_id != self._clips.manifest.dataset_id:
            raise TrainingError(f"{self._out} holds a run on another dataset: {_ELSEWHERE}")
        if checkpoint.origin != self._learner.origin:
            raise TrainingError(
                f"{self._out} holds a run that began with other weights: {_ELSEWHERE}"
            )
        old, new = checkpoint.options, self._options
        for section in ("model", "clips", self._section):
            before = significant(getattr(old, section))
            for name, value in significant(getattr(new, section)).items():
                if value != before[name] and name != "batch_size":
                    raise TrainingError(
                        f"{self._out} holds a run with {section}.{name} = {before[name]}, "
                        f"not {value}: {_ELSEWHERE}"
                    )
        self._refuse_other_steps(getattr(old, self._section).batch_size, checkpoint.ranks)

    def _refuse_other_steps(self, batch_size: int, count: int) -> None:
        """Another number of ranks is welcome, another number of clips per step is not."""
        here = ranks().count
        if batch_size * count != self.how.batch_size * here:
            raise TrainingError(
                f"{self._out} holds a run of {count} x {batch_size} clips per step, not "
                f"{here} x {self.how.batch_size}: set {self._section}.batch_size to keep their "
                f"number, or {_ELSEWHERE}"
            )

    def batches(self, steps: int) -> Iterator[Batch]:
        """This rank's batches from where the run stands to its end, epoch after epoch."""
        while self.step < steps:
            for batch in self._clips.batches(self.epoch, first_clip=self.clips_done):
                yield batch
                if self.step >= steps:
                    return
            if self.clips_done == 0:
                raise TrainingError(f"epoch {self.epoch} draws no clip: all repeats are near 0")
            self.epoch, self.clips_done = self.epoch + 1, 0

    def count(self, outcome: Outcome, waited: float) -> None:
        """Count a step that was taken."""
        now = time.monotonic()
        row = {
            "step": self.step,
            "epoch": self.epoch,
            "loss": 0.0,
            "lr": learning_rate(self.step, self.how, ranks().count),
            "seconds": round(now - self._since, 4),
            "waited": round(waited, 4),
        }
        self._since = now
        self._unread.append((outcome, row))
        self.step += 1
        self.clips_done += self._clips.step_clips

    def report(self, lag: int) -> bool:
        """Log all but the last `lag` steps; whether a rank was asked to stop before them."""
        stop = False
        # By number, not by what is known already: all ranks must stop after the same step.
        while len(self._unread) > lag:
            outcome, row = self._unread.pop(0)
            self.loss, asked = outcome.read()
            row["loss"] = self.loss
            stop = stop or asked
            if self.journal:
                self.journal.write(row)
        return stop

    def save(self) -> Checkpoint:
        """Log what is left and write the checkpoint; all ranks wait for it."""
        self.report(0)
        # The checkpoint of before is worth more than one of these.
        self._learner.refuse_overflow(self.step)
        self._learner.take_first_norms()
        checkpoint = Checkpoint(
            options=self._options,
            labels=self._clips.manifest.labels,
            dataset_id=self._clips.manifest.dataset_id,
            model=self._learner.model.state_dict(),
            optimiser=self._learner.optimiser.state_dict(),
            step=self.step,
            epoch=self.epoch,
            clips=self.clips_done,
            ranks=ranks().count,
            rng_state=torch.get_rng_state(),
            origin=self._learner.origin,
        )
        if self.journal:
            save_checkpoint(str(self._out / CHECKPOINT), checkpoint)
            self.journal.draw()
        wait_for_all()
        self._since = time.monotonic()
        return checkpoint


@contextmanager
def _terminations() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM came since the block began; it no longer ends the process by itself."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


def _progress(steps: int, done: int) -> "tqdm[NoReturn]":
    quiet = None if ranks().writes else True
    return tqdm(total=steps, initial=done, unit="step", disable=quiet, file=Terminal())


def _timed(batches: Iterator[Batch]) -> Iterator[tuple[Batch, float]]:
    """Every batch with the seconds that it was waited for."""
    started = time.monotonic()
    for batch in batches:
        yield batch, time.monotonic() - started
        started = time.monotonic()
