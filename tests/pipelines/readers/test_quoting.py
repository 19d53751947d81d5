import random

import numpy as np
import pytest

from pipelines.readers.quoting import RecordSplitter, is_malformed

CSV = RecordSplitter(b",", 3)
TSV = RecordSplitter(b"\t", 2)


def records(splitter: RecordSplitter, data: bytes, final: bool = True) -> list[bytes]:
    ends = splitter.split(data, final).ends.tolist()
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_a_line_end_in_quotes_ends_no_record() -> None:
    data = b'a,"b\n""c"",\r",d\r\n"\n"\r"",x\n'
    assert records(CSV, data) == [b'a,"b\n""c"",\r",d\r\n', b'"\n"\r', b'"",x\n']
    assert CSV.split(data, True).fields.tolist() == [3, 1, 2]


def test_what_more_text_may_change_is_left() -> None:
    assert records(CSV, b'a\nb\r\nc,"d\n"', final=False) == [b"a\n", b"b\r\n"]
    assert records(CSV, b"a\nb\r", final=False) == [b"a\n"]
    assert records(CSV, b'a\n"b\n', final=False) == [b"a\n"]
    assert records(CSV, b'"a" b\n"c\n', final=False) == [b'"a" b\n']


def test_the_first_line_of_a_record_with_a_malformed_quote_is_broken() -> None:
    split = CSV.split(b'a,"b\nc" d\ne\n"f\n', True)
    assert split.ends.tolist() == [5, 10, 12, 15]
    assert dict(split.reasons) == {0: "a quote is followed by text", 3: "a quote never closes"}


def test_a_quote_that_closes_too_late_never_closes() -> None:
    splitter = RecordSplitter(b",", 3, quoted_bytes=8)
    split = splitter.split(b'"123456"\n"1234567"\n"123456\n"\n', True)
    assert split.ends.tolist() == [9, 19, 27, 29]
    assert dict(split.reasons) == {
        1: "a quote never closes",
        2: "a quote never closes",
        3: "a quote never closes",
    }
    assert splitter.split(b'"12345\n', False).ends.tolist() == []
    assert splitter.split(b'"1234567\n', False).ends.tolist() == [9]


def test_a_line_with_far_too_many_fields_is_counted() -> None:
    data = b'"a" b\n' + b"," * 1000 + b"\n"
    assert CSV.split(data, True).fields.tolist()[1] == 1001


def test_tab_separated_lines_that_are_rows_by_themselves_are_rows() -> None:
    split = TSV.split(b'1\t"a\n2\tb"\n3\t"c\nd"\n4\t"e" f\n', True)
    assert split.ends.tolist() == [5, 10, 18, 26]
    assert (sorted(split.literal), dict(split.reasons)) == ([0, 1, 3], {})


@pytest.mark.parametrize("rng_seed", range(40))
def test_text_in_order_is_cut_up_the_same_where_a_fault_follows(rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    bits = [b'"x\r\ny"', b'"a""b"', b'""', b'""""', b"plain", b"", b'5" pipe', b'"\r"']
    in_order = [bit for bit in bits if b" " not in bit]
    lines = (
        b",".join(rng.choice(in_order) for _ in range(rng.randrange(1, 5)))
        + rng.choice([b"\n", b"\r\n"])
        for _ in range(30)
    )
    data = b"".join(lines)
    whole, faulty = CSV.split(data, True), CSV.split(data + b'"a" b\n', True)
    np.testing.assert_array_equal(faulty.ends[:-1], whole.ends)
    np.testing.assert_array_equal(faulty.fields[:-1], whole.fields)
    assert (dict(whole.reasons), list(faulty.reasons)) == ({}, [len(whole.ends)])


def test_a_field_is_malformed_if_its_first_quote_is_not_closed_by_its_last() -> None:
    fields = [b'"', b'"a" b', b'"a""', b'"a"', b'""', b'a"b', b""]
    assert [is_malformed(field) for field in fields] == [
        True,
        True,
        True,
        False,
        False,
        False,
        False,
    ]
