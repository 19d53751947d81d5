"""The learning rate of every step: a pure function, so that resuming needs no state."""

from training.options import TrainOptions


def total_steps(options: TrainOptions, ranks: int = 1) -> int:
    """Steps in which `ranks` processes take `clips` clips, the last one perhaps a few more."""
    return -(-options.clips // (options.batch_size * ranks))


def learning_rate(step: int, options: TrainOptions, ranks: int = 1) -> float:
    """The rate of step 0, 1 ...: scaled to the clips of a step, warmed up, lowered at equal steps.

    Follows Goyal et al. (2017) and paper 3.3: `reductions` cuts make `reductions + 1` phases of
    equal length. The warm-up rises linearly over the first phases, which keep their lengths.
    """
    steps, batch_size = total_steps(options, ranks), options.batch_size * ranks
    full = options.lr * batch_size / options.lr_batch_size
    phase = min(step * (options.reductions + 1) // steps, options.reductions)
    warmup_steps = options.warmup_clips // batch_size
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return full * options.lr_factor**phase * warm
