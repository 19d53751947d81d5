"""One job from the command line against every trap of the web at once, then once all is healed."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from subprocess import CompletedProcess

import pytest

from formats.tables import LedgerRow, VideoRow
from pipelines.identity import row_key
from pipelines.reporting.summary import Summary, summarise
from tests.trials.hostile_answers import MAX_TRIES
from tests.trials.hostile_hosts import Host, Request
from tests.trials.hostile_world import (
    GAP_S,
    HOST_FAILURES,
    PER_HOST,
    UNREACHABLE,
    World,
    hostile_world,
)

pytestmark = pytest.mark.trial

DELAY_S = 0.4
# What the server sees late, where a request was sent in time.
JITTER_S = 0.3
STARTED = ("well", "answers", "bodies", "slow", "rules", "closed", "bursts", "sick", "shut")


@dataclass
class Run:
    """What one run of the command left and was seen to do."""

    done: CompletedProcess[str]
    videos: list[VideoRow]
    ledger: list[LedgerRow]
    summary: Summary
    logs: dict[str, list[Request]]


def run(world: World) -> Run:
    done = world.run()
    assert done.returncode == 0, done.stderr + done.stdout
    logs = {name: host.log for name, host in world.hosts.items()}
    return Run(done, world.videos(), world.ledger(), summarise(str(world.folder / "out")), logs)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with hostile_world(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest.fixture(scope="module")
def first(world: World) -> Run:
    return run(world)


@pytest.fixture(scope="module")
def second(world: World, first: Run) -> Run:
    """The same command, once every host that still listens is well."""
    for host in world.hosts.values():
        host.heal(world.video)
    return run(world)


def outcomes(ledger: list[LedgerRow]) -> dict[str, str]:
    return {row.row_key: f"{row.fate}:{row.reason}" if row.reason else row.fate for row in ledger}


def differences(world: World, found: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """URI -> outcome, of the rows that did not come out as they must."""
    got = {uri: found.get(row_key(uri), "no row") for uri in world.expected}
    return {uri[:80]: one for uri, one in got.items() if one not in wanted[uri].split()}


def test_every_row_has_exactly_the_fate_and_the_reason_that_it_must(world, first):
    assert differences(world, outcomes(first.ledger), world.expected) == {}
    assert len(first.ledger) == len(world.expected) == len(outcomes(first.ledger))
    sick = Counter(outcomes(first.ledger)[row_key(uri)] for uri in sick_uris(world))
    assert set(sick) == {"rejected:broken_server", "retry_later:host_failing"}


def test_rows_in_are_fates_out(world, first):
    fates = {name: count for name, count in first.summary.fates.items() if count}
    assert first.summary.catalog_rows == len(world.expected) + 3 == sum(fates.values())
    kinds = Counter(row.fate for row in first.ledger)
    assert fates == {**kinds, "merged": 1, "unmatched": 1, "unreadable": 1}


def test_no_row_is_there_twice_and_nothing_stored_is_no_video(world, first):
    for key, count in Counter(row.row_key for row in first.videos).items():
        assert count == 1, key
    stored = {row.row_key: row for row in first.videos if row.status == "stored"}
    clips = [uri for uri, outcome in world.expected.items() if outcome == "clip"]
    assert stored.keys() == {row_key(uri) for uri in clips}
    for uri in clips:
        wanted = sha256(world.sources[uri]).hexdigest()
        assert (uri, stored[row_key(uri)].source_sha256) == (uri, wanted)
        assert stored[row_key(uri)].frames == 15
    said = world.command("verify")
    assert said.returncode == 0 and "all as written" in said.stdout


def test_each_path_is_asked_for_as_often_as_it_may(world, first):
    tries = {row.row_key: row.tries for row in first.videos}
    wrong = {}
    for name, host in world.hosts.items():
        for case in host.cases:
            uri, asked = host.uri(case.path), count(first, name, case.path)
            # Where it is not known before, each request was one of the row's tries, and told.
            wanted = tries[row_key(uri)] if case.requests is None else case.requests
            if asked != wanted or (case.requests is None and asked > MAX_TRIES):
                wrong[uri] = (asked, wanted)
    assert wrong == {}
    assert min(count(first, "slow", f"/{name}.mp4") for name in ("silence", "half")) >= 2
    led_astray = [case for case in world.hosts["answers"].cases if case.outcome == UNREACHABLE]
    assert len(led_astray) == 2
    assert min(count(first, "answers", case.path) for case in led_astray) >= 1
    assert not any("goal" in request.path for request in first.logs["rules"])
    assert count(first, "well", "/0.mp4?x") == 0


def test_nobody_connects_where_nobody_may(world, first):
    assert world.watcher.count() == 0
    tries = {row.row_key: row.tries for row in first.videos}
    asked = {uri for host in world.hosts.values() for uri in uris(host)}
    ends = {"rejected:denied_address", "rejected:bad_uri", "rejected:source_not_allowed"}
    unasked = [uri for uri, end in world.expected.items() if end in ends and uri not in asked]
    assert [uri for uri in unasked if "://" in uri and tries[row_key(uri)]] == []


def test_robots_txt_is_asked_for_once_and_first(world, first):
    for name, log in first.logs.items():
        asked = [number for number, request in enumerate(log) if request.path == "/robots.txt"]
        if name == "closed":
            # One round of tries, and one a minute later if there are rows left.
            assert len(asked) == len(log) and MAX_TRIES <= len(log) <= MAX_TRIES + 1
        elif name == "sick":
            assert asked == list(range(6))  # It leads to itself.
        else:
            assert asked == [0], name
        assert all(request.headers["User-Agent"].startswith("Tagreel/") for request in log)


@pytest.mark.parametrize("name", STARTED)
def test_a_host_never_has_more_requests_at_once_than_allowed(first, name):
    assert max(request.at_once for request in first.logs[name]) <= PER_HOST


@pytest.mark.parametrize("name", STARTED)
def test_requests_to_a_host_keep_their_distance(first, name):
    begins = sorted(request.begin for request in first.logs[name])
    gap_s = DELAY_S if name == "rules" else GAP_S
    if name == "rules":
        begins = begins[1:]  # The answer to the first says how long.
    close = [
        (number, later)
        for number in range(len(begins))
        for later in range(number + 1, len(begins))
        if begins[later] - begins[number] < (later - number) * gap_s - JITTER_S
    ]
    assert close == []


def test_a_host_that_asks_for_time_gets_it(first):
    log = sorted(first.logs["bursts"], key=lambda request: request.begin)
    refused = [request for request in log if request.status == 429]
    assert len(refused) >= 4
    for refusal in refused:
        # One that was under way already may arrive after the answer has been sent.
        within = [r for r in log if refusal.end < r.begin < refusal.end + 1.0]
        assert len(within) < PER_HOST
    shut = [request for request in first.logs["shut"] if request.path != "/robots.txt"]
    assert 1 <= len(shut) <= PER_HOST


def test_a_host_that_always_fails_is_given_up(first):
    asked = sum(request.path != "/robots.txt" for request in first.logs["sick"])
    assert HOST_FAILURES <= asked <= HOST_FAILURES + PER_HOST + 1


def test_good_hosts_are_done_long_before_the_bad_ones(first):
    """What a host that works is asked for does not wait for what others are waited for."""
    last = max(request.begin for request in first.logs["well"])
    slow = sorted(request.begin for request in first.logs["slow"])
    assert sum(begin > last for begin in slow) >= 2


def test_nothing_is_left_lying_about_and_nothing_looks_like_a_bug(world, first):
    assert list((world.folder / "tmp").iterdir()) == []
    assert not list((world.folder / "out").rglob("*.tmp"))
    assert "Traceback" not in first.done.stderr
    assert not (world.folder / "catalog" / "x").exists()


def test_the_same_command_later_asks_only_for_what_was_put_off(world, first, second):
    before = outcomes(first.ledger)
    put_off = {uri for uri in world.expected if before[row_key(uri)].startswith("retry_later")}
    asked = {
        host.uri(request.path)
        for name, host in world.hosts.items()
        for request in second.logs[name]
        if request.path != "/robots.txt"
    }
    ends = {uri for uri in put_off if not any(uri in uris(h) for h in world.hosts.values())}
    assert asked == put_off - ends and len(ends) == 6
    wanted = {uri: before[row_key(uri)] for uri in world.expected} | dict.fromkeys(asked, "clip")
    assert differences(world, outcomes(second.ledger), wanted) == {}
    fates = second.summary.fates
    assert (fates["retry_later"], fates["clip"]) == (6, first.summary.fates["clip"] + len(asked))
    assert world.command("verify").returncode == 0


def count(found: Run, name: str, path: str) -> int:
    return sum(request.path == path for request in found.logs[name])


def uris(host: Host) -> set[str]:
    return {host.uri(case.path) for case in host.cases}


def sick_uris(world: World) -> set[str]:
    return uris(world.hosts["sick"])
