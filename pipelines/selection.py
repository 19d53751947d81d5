"""The first N of each group in hash order, without sorting a group in one place.

Three passes over the rows: counts by group and by the first digits of the place (a Combine); in the
one bin of each group where its quota runs out, the entries themselves; from them the *threshold*,
the last place that is taken. Whoever has the thresholds then tells row by row.

Memory of one worker: the bins of one group, about the square root of its entries (at most 4,096),
then the entries of one bin, about as many; the thresholds are one pair per group that is cut.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms import combiners

from pipelines.batches import ReadTable

_MAX_BIN_DIGITS = 3
# Thresholds beyond the first and the last place.
NOTHING, EVERYTHING = "", "g"


def place_of(order: int, key: str) -> str:
    """Where a key stands in a 64-bit order, as a text that sorts alike (engines' ints are signed).

    >>> place_of(255, "v1")
    '00000000000000ffv1'
    """
    return f"{order:016x}{key}"


@dataclass(frozen=True)
class Quota:
    """How much of a group is taken; a group without a quota is taken whole."""

    amount: int
    by_weight: bool = False
    """The prefix whose weights together come nearest to the amount, at least one entry; else that
    many entries exactly, or all if there are fewer."""
    entries: int = 16**6
    """About how many the group has: as many bins as entries in a bin cost the least memory."""

    @property
    def bin_digits(self) -> int:
        """How many hex digits of a place name its bin.

        >>> [Quota(1, entries=n).bin_digits for n in (1, 100, 5_000, 10**8)]
        [0, 1, 2, 3]
        """
        digits = 0
        while digits < _MAX_BIN_DIGITS and 256**digits < self.entries:
            digits += 1
        return digits


@dataclass(frozen=True)
class Entry:
    """One row as a member of one group."""

    group: str
    place: str
    weight: int


@dataclass(frozen=True)
class Boundary:
    """Where a group's quota runs out."""

    bin: str
    """The first digits of its places."""
    left: int
    """What of the quota is left for this bin."""
    first: bool
    """Nothing was taken before it."""


@dataclass
class FindThresholds(beam.PTransform):
    """Names of parts -> one dict, group -> threshold, of every group with a quota."""

    row_type: type
    entries: Callable[..., Iterator[Entry]]
    """(batch, quotas) -> the entries of the groups that have a quota."""
    quotas: beam.pvalue.AsSingleton

    def expand(self, files: beam.PCollection[str]) -> beam.PCollection[dict[str, str]]:
        boundaries = (
            files
            | "ReadForBins" >> ReadTable(self.row_type)
            | "CountBins" >> beam.FlatMap(count_bins, self.entries, self.quotas)
            | "SumBins" >> beam.CombinePerKey(sum_pairs)
            | "KeyByGroup" >> beam.MapTuple(_by_group)
            | "GroupBins" >> beam.GroupByKey()
            | "FindBoundary" >> beam.FlatMap(find_boundary, self.quotas)
            | "Boundaries" >> combiners.ToDict()
        )
        found = beam.pvalue.AsSingleton(boundaries)
        return (
            files
            | "ReadForEdges" >> ReadTable(self.row_type)
            | "TakeEdges" >> beam.FlatMap(take_edges, self.entries, self.quotas, found)
            | "GroupEdges" >> beam.GroupByKey()
            | "Settle" >> beam.Map(settle, self.quotas, found)
            | "Thresholds" >> combiners.ToDict()
        )


def count_bins(
    batch: pa.RecordBatch,
    entries: Callable[..., Iterator[Entry]],
    quotas: Mapping[str, Quota],
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield (group and bin, (entries, weight)), summed over the batch."""
    bins: dict[str, tuple[int, int]] = {}
    for entry in entries(batch, quotas):
        digits = quotas[entry.group].bin_digits
        name = f"{entry.group}\t{entry.place[:digits]}"
        count, weight = bins.get(name, (0, 0))
        bins[name] = count + 1, weight + entry.weight
    yield from bins.items()


def sum_pairs(pairs: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """The pairs added up, each side by itself."""
    counts, weights = 0, 0
    for count, weight in pairs:
        counts, weights = counts + count, weights + weight
    return counts, weights


def find_boundary(
    of_group: tuple[str, Iterable[tuple[str, int, int]]], quotas: Mapping[str, Quota]
) -> Iterator[tuple[str, Boundary]]:
    """Yield the bin in which the group's quota runs out; none if the group fits."""
    group, bins = of_group
    quota = quotas[group]
    before = 0
    for name, count, weight in sorted(bins):
        size = weight if quota.by_weight else count
        if before + size >= quota.amount:
            yield group, Boundary(name, quota.amount - before, first=before == 0)
            return
        before += size


def take_edges(
    batch: pa.RecordBatch,
    entries: Callable[..., Iterator[Entry]],
    quotas: Mapping[str, Quota],
    boundaries: Mapping[str, Boundary],
) -> Iterator[tuple[str, tuple[str, int]]]:
    """Yield (group, (place, weight)) of the entries in the bins where quotas run out."""
    for entry in entries(batch, quotas):
        boundary = boundaries.get(entry.group)
        if boundary is not None and entry.place.startswith(boundary.bin):
            yield entry.group, (entry.place, entry.weight)


def settle(
    of_group: tuple[str, Iterable[tuple[str, int]]],
    quotas: Mapping[str, Quota],
    boundaries: Mapping[str, Boundary],
) -> tuple[str, str]:
    """The group's threshold, from the entries of its boundary bin."""
    group, entries = of_group
    boundary = boundaries[group]
    ordered = sorted(entries)
    if quotas[group].by_weight:
        taken = _nearest([weight for _, weight in ordered], boundary)
    else:
        taken = boundary.left
    if not taken:
        return group, boundary.bin
    return group, ordered[taken - 1][0]


def _nearest(weights: list[int], boundary: Boundary) -> int:
    """How many of the weights add up to what is left, as nearly as they can."""
    total, best = 0, (boundary.left, 0)
    if boundary.first:
        best = (abs(weights[0] - boundary.left), 1)
    for number, weight in enumerate(weights, start=1):
        total += weight
        best = min(best, (abs(total - boundary.left), number))
    return best[1]


def _by_group(name: str, sums: tuple[int, int]) -> tuple[str, tuple[str, int, int]]:
    group, _, number = name.rpartition("\t")
    return group, (number, *sums)
