"""What training cannot do, in one sentence that says what to do instead."""


class TrainingError(Exception):
    """Training cannot go on, or not in this way."""


class DivergedError(TrainingError):
    """The loss is not finite, so the learning rate is too high."""
