import pytest

from pipelines.judging.precision import (
    VERDICTS,
    SampleFacts,
    measure,
    read_precision,
    say_precision,
    write_precision,
)
from pipelines.reporting.intervals import Stratum, of_sample, of_strata
from pipelines.run import JobError

SIZES = {"near": 40, "middle": 0, "far": 1000, "exact": 3}
PAIRS = {
    **{f"n{i}": "near" for i in range(20)},
    **{f"f{i}": "far" for i in range(17)},
    **{f"e{i}": "exact" for i in range(3)},
}
FACTS = SampleFacts("digest", 0, 8, SIZES, PAIRS)


def verdicts(near: str, far: str = "s" * 17, exact: str = "sss") -> dict[str, str]:
    """One letter a pair: same, different, unsure, or - for none."""
    words = {"s": "same", "d": "different", "u": "unsure"}
    said = zip("n" * len(near) + "f" * len(far) + "e" * len(exact), near + far + exact, strict=True)
    counts: dict[str, int] = {}
    found = {}
    for kind, letter in said:
        number = counts[kind] = counts.get(kind, -1) + 1
        if letter in words:
            found[f"{kind}{number}"] = words[letter]
    return found


def test_each_group_is_measured_by_itself_and_all_by_their_sizes():
    found = measure(FACTS, verdicts("s" * 15 + "d" * 5))
    near, far, exact = found.strata
    assert (near.name, near.removals, near.sampled, near.same, near.different) == (
        *("near", 40, 20),
        *(15, 5),
    )
    assert near.precision == of_sample(Stratum(40, 20, 15))
    assert exact.precision == (1.0, 1.0, 1.0)
    expected = of_strata([Stratum(40, 20, 15), Stratum(1000, 17, 17), Stratum(3, 3, 3)])
    assert found.overall == expected == found.overall_unsure_different
    assert found.overall.share == pytest.approx((40 * 0.75 + 1000 + 3) / 1043)
    assert far.removals == 1000


def test_unsure_pairs_are_left_out_and_their_worst_is_told():
    found = measure(FACTS, verdicts("s" * 10 + "u" * 10))
    assert found.strata[0].precision.share == 1.0
    assert found.strata[0].unsure == 10
    assert found.overall.share == 1.0
    assert found.overall_unsure_different.share == pytest.approx(1 - 20 / 1043)


def test_a_group_without_a_verdict_leaves_no_estimate_over_all(tmp_path):
    found = measure(FACTS, verdicts("s" * 20, far="u" * 17))
    assert found.overall is None
    lines = list(say_precision(found, tmp_path))
    assert lines[1].endswith("1,000 in all): none judged, 17 unsure left out")
    assert lines[3] == "all removals: no estimate, for a group has no verdict"


def test_what_was_measured_is_told_with_its_intervals(tmp_path):
    lines = list(say_precision(measure(FACTS, verdicts("s" * 15 + "d" * 4 + "u")), tmp_path))
    assert lines == [
        "near (closest frame within 8 bits of the limit; 40 in all): 15 of 19 judged right, "
        "precision 78.9 % (95 %: 63.0 to 89.2 %), 1 unsure left out",
        "far (closest frame more than 24 bits below the limit; 1,000 in all): 17 of 17 judged "
        "right, precision 100.0 % (95 %: 81.8 to 100.0 %)",
        "exact (exact copies, by address, id or bytes; 3 in all): 3 of 3 judged right, "
        "precision 100.0 % (all were judged)",
        "all removals, each group weighted by its size: precision 99.2 % (95 %: 81.7 to 99.6 %); "
        "if every unsure one were different, precision 99.0 % (95 %: 81.6 to 99.5 %)",
        "the duplicates have changed since; judge a new sample with `make audit`",
    ]


def test_it_is_read_back_as_it_was_written_and_names_no_video(tmp_path):
    found = measure(FACTS, verdicts("sdu"))
    assert read_precision(tmp_path) is None
    write_precision(tmp_path, found)
    assert read_precision(tmp_path) == found
    assert "n0" not in (tmp_path / VERDICTS).read_text()


@pytest.mark.parametrize("content", ["{", "[]", '{"strata": []}', '{"strata": [{"name": 1}]}'])
def test_a_damaged_file_is_one_clear_sentence(tmp_path, content):
    (tmp_path / "audit").mkdir()
    (tmp_path / VERDICTS).write_text(content)
    with pytest.raises(JobError, match="run make audit again with VERDICTS"):
        read_precision(tmp_path)
