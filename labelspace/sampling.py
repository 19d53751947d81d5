"""Which label, how often, and which of many: all by hash of (rng_seed, id)."""

import hashlib
from collections.abc import Mapping, Sequence
from math import sqrt


def hash_order(key: str, *, rng_seed: int, purpose: str) -> int:
    """A 64-bit number that orders keys at random, the same on every run and engine."""
    digest = hashlib.sha256(f"{rng_seed}:{purpose}:{key}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def assign_label(video_key: str, labels: Sequence[str], *, rng_seed: int) -> str:
    """Pick one of a video's labels at random, the same one on every run (paper 3.3).

    The label with the smallest hash wins, so a label that is dropped from the space changes only
    the videos that it would have won.
    """
    return min(
        labels,
        key=lambda label: hash_order(f"{video_key}:{label}", rng_seed=rng_seed, purpose="label"),
    )


def square_root_repeats(counts: Mapping[str, int]) -> dict[str, float]:
    """How often each video of a label is drawn per pass (paper 3.1.1, square-root sampling).

    A label's draws are proportional to the square root of its videos; all draws together equal the
    videos. Expected values: the loader turns the fraction into a draw or none, by hash.

    >>> square_root_repeats({"head": 90, "tail": 10})
    {'head': 0.8333333333333334, 'tail': 2.5}
    """
    total = sum(counts.values())
    roots = {label: sqrt(count) for label, count in counts.items() if count}
    scale = total / sum(roots.values()) if roots else 0.0
    return {label: scale * root / counts[label] for label, root in roots.items()}


def tail_preserving_quotas(counts: Mapping[str, int], videos: int) -> dict[str, int]:
    """Videos to keep per label: tail labels whole, head labels cut to one cap (paper 4.1.1).

    The quotas add up to min(videos, all videos) exactly; what the cap leaves over goes one each to
    the first labels by name among those cut. A larger `videos` never lowers a quota: subsets nest.
    """
    wanted = min(videos, sum(counts.values()))
    low, high = 0, max(counts.values(), default=0)
    while low < high:
        middle = (low + high + 1) // 2
        if sum(min(count, middle) for count in counts.values()) <= wanted:
            low = middle
        else:
            high = middle - 1
    quotas = {label: min(count, low) for label, count in counts.items()}
    cut = sorted(label for label, count in counts.items() if count > low)
    for label in cut[: wanted - sum(quotas.values())]:
        quotas[label] += 1
    return quotas
