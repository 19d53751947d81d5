import datetime
import random

import pyarrow as pa
import pytest

from pipelines.readers.lengths import to_seconds

READ = {
    "90": 90,
    " 1.5 ": 1.5,
    "1e2": 100,
    "600 s": 600,
    "600s": 600,
    "600 Sec": 600,
    "1 second": 1,
    "2.5 seconds": 2.5,
    "600,0": 600,
    "0,125": 0.125,
    "12,5 s": 12.5,
    "0:10:00": 600,
    "00:10:00.25": 600.25,
    "1:2:3,5": 3723.5,
    "100:00:00": 360_000,
    "1:30": 90,
    "90:00": 5400,
    "0 days 00:10:00": 600,
    "1 day, 0:00:01": 86_401,
    "PT1M30S": 90,
    "pt10m": 600,
    "PT0.5S": 0.5,
    "P1DT2H": 93_600,
    "P0D": 0,
}
NO_LENGTHS = [
    *("soon", "1:60", "1:2:60", "1:2:3:4", ":30", "1:", "10 min", "PT", "P", "P1Y", "P1DT", "1 2"),
    *("1,200", "1.2.3", "true", "inf", "1e999", "s", "--1", "12 s s", "0x10", "1_0", b"\xff"),
]
UNSTATED = [None, "", " ", "nan", "NaN", "null", "None", "N/A", "-", "\\N"]


def test_lengths_are_read_in_every_form_that_is_usual() -> None:
    seconds, none = to_seconds(pa.array(list(READ)), len(READ))
    assert dict(zip(READ, seconds.to_pylist(), strict=True)) == READ
    assert not none.any()


def test_what_is_stated_and_no_length_is_told_from_what_is_not_stated() -> None:
    values = [*NO_LENGTHS, *UNSTATED]
    seconds, none = to_seconds(pa.array(values, pa.binary()), len(values))
    told = dict(zip(values, none.tolist(), strict=True))
    # A part of ISO 8601 may be empty; "P1DT" is a day all the same.
    assert [value for value, is_none in told.items() if not is_none] == ["P1DT", *UNSTATED]
    assert seconds.drop_null().to_pylist() == [86_400]


@pytest.mark.parametrize("rng_seed", range(20))
def test_what_python_writes_of_a_length_is_that_length(rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    lengths = [
        datetime.timedelta(milliseconds=rng.randrange(10 ** rng.randrange(1, 10)))
        for _ in range(50)
    ]
    seconds, none = to_seconds(pa.array([str(length) for length in lengths]), 50)
    assert seconds.to_pylist() == pytest.approx([length.total_seconds() for length in lengths])
    assert not none.any()


@pytest.mark.parametrize(
    ("array", "expected", "no_lengths"),
    [
        (pa.array([90, None], pa.duration("s")), [90, None], [False, False]),
        (pa.array([90_500_000, 1], pa.duration("us")), [90.5, 1e-6], [False, False]),
        (pa.array([90_000_000_000], pa.duration("ns"))[:1], [90], [False]),
        (pa.array([None, 90_500], pa.time32("ms"))[1:], [90.5], [False]),
        (pa.array([90], pa.time32("s")), [90], [False]),
        (pa.array([90_000_000_000], pa.time64("ns")), [90], [False]),
        (pa.array([1, None, 2**40]), [1, None, 2**40], [False] * 3),
        (
            pa.array([1.5, float("nan"), None, float("inf")]),
            [1.5, *[None] * 3],
            [False] * 3 + [True],
        ),
        (pa.array([True, None]), [None, None], [True, False]),
        (pa.array([[1], None]), [None, None], [True, False]),
        (pa.array(["1:00", "x", None]).dictionary_encode(), [60, None, None], [False, True, False]),
        (pa.nulls(2), [None, None], [False, False]),
        (None, [None], [False]),
        (pa.array([], pa.string()), [], []),
    ],
    ids=lambda value: str(getattr(value, "type", "")),
)
def test_values_of_every_type_are_lengths_or_not(
    array: pa.Array | None, expected: list[float | None], no_lengths: list[bool]
) -> None:
    seconds, none = to_seconds(array, len(expected))
    assert (seconds.type, seconds.to_pylist(), none.tolist()) == (
        pa.float64(),
        expected,
        no_lengths,
    )
