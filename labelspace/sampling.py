"""Who is drawn: one label per video, square-root repeats, subsets of videos and of labels.

Everything random is an order by hash of (rng_seed, purpose, id). Subsets are the first N in that
order, so they are exact, smaller ones lie inside larger ones, and no order of rows matters.
"""

import hashlib
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence


def hash_order(key: str, *, rng_seed: int, purpose: str) -> int:
    """The key's place in a random order: 64 bits, independent for every seed and purpose.

    >>> hash_order("v1", rng_seed=0, purpose="subset")
    8769808523424197122
    """
    text = f"{rng_seed}\0{purpose}\0{key}".encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big")


def assign_label(video_key: str, labels: Iterable[str], *, rng_seed: int) -> str:
    """One of a video's labels, each equally likely over all videos (paper 3.3).

    Taking a label away changes the videos that had it and no other, so a label that misses
    `min_videos` does not reshuffle the rest.

    Raises:
        ValueError: no label.
    """
    choices = set(labels)
    if not choices:
        raise ValueError(f"video {video_key!r} has no label to assign")
    purpose = f"label\0{video_key}"
    return min(choices, key=lambda lb: (hash_order(lb, rng_seed=rng_seed, purpose=purpose), lb))


def square_root_repeats(videos_by_label: Mapping[str, int]) -> dict[str, float]:
    """How often each video of a label is drawn per pass, in expectation (paper 3.1.1).

    A label's draws (videos x repeats) are proportional to the square root of its videos, and all
    draws of a pass together are as many as there are videos. So repeats of n videos are
    (all videos / sum of square roots) / sqrt(n): above 1 in the tail, below 1 in the head.

    Raises:
        ValueError: a label without a video.

    >>> square_root_repeats({"head": 900, "tail": 100})
    {'head': 0.8333333333333334, 'tail': 2.5}
    """
    empty = [label for label, videos in videos_by_label.items() if videos < 1]
    if empty:
        raise ValueError(f"labels without a video cannot be drawn: {', '.join(sorted(empty))}")
    # fsum is exact whatever the order of the labels.
    roots = math.fsum(math.sqrt(videos) for videos in videos_by_label.values())
    total = sum(videos_by_label.values())
    return {label: total / roots / math.sqrt(n) for label, n in sorted(videos_by_label.items())}


def random_subset(keys: Iterable[str], size: int, *, rng_seed: int) -> list[str]:
    """`size` of the keys at random in their random order, or all if there are fewer.

    Smaller subsets are prefixes of larger ones; the subset of a union lies in the union of the
    subsets, so it may be taken in parts and combined.
    """
    order = [(subset_order(key, rng_seed=rng_seed), key) for key in set(keys)]
    return [key for _, key in heapq.nsmallest(size, order)]


def subset_order(key: str, *, rng_seed: int) -> int:
    """The order in which subsets take their videos, for a pipeline that cannot hold all keys."""
    return hash_order(key, rng_seed=rng_seed, purpose="subset")


def tail_preserving_quotas(videos_by_label: Mapping[str, int], size: int) -> dict[str, int]:
    """How many videos of each label a subset of exactly `size` keeps: tail whole, head thinned.

    Every label keeps min(its videos, c) with the largest cap c that fits (paper 4.1.1). What then
    is missing to `size`, fewer videos than there are capped labels, is one more for the capped
    labels with the most videos, equal ones by label. A smaller `size` never gives a label more.

    Raises:
        ValueError: a negative size.

    >>> tail_preserving_quotas({"head": 900, "middle": 80, "tail": 10}, 101)
    {'head': 46, 'middle': 45, 'tail': 10}
    """
    if size < 0:
        raise ValueError(f"a subset cannot hold {size} videos")
    cap = _largest_cap(sorted(videos_by_label.values()), size)
    quotas = {label: min(videos, cap) for label, videos in sorted(videos_by_label.items())}
    capped = [label for label, videos in videos_by_label.items() if videos > cap]
    capped.sort(key=lambda label: (-videos_by_label[label], label))
    for label in capped[: size - sum(quotas.values())]:
        quotas[label] += 1
    return quotas


def tail_preserving_subset(
    keys_by_label: Mapping[str, Sequence[str]], size: int, *, rng_seed: int
) -> dict[str, list[str]]:
    """The videos that `tail_preserving_quotas` keeps, at random within each label.

    Label by label this is `random_subset(keys, quota)`, which is how a pipeline does it.
    """
    quotas = tail_preserving_quotas({lb: len(keys) for lb, keys in keys_by_label.items()}, size)
    return {
        label: random_subset(keys_by_label[label], quota, rng_seed=rng_seed)
        for label, quota in quotas.items()
    }


def label_subset(labels: Iterable[str], size: int, *, rng_seed: int) -> list[str]:
    """`size` of the labels at random, sorted; smaller sets lie inside larger ones (paper 4.2.2)."""
    chosen = heapq.nsmallest(
        size,
        set(labels),
        key=lambda label: (hash_order(label, rng_seed=rng_seed, purpose="label_subset"), label),
    )
    return sorted(chosen)


def _largest_cap(ordered: Sequence[int], size: int) -> int:
    """The largest c with sum(min(n, c)) <= size, for counts in ascending order."""
    left = size
    for i, videos in enumerate(ordered):
        labels = len(ordered) - i
        if videos * labels > left:
            return left // labels
        left -= videos
    return ordered[-1] if ordered else 0
