import random

import pytest

from pipelines.reporting.intervals import Estimate, Stratum, of_sample, of_strata, wilson


@pytest.mark.parametrize(
    ("successes", "total", "interval"),
    # Newcombe (1998), table I, method 3; the last mirrors the third.
    [
        (81, 263, (0.2553, 0.3662)),
        (15, 148, (0.0624, 0.1605)),
        (0, 20, (0.0, 0.1611)),
        (1, 29, (0.0061, 0.1718)),
        (20, 20, (0.8389, 1.0)),
    ],
)
def test_the_interval_is_that_of_the_books(
    successes: int, total: int, interval: tuple[float, float]
) -> None:
    assert wilson(successes, total) == pytest.approx(interval, abs=0.00006)


def test_a_sample_of_an_endless_population_has_the_interval_of_the_books() -> None:
    found = of_sample(Stratum(size=10**9, sampled=29, successes=1))
    assert found == pytest.approx((1 / 29, *wilson(1, 29)), abs=1e-6)


def test_the_more_of_a_population_is_sampled_the_narrower_the_interval() -> None:
    widths = [
        found.high - found.low
        for found in (of_sample(Stratum(size, 20, 19)) for size in (2000, 100, 30, 21, 20))
    ]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0
    assert len(set(widths)) == 5


def test_one_stratum_is_its_own_estimate() -> None:
    stratum = Stratum(size=100, sampled=10, successes=7)
    assert of_strata([stratum, Stratum(0, 0, 0)]) == pytest.approx(of_sample(stratum))


def test_strata_count_by_their_size_and_not_by_what_was_sampled() -> None:
    found = of_strata([Stratum(100, 50, 25), Stratum(900, 10, 10)])
    assert found is not None
    assert found.share == pytest.approx(0.1 * 0.5 + 0.9 * 1.0)
    # Ten out of ten right is no proof: the bound stays clear of the share.
    assert found.low < 0.75 and found.high < 1.0


def test_the_interval_of_strata_holds_the_truth_about_as_often_as_it_says() -> None:
    draw = random.Random(5)
    truth = {1000: 0.6, 9000: 0.97}
    share = sum(size * right for size, right in truth.items()) / 10_000
    held = 0
    for _ in range(400):
        strata = [
            Stratum(size, 25, sum(draw.random() < right for _ in range(25)))
            for size, right in truth.items()
        ]
        found = of_strata(strata)
        assert found is not None
        held += found.low <= share <= found.high
    assert held / 400 >= 0.93


def test_nothing_is_said_where_a_stratum_has_no_sample() -> None:
    assert of_strata([Stratum(10, 5, 5), Stratum(1, 0, 0)]) is None
    assert of_strata([]) is None
    assert of_strata([Stratum(3, 3, 3)]) == Estimate(1.0, 1.0, 1.0)
