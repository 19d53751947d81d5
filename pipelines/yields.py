"""What fetching brought, by host: `OUT/yield.json`, and whether links rot or the network fails.

Whether a video that could not be had is gone or was never reached decides what to do about it, and
only many hosts together tell: one silent host is down, a quarter of all hosts is one's own network.
The file is no part of the dataset: no later stage reads it, no digest knows it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa

from formats.fates import Reason
from formats.storage import write_text
from pipelines.batches import WriteCounts
from pipelines.reporting.markup import byte_size
from pipelines.tallies import Tally, count_outcomes, tally_hosts, total

YIELD = "yield.json"
MAX_HOSTS = 1000
"""Hosts that the file names; the rest is summed."""
_NETWORK_HOSTS, _NETWORK_SHARE = 3, 0.25
_MAJORITY_FAILURES = 5


class Verdict(StrEnum):
    """What most failures of a host, or of all, have in common."""

    COMPLETE = "complete"
    LINK_ROT = "link rot"
    OWN_NETWORK = "own network"
    HOST_DOWN = "host down"
    OVERLOADED = "overloaded"
    MIXED = "mixed"


_CAUSES: Mapping[Verdict, tuple[Reason, ...]] = {
    Verdict.HOST_DOWN: (Reason.UNREACHABLE, Reason.TIMEOUT),
    Verdict.LINK_ROT: (Reason.GONE, Reason.DENIED),
    Verdict.OVERLOADED: (Reason.BUSY, Reason.BROKEN_SERVER, Reason.TRUNCATED),
}
_REMEDIES: Mapping[Verdict, str] = {
    Verdict.LINK_ROT: "nothing to do about it",
    Verdict.OWN_NETWORK: "check your network, then run again with RETRY=unreachable,timeout",
    Verdict.HOST_DOWN: "run again later with RETRY=unreachable,timeout",
    Verdict.OVERLOADED: "run again later with RETRY=broken_server,truncated",
    Verdict.MIXED: "the report's table of reasons says what to do about each",
}


@dataclass(frozen=True)
class Yields:
    """The worst hosts, and the sum of all others. Memory is that of the hosts named."""

    worst: tuple[tuple[str, Tally], ...] = ()
    """(host, its tally); those over the limit first, then by failures, then by name."""
    others: Tally = field(default_factory=Tally)
    hosts: int = 0
    hosts_unreached: int = 0
    """Hosts with at least one video `unreachable` or `timeout`."""
    hosts_over_limit: int = 0
    hosts_left_alone: int = 0
    """Hosts that failed so often in a row that some of their videos were not asked for."""

    @property
    def total(self) -> Tally:
        """All hosts together."""
        return total([self.others, *(tally for _, tally in self.worst)])

    @property
    def verdict(self) -> Verdict:
        """What most failures have in common.

        The rule: half of the failures or more, and all of them if they are fewer than five, are of
        one cause, not counting videos that were not asked for because their host failed before.
        `unreachable` and `timeout` are one's own network if a quarter of all hosts, and three at
        least, have such a failure.
        """
        verdict = _cause(self.total)
        enough = max(_NETWORK_HOSTS, _NETWORK_SHARE * self.hosts)
        if verdict is Verdict.HOST_DOWN and self.hosts_unreached >= enough:
            return Verdict.OWN_NETWORK
        return verdict

    def verdict_on(self, tally: Tally) -> Verdict:
        """The same for one host: a silent one is not down while one's own network fails."""
        verdict = _cause(tally)
        own = verdict is Verdict.HOST_DOWN and self.verdict is Verdict.OWN_NETWORK
        return Verdict.OWN_NETWORK if own else verdict


@dataclass
class WriteYields(beam.PTransform):
    """(bucket, {matches, videos}) -> the counts by outcome and the yield by host, as two files.

    What is added up on the way grows with the hosts and the outcomes that they have, never with
    the rows; what one worker holds at the end, and writes, are `MAX_HOSTS` hosts.
    """

    counts: str
    yields: str
    max_host_failed_fraction: float

    def expand(
        self, joined: beam.PCollection[tuple[int, dict[str, Iterable[pa.RecordBatch]]]]
    ) -> beam.PCollection[str]:
        hosts = (
            joined
            | "TallyHosts" >> beam.FlatMapTuple(tally_hosts).with_output_types(tuple[str, Tally])
            | "AddUp" >> beam.CombinePerKey(total)
        )
        counts = hosts | "CountOutcomes" >> beam.FlatMapTuple(count_outcomes)
        _ = counts | "WriteCounts" >> WriteCounts(self.counts)
        return (
            hosts
            | "WorstHosts" >> beam.CombineGlobally(WorstHosts(self.max_host_failed_fraction))
            | "WriteYields" >> beam.Map(write_yields, self.yields)
        )


class WorstHosts(beam.CombineFn):
    """(host, tally), each host once -> Yields. Holds twice `most` hosts."""

    def __init__(self, max_failed_fraction: float, most: int = MAX_HOSTS) -> None:
        self._limit = max_failed_fraction
        self._most = most

    def create_accumulator(self) -> list[Yields]:
        return []

    def add_input(
        self, mutable_accumulator: list[Yields], element: tuple[str, Tally]
    ) -> list[Yields]:
        _, tally = element
        unreached = any(tally.reasons[reason] for reason in _CAUSES[Verdict.HOST_DOWN])
        over = tally.share_failed_is_over(self._limit)
        alone = tally.reasons[Reason.HOST_FAILING] > 0
        one = Yields((element,), Tally(), 1, int(unreached), int(over), int(alone))
        mutable_accumulator.append(one)
        # Many are ranked at once: ranking anew for each host would take longer than the hosts do.
        if len(mutable_accumulator) > self._most:
            return [self.extract_output(mutable_accumulator)]
        return mutable_accumulator

    def merge_accumulators(self, accumulators: Iterable[list[Yields]]) -> list[Yields]:
        merged: list[Yields] = []
        for accumulator in accumulators:
            merged = [self.extract_output([*merged, *accumulator])]
        return merged

    def extract_output(self, accumulator: list[Yields]) -> Yields:
        hosts = sorted((host for part in accumulator for host in part.worst), key=self._rank)
        rest = [tally for _, tally in hosts[self._most :]]
        return Yields(
            tuple(hosts[: self._most]),
            total([*(part.others for part in accumulator), *rest]),
            sum(part.hosts for part in accumulator),
            sum(part.hosts_unreached for part in accumulator),
            sum(part.hosts_over_limit for part in accumulator),
            sum(part.hosts_left_alone for part in accumulator),
        )

    def _rank(self, host: tuple[str, Tally]) -> tuple[bool, int, str]:
        name, tally = host
        return not tally.share_failed_is_over(self._limit), -tally.failures, name


def write_yields(yields: Yields, path: str) -> str:
    """Write the yield for `read_yields`, with its verdicts and its sentence; return the path."""
    content = {
        "sentence": describe(yields),
        "verdict": yields.verdict,
        "hosts": yields.hosts,
        "hosts_unreached": yields.hosts_unreached,
        "hosts_over_limit": yields.hosts_over_limit,
        "hosts_left_alone": yields.hosts_left_alone,
        **_facts(yields.total),
        "worst_hosts": [
            {"host": host, "verdict": yields.verdict_on(tally), **_facts(tally)}
            for host, tally in yields.worst
        ],
        "other_hosts": {"hosts": yields.hosts - len(yields.worst), **_facts(yields.others)},
    }
    write_text(path, json.dumps(content, indent=1) + "\n")
    return path


def read_yields(path: str) -> Yields:
    """What `write_yields` left.

    Raises:
        FileNotFoundError: the job has not fetched yet, or a version before this file did.
    """
    content = json.loads(Path(path).read_text())
    return Yields(
        tuple((host["host"], _tally(host)) for host in content["worst_hosts"]),
        _tally(content["other_hosts"]),
        content["hosts"],
        content["hosts_unreached"],
        content["hosts_over_limit"],
        content["hosts_left_alone"],
    )


def describe(yields: Yields) -> str:
    """The yield in one sentence, with what most failures have in common and what to do."""
    remedy = _REMEDIES.get(yields.verdict)
    return f"{finding(yields)}; {remedy}" if remedy else finding(yields)


def finding(yields: Yields) -> str:
    """The yield, and what most failures have in common."""
    found, verdict = yields.total, yields.verdict
    share = 100 * found.stored / found.videos if found.videos else 0
    says = (
        f"{found.stored:,} of {found.videos:,} videos stored ({share:.1f} %), "
        f"{byte_size(found.source_bytes)} from {counted(yields.hosts, 'host')}"
    )
    if yields.hosts_left_alone:
        says += f", {yields.hosts_left_alone:,} of them left alone after many failures in a row"
    if verdict is Verdict.COMPLETE:
        return says
    if verdict is Verdict.MIXED:
        return f"{says}; {verdict}: most often {most_often(found)}"
    causes = _CAUSES[Verdict.HOST_DOWN if verdict is Verdict.OWN_NETWORK else verdict]
    count = sum(found.reasons[reason] for reason in causes)
    shown = f"{count:,} of {counted(_asked_failures(found), 'failure')} {' or '.join(causes)}"
    if Reason.TIMEOUT in causes:
        shown += f", on {counted(yields.hosts_unreached, 'host')}"
    return f"{says}; {verdict}: {shown}"


def describe_over_limit(yields: Yields, limit: float) -> str | None:
    """Which hosts failed more than they may, in words; None if none did."""
    if not yields.hosts_over_limit:
        return None
    worst = [pair for pair in yields.worst if pair[1].share_failed_is_over(limit)]
    named = "; ".join(
        f"{plain(host)} {tally.failures:,} of {tally.videos:,} ({most_often(tally)}; "
        f"{yields.verdict_on(tally)})"
        for host, tally in worst[:3]
    )
    return (
        f"{counted(yields.hosts_over_limit, 'host')} failed more than "
        f"fetch.max_host_failed_fraction = {limit:g} allows; the worst: {named}"
    )


def most_often(tally: Tally, most: int = 3) -> str:
    """The most frequent reasons with their counts."""
    ranked = sorted(tally.reasons.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count:,}" for reason, count in ranked[:most])


def counted(count: int, noun: str) -> str:
    """A number of things in words.

    >>> counted(1, "host"), counted(2000, "host")
    ('1 host', '2,000 hosts')
    """
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def plain(host: str) -> str:
    r"""A stranger's name in a terminal: one line of ASCII, not too long.

    >>> plain("a\u202e\n")
    'a\\u202e\\n'
    """
    safe = host.encode("unicode_escape").decode("ascii")
    return safe if len(safe) <= 80 else f"{safe[:77]}..."


def _cause(tally: Tally) -> Verdict:
    if not tally.failures:
        return Verdict.COMPLETE
    failures, reasons = _asked_failures(tally), tally.reasons
    counts = {name: sum(reasons[one] for one in causes) for name, causes in _CAUSES.items()}
    worst = max(counts, key=lambda name: counts[name])
    enough = failures if failures < _MAJORITY_FAILURES else failures / 2
    return worst if failures and counts[worst] >= enough else Verdict.MIXED


def _asked_failures(tally: Tally) -> int:
    return tally.failures - tally.reasons[Reason.HOST_FAILING]


def _facts(tally: Tally) -> dict[str, Any]:
    facts = {"videos": tally.videos, "stored": tally.stored, "failures": tally.failures}
    return {**facts, "reasons": dict(sorted(tally.reasons.items())), **asdict(tally)}


def _tally(facts: Mapping[str, Any]) -> Tally:
    names = ("tries", "retries", "source_bytes", "stored_bytes")
    return Tally(facts["outcomes"], *(facts[name] for name in names))
