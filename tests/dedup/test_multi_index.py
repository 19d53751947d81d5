import numpy as np
import pytest

from dedup.multi_index import TABLES, Table, build_table, candidates, check_table


def random_codes(count: int, *, rng_seed: int = 0) -> np.ndarray:
    return np.random.default_rng(rng_seed).integers(0, 256, (count, 32), dtype=np.uint8)


def few_words(count: int) -> np.ndarray:
    """Codes whose words are nearly all one of a few, as those of real frames are."""
    rng = np.random.default_rng(1)
    codes = random_codes(4)[rng.integers(0, 4, count)]
    codes[:, rng.integers(0, 32, 3)] ^= rng.integers(0, 256, (count, 3), dtype=np.uint8)
    return codes


def bits(codes: np.ndarray, number: int) -> np.ndarray:
    return np.unpackbits(codes, axis=1)[:, number * 24 : number * 24 + 24]


def found(tables: list[Table], queries: np.ndarray) -> set[tuple[int, int]]:
    pairs = candidates(tables, queries)
    return {pair for query, row in pairs for pair in zip(query.tolist(), row.tolist(), strict=True)}


@pytest.mark.parametrize("make", [random_codes, few_words])
def test_candidates_are_the_rows_with_a_word_that_differs_by_one_bit_at_most(make):
    codes = make(700)
    queries = np.concatenate([random_codes(5, rng_seed=9), codes[:40]])
    queries[5:] ^= np.random.default_rng(2).integers(0, 2, (40, 32), dtype=np.uint8)
    wanted: set[tuple[int, int]] = set()
    for number in range(TABLES):
        differing = bits(queries, number)[:, None] != bits(codes, number)[None]
        close = {(q, r) for q, r in np.argwhere(differing.sum(axis=2) <= 1).tolist()}
        assert close
        wanted |= close
        assert found([build_table(codes, n) for n in range(number + 1)], queries) == wanted


def test_more_candidates_than_are_handed_over_at_once_are_all_handed_over():
    codes = random_codes(1).repeat(2000, axis=0)
    tables = [build_table(codes, number) for number in (0, 1)]
    pairs = list(candidates(tables, codes[:300]))
    assert sum(len(query) for query, _ in pairs) == 2 * 300 * 2000
    assert max(len(query) for query, _ in pairs) <= 2**18
    assert found(tables, codes[:300]) == {(q, r) for q in range(300) for r in range(2000)}


def test_no_rows_and_no_queries_give_no_candidates():
    empty = build_table(random_codes(0), 0)
    check_table(empty, 0)
    assert found([empty], random_codes(3)) == set()
    assert found([build_table(random_codes(3), 0)], random_codes(0)) == set()


def test_a_table_that_would_point_elsewhere_is_refused():
    codes = random_codes(9)
    table = build_table(codes, 3)
    check_table(table, 9)
    for wrong in (
        table._replace(rows=table.rows + np.uint32(1)),
        table._replace(starts=table.starts[:-1]),
        table._replace(starts=table.starts[::-1]),
        table._replace(starts=np.array([0, 5, 4, *range(3, 10)], np.uint32)),
        table._replace(before=table.before + np.uint32(1)),
        table._replace(used=table.used & np.uint64(0)),
    ):
        with pytest.raises(ValueError, match="a table"):
            check_table(wrong, 9)
    with pytest.raises(ValueError, match="begin or end elsewhere"):
        check_table(table, 8)
