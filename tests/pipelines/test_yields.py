import json
import random
from pathlib import Path

import pytest

from pipelines.tallies import Tally, total
from pipelines.yields import (
    Verdict,
    WorstHosts,
    Yields,
    describe,
    describe_over_limit,
    plain,
    read_yields,
    write_yields,
)


def yields_of(
    hosts: dict[str, dict[str, int]], limit: float = 1.0, most: int = 1000, parts: int = 1
) -> Yields:
    """As an engine combines them: in several parts, in any order."""
    combine = WorstHosts(limit, most)
    accumulators = [combine.create_accumulator() for _ in range(parts)]
    for number, (host, outcomes) in enumerate(hosts.items()):
        part = number % parts
        tally = Tally(outcomes, sum(outcomes.values()))
        accumulators[part] = combine.add_input(accumulators[part], (host, tally))
    return combine.extract_output(combine.merge_accumulators(accumulators))


def test_the_worst_hosts_are_named_and_the_others_summed_in_whatever_order_they_come() -> None:
    hosts = {f"h{n:03d}": {"stored": 100 - n, "rejected:gone": n} for n in range(100)}
    expected = yields_of(hosts, most=3)
    assert [host for host, _ in expected.worst] == ["h099", "h098", "h097"]
    assert (expected.hosts, expected.total.videos) == (100, 10_000)
    assert expected.others.outcomes == {
        "stored": sum(100 - n for n in range(97)),
        "rejected:gone": sum(range(97)),
    }
    for seed in range(5):
        names = list(hosts)
        random.Random(seed).shuffle(names)
        assert yields_of({n: hosts[n] for n in names}, most=3, parts=1 + seed) == expected


def test_a_host_over_its_limit_is_named_however_many_fail_more_often_below_it() -> None:
    hosts = {f"big{n}": {"stored": 1000, "rejected:gone": 900} for n in range(10)}
    hosts["small"] = {"stored": 1, "rejected:denied": 19}
    hosts["too small to tell"] = {"rejected:denied": 19}
    yields = yields_of(hosts, limit=0.9, most=2)
    assert yields.hosts_over_limit == 1 and yields.worst[0][0] == "small"
    assert describe_over_limit(yields, 0.9) == (
        "1 host failed more than fetch.max_host_failed_fraction = 0.9 allows; the worst: "
        "small 19 of 20 (denied 19; link rot)"
    )
    assert describe_over_limit(yields_of(hosts, limit=1.0), 1.0) is None


GONE, SILENT = {"stored": 8, "rejected:gone": 2}, {"stored": 8, "rejected:timeout": 2}
FINE = {"stored": 10}


@pytest.mark.parametrize(
    ("hosts", "verdict"),
    [
        ([FINE] * 4, Verdict.COMPLETE),
        ([FINE, GONE, GONE], Verdict.LINK_ROT),
        # Of a few failures half say nothing; half of five or more do.
        ([{"rejected:denied": 1, "rejected:not_video": 1}], Verdict.MIXED),
        ([{"stored": 3, "rejected:unreachable": 1, "rejected:too_short": 1}], Verdict.MIXED),
        ([{"rejected:denied": 3, "rejected:not_video": 2}], Verdict.LINK_ROT),
        # One host that is silent is down; three in four that are: one's own network.
        ([FINE, FINE, FINE, SILENT], Verdict.HOST_DOWN),
        ([FINE, SILENT, SILENT, SILENT], Verdict.OWN_NETWORK),
        ([FINE, SILENT, SILENT], Verdict.HOST_DOWN),
        # Dead hosts in a long tail are no sign of one's own network.
        ([FINE] * 17 + [SILENT] * 3, Verdict.HOST_DOWN),
        ([FINE] * 9 + [SILENT] * 3, Verdict.OWN_NETWORK),
        ([{"rejected:unreachable": 2}, *[GONE] * 9], Verdict.LINK_ROT),
        # What was not asked for says nothing; what was asked for before does.
        ([{"rejected:unreachable": 2, "retry_later:host_failing": 90}] * 3, Verdict.OWN_NETWORK),
        ([{"retry_later:host_failing": 90}], Verdict.MIXED),
        ([{"retry_later:busy": 4, "rejected:gone": 1}], Verdict.OVERLOADED),
        ([{"rejected:gone": 2, "rejected:not_video": 3, "rejected:timeout": 2}], Verdict.MIXED),
        ([], Verdict.COMPLETE),
    ],
)
def test_link_rot_is_told_from_ones_own_network(
    hosts: list[dict[str, int]], verdict: Verdict
) -> None:
    assert yields_of({f"h{n}": one for n, one in enumerate(hosts)}).verdict is verdict


def test_a_silent_host_is_not_called_down_while_ones_own_network_fails() -> None:
    network = yields_of({"a": SILENT, "b": SILENT, "c": SILENT, "d": {"rejected:gone": 1}})
    assert [network.verdict_on(tally) for _, tally in network.worst] == [
        *[Verdict.OWN_NETWORK] * 3,
        Verdict.LINK_ROT,
    ]
    alone = yields_of({"a": SILENT, "b": FINE})
    assert [alone.verdict_on(tally) for _, tally in alone.worst] == [
        Verdict.HOST_DOWN,
        Verdict.COMPLETE,
    ]


@pytest.mark.parametrize(
    ("hosts", "says"),
    [
        (
            {"a": FINE},
            "10 of 10 videos stored (100.0 %), 0 bytes from 1 host",
        ),
        (
            {"a": FINE, "b": GONE},
            "18 of 20 videos stored (90.0 %), 0 bytes from 2 hosts; link rot: 2 of 2 failures gone "
            "or denied; nothing to do about it",
        ),
        (
            {"a": SILENT, "b": SILENT, "c": SILENT},
            "24 of 30 videos stored (80.0 %), 0 bytes from 3 hosts; own network: 6 of 6 failures "
            "unreachable or timeout, on 3 hosts; check your network, then run again with "
            "RETRY=unreachable,timeout",
        ),
        (
            {"a": {"rejected:not_video": 2, "rejected:empty": 1, "rejected:gone": 1}},
            "0 of 4 videos stored (0.0 %), 0 bytes from 1 host; mixed: most often not_video 2, "
            "empty 1, gone 1; the report's table of reasons says what to do about each",
        ),
        (
            {"a": {"stored": 1, "retry_later:busy": 20, "retry_later:host_failing": 79}, "b": FINE},
            "11 of 110 videos stored (10.0 %), 0 bytes from 2 hosts, 1 of them left alone after "
            "many failures in a row; overloaded: 20 of 20 failures busy or broken_server or "
            "truncated; run again later with RETRY=broken_server,truncated",
        ),
        ({}, "0 of 0 videos stored (0.0 %), 0 bytes from 0 hosts"),
    ],
)
def test_the_yield_is_one_sentence(hosts: dict[str, dict[str, int]], says: str) -> None:
    assert describe(yields_of(hosts)) == says


def test_what_is_written_is_read_back_and_adds_up(tmp_path: Path) -> None:
    hosts = {"\u202eevil\n<b>": {"rejected:gone": 4}, "b": GONE, "c": FINE, "d": SILENT}
    yields = yields_of(hosts, most=2)
    path = write_yields(yields, str(tmp_path / "yield.json"))
    assert read_yields(path) == yields
    text = Path(path).read_text()
    assert text.isascii()
    content = json.loads(text)
    assert content["reasons"] == {"gone": 6, "timeout": 2}
    assert (content["videos"], content["stored"], content["hosts"]) == (34, 26, 4)
    worst, others = content["worst_hosts"], content["other_hosts"]
    assert [(one["host"], one["verdict"], one["reasons"]) for one in worst] == [
        ("\u202eevil\n<b>", "link rot", {"gone": 4}),
        ("b", "link rot", {"gone": 2}),
    ]
    assert (others["hosts"], others["videos"], others["reasons"]) == (2, 20, {"timeout": 2})
    assert content["videos"] == others["videos"] + sum(one["videos"] for one in worst)


def test_a_strangers_name_cannot_write_to_the_terminal() -> None:
    assert plain("\x1b[2J\u202e") == r"\x1b[2J\u202e"
    assert len(plain("a" * 300)) == 80


def test_the_sum_of_nothing_is_nothing() -> None:
    assert total([]) == Tally()
