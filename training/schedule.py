"""The learning rate of every step: a pure function, so that resuming needs no state."""

from training.options import TrainOptions


def total_steps(options: TrainOptions) -> int:
    """Steps that process `clips` clips, the last one perhaps a few more."""
    return -(-options.clips // options.batch_size)


def learning_rate(step: int, options: TrainOptions) -> float:
    """The rate of step 0, 1 ...: scaled to the batch, warmed up, lowered at equal distances.

    Follows Goyal et al. (2017) and paper 3.3: `reductions` cuts make `reductions + 1` phases of
    equal length. The warm-up rises linearly over the first phases, which keep their lengths.
    """
    steps = total_steps(options)
    full = options.lr * options.batch_size / options.lr_batch_size
    phase = min(step * (options.reductions + 1) // steps, options.reductions)
    warmup_steps = options.warmup_clips // options.batch_size
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    return full * options.lr_factor**phase * warm
