import itertools
import random
from pathlib import Path

import pytest

from formats.storage import StorageError
from formats.tables import MatchRow, from_batch, read_rows, to_batch
from pipelines.match import row_key
from pipelines.merges import RunWriter, merge_runs, unite

UPLOADERS = ("uploader:abe", "uploader:zoe")


def row(uri: str, video_id: str, *labels: str, uploader: str | None = None) -> MatchRow:
    return MatchRow(row_key(uri), video_id, uri, labels, labels, uploader)


def merged(folder: Path, units: list[list[MatchRow]], buckets: int) -> list[tuple[bytes, int]]:
    runs = []
    for number, rows in enumerate(units):
        with RunWriter(str(folder / f".runs/{number}.arrow"), buckets) as writer:
            for start in range(0, len(rows), 7):
                writer.add(to_batch(rows[start : start + 7], MatchRow))
        runs += writer.runs
    parts = []
    for bucket in range(buckets):
        of_bucket = [run for number, run in runs if number == bucket]
        path, count = merge_runs(bucket, of_bucket, str(folder), buckets)
        parts.append((Path(path).read_bytes(), count))
    return parts


def test_rows_with_one_uri_become_one_whatever_their_order() -> None:
    rows = [
        row("u", "second", "yoga", uploader="z"),
        row("u", "first", "archery", uploader="y"),
        row("u", "third", "yoga"),
        row("w", "other", "yoga"),
    ]
    both, others = ("archery", "yoga"), ("id:second", "id:third", "uploader:z")
    united = MatchRow(row_key("u"), "first", "u", both, both, "y", merged=others)
    expected = sorted([united, rows[3]], key=lambda match: match.row_key)
    for order in (rows, rows[::-1], rows[2:] + rows[:2]):
        assert list(from_batch(unite(to_batch(order, MatchRow)), MatchRow)) == expected


def test_what_one_row_of_a_post_states_another_does_not_hide() -> None:
    rows = [
        MatchRow(row_key("u"), "v", "u", ("yoga",), ("yoga",), None, None),
        MatchRow(row_key("u"), "v", "u", ("yoga",), ("yoga",), "zoe", "CC0"),
        MatchRow(row_key("u"), "v", "u", ("yoga",), ("yoga",), "ann", None),
        MatchRow(row_key("u"), "w", "u", ("yoga",), ("yoga",), "abe", "BY"),
    ]
    expected = MatchRow(
        row_key("u"), "v", "u", ("yoga",), ("yoga",), "ann", "CC0", ("id:w", *UPLOADERS)
    )
    for order in itertools.permutations(rows):
        assert list(from_batch(unite(to_batch(order, MatchRow)), MatchRow)) == [expected]


@pytest.mark.parametrize("buckets", [1, 3])
def test_how_rows_are_spread_over_units_does_not_show_in_the_parts(
    tmp_path: Path, buckets: int
) -> None:
    rng = random.Random(0)
    rows = [row(f"u{rng.randrange(400)}", f"v{n}", rng.choice("ab")) for n in range(900)]
    shuffled = rng.sample(rows, len(rows))
    one = merged(tmp_path / "one", [rows], buckets)
    many = merged(tmp_path / "many", [shuffled[k::5] for k in range(5)] + [[]], buckets)
    assert one == many
    assert sum(count for _, count in one) == 900 - len({match.uri for match in rows})
    written = [
        match
        for part in sorted((tmp_path / "one").glob("part-*.parquet"))
        for match in read_rows(str(part), MatchRow)
    ]
    assert {match.uri for match in written} == {match.uri for match in rows}
    assert len(written) == len({match.uri for match in rows})


def test_a_unit_without_matches_or_one_that_fails_leaves_no_file(tmp_path: Path) -> None:
    with RunWriter(str(tmp_path / "empty.arrow"), 2) as writer:
        writer.add(to_batch([], MatchRow))
    assert writer.runs == []
    many = to_batch([row(f"u{n}", "v", "a") for n in range(70_000)], MatchRow)

    def fail_midway() -> None:
        with RunWriter(str(tmp_path / "x.arrow"), 2) as writer:
            writer.add(many)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_midway()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [3, 70_000])
def test_a_disk_that_refuses_a_unit_is_named(tmp_path: Path, count: int) -> None:
    (tmp_path / "taken").write_text("mine")
    rows = to_batch([row(f"u{n}", "v", "a") for n in range(count)], MatchRow)

    def write() -> None:
        with RunWriter(str(tmp_path / "taken" / "x.arrow"), 2) as writer:
            writer.add(rows)

    with pytest.raises(
        StorageError, match=r"x\.arrow: cannot be written: .*taken is not a directory"
    ):
        write()
    assert (tmp_path / "taken").read_text() == "mine"
