from pathlib import Path

from pipelines.reporting.yield_report import yield_section
from pipelines.tallies import Tally
from pipelines.yields import WorstHosts, Yields, write_yields
from tests.pipelines.test_report import Page

MARKUP = "<script>alert(1)</script>&\"'.test"
REORDERS = "\u202egro.elpmaxe\x00\u2066"
LONG = "x" * 263


def write(out: Path, hosts: dict[str, dict[str, int]]) -> str:
    combine = WorstHosts(1.0)
    found: list[Yields] = combine.create_accumulator()
    for host, outcomes in hosts.items():
        tally = Tally(outcomes, 2 * sum(outcomes.values()), 7, 5_000_000)
        found = combine.add_input(found, (host, tally))
    write_yields(combine.extract_output(found), str(out / "yield.json"))
    return yield_section(str(out))


def test_names_of_strangers_stay_text_and_cannot_reorder_or_flood_the_page(tmp_path: Path) -> None:
    outcomes = {"rejected:gone": 1}
    html = write(tmp_path, dict.fromkeys((MARKUP, REORDERS, LONG), outcomes))
    page = Page(html)
    assert page.tags["script"] == 0 and page.tags["bdi"] == page.tags["tr"] - 1 == 3
    assert MARKUP in page.text
    assert "\x00" not in html and max(map(len, page.words)) < 300
    assert not [name for _, name, _ in page.attributes if name not in ("class",)]


def test_the_worst_hosts_come_first_and_the_others_are_summed(tmp_path: Path) -> None:
    hosts = {f"h{n:02d}": {"stored": 40 - n, "rejected:gone": n} for n in range(30)}
    page = Page(write(tmp_path, {**hosts, "well": {"stored": 1000}}))
    assert page.text.startswith(
        "1,765 of 2,200 videos stored (80.2 %), 155.0 MB from 31 hosts; link rot: 435 of 435 "
        "failures gone or denied; nothing to do about it; no decoder has run."
    )
    cells = page.text.split("Not stored")[1].strip()
    assert cells.startswith("h29 40 11 28% 5.0 MB 7 gone 29 link rot h28 40 12 30%")
    assert cells.endswith("6 other hosts 1,200 1,190 99% 30.0 MB 42 gone 10 link rot")
    assert page.tags["tr"] == 1 + 25 + 1


def test_a_folder_without_a_yield_says_so(tmp_path: Path) -> None:
    assert Page(yield_section(str(tmp_path))).text == "Not counted: there is no yield.json ."
