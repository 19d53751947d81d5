import random
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from pipelines.selection import (
    EVERYTHING,
    Boundary,
    Entry,
    Quota,
    count_bins,
    find_boundary,
    place_of,
    settle,
    take_edges,
)


def entries_of(batch: pa.RecordBatch, quotas: Mapping[str, Quota]) -> Iterator[Entry]:
    for place, weight in zip(*(column.to_pylist() for column in batch.columns), strict=True):
        if "g" in quotas:
            yield Entry("g", place, weight)


def threshold(entries: Sequence[tuple[str, int]], quota: Quota) -> str:
    """What the three passes find for one group that lies in one batch."""
    places, weights = zip(*entries, strict=True)
    batch = pa.record_batch([pa.array(places), pa.array(weights)], names=["place", "weight"])
    quotas = {"g": quota}
    bins = [(name.split("\t")[1], *sums) for name, sums in count_bins(batch, entries_of, quotas)]
    boundaries = dict(find_boundary(("g", bins), quotas))
    if not boundaries:
        return EVERYTHING
    edges = [edge for _, edge in take_edges(batch, entries_of, quotas, boundaries)]
    return settle(("g", edges), quotas, boundaries)[1]


def generated(count: int) -> list[tuple[str, int]]:
    rng = random.Random(count)
    # Few different orders, so that many keys share one and the key decides.
    orders = [rng.getrandbits(64) for _ in range(max(1, count // 3))]
    return [(place_of(rng.choice(orders), f"v{n}"), rng.randrange(1, 9)) for n in range(count)]


def test_exactly_as_many_are_taken_as_the_quota_says() -> None:
    for count in (1, 2, 50, 3000):
        entries = generated(count)
        ordered = sorted(place for place, _ in entries)
        for amount in {1, count // 2 or 1, count - 1 or 1, count}:
            last = threshold(entries, Quota(amount))
            assert [place for place in ordered if place <= last] == ordered[:amount]
        assert threshold(entries, Quota(count + 1)) == EVERYTHING


def test_by_weight_the_nearest_sum_is_taken_and_one_at_least() -> None:
    for count in (1, 2, 50, 3000):
        entries = sorted(generated(count))
        for amount in (1, 3, 40, 400):
            last = threshold(entries, Quota(amount, by_weight=True))
            taken = [weight for place, weight in entries if place <= last]
            sums = [sum(weight for _, weight in entries[: n + 1]) for n in range(count)]
            assert taken
            assert abs(sum(taken) - amount) == min(abs(total - amount) for total in sums)


def test_the_boundary_is_where_the_quota_runs_out() -> None:
    bins = [("0ff", 3, 30), ("001", 2, 10), ("fff", 1, 99)]
    found = [list(find_boundary(("g", bins), {"g": Quota(n)})) for n in (2, 3, 6, 7)]
    assert found == [
        [("g", Boundary("001", 2, first=True))],
        [("g", Boundary("0ff", 1, first=False))],
        [("g", Boundary("fff", 1, first=False))],
        [],
    ]
