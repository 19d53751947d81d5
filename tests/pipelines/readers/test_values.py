import uuid

import numpy as np
import pyarrow as pa
import pytest

from pipelines.readers.values import is_textual, item_type, to_lists, to_numbers, to_texts


def test_a_value_that_is_not_utf8_is_told_from_a_null() -> None:
    texts, broken = to_texts(pa.array([b"a", None, b"\xff", "\u00e9".encode()]), 4)
    assert (texts.to_pylist(), broken.tolist()) == (
        ["a", None, None, "\u00e9"],
        [False, False, True, False],
    )


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.binary(1),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
    ids=str,
)
def test_texts_of_every_type_are_texts_also_in_a_slice(kind: pa.DataType) -> None:
    array = pa.array(["x", "a", None], kind)[1:]
    texts, broken = to_texts(array, 2)
    assert (texts.type, texts.to_pylist(), broken.any()) == (pa.string(), ["a", None], False)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.string_view()),
        pa.large_list(pa.string()),
        pa.list_view(pa.string()),
        pa.large_list_view(pa.large_string()),
        pa.list_(pa.string(), 2),
        pa.list_(pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=str,
)
def test_lists_of_every_type_are_lists_also_in_a_slice(kind: pa.DataType) -> None:
    array = pa.array([["x", "y"], ["a", "b"], None, ["c", None]], kind)[1:]
    lists, broken = to_lists(array, 3)
    assert lists.type == pa.list_(pa.string())
    assert (lists.to_pylist(), broken.any()) == ([["a", "b"], None, ["c"]], False)


def test_numbers_in_lists_are_texts() -> None:
    lists, _ = to_lists(pa.array([[1, 2], [], None]), 3)
    assert lists.to_pylist() == [["1", "2"], [], None]


def test_whole_floats_lose_their_point_and_huge_ones_keep_their_exponent() -> None:
    texts, _ = to_texts(pa.array([123456789012.0, 0.5, 1e300, float("nan"), float("inf")]), 5)
    assert texts.to_pylist() == ["123456789012", "0.5", "1e+300", None, "inf"]


def test_what_is_absent_or_of_an_odd_type_is_null() -> None:
    for array in (None, pa.array([True, False]), pa.array([{"a": 1}, None]), pa.nulls(2)):
        texts, broken = to_texts(array, 2)
        assert (texts.to_pylist(), broken.tolist()) == ([None, None], [False, False])
        assert to_numbers(array, 2).to_pylist() == [None, None]
    assert to_lists(None, 2)[0].to_pylist() == [None, None]


def test_numbers_are_read_out_of_texts() -> None:
    array = pa.array(
        [" 1.5 ", "-2e-3", "+.5", "1_0", "0x1", "1e999", "9" * 50, None, b"\xff"], pa.binary()
    )
    expected = [1.5, -0.002, 0.5, *[None] * 6]
    assert to_numbers(array, 9).to_pylist() == expected


def test_uuids_are_their_texts_also_in_a_slice_or_a_list() -> None:
    ids = [uuid.UUID(int=number * 2**120 + 255) for number in range(3)]
    stored = pa.array([ids[0].bytes, ids[1].bytes, None, ids[2].bytes], pa.binary(16))
    array = pa.ExtensionArray.from_storage(pa.uuid(), stored)
    expected = [str(ids[1]), None, str(ids[2])]
    assert to_texts(array[1:], 3)[0].to_pylist() == expected
    assert to_texts(array[2:3], 1)[0].to_pylist() == [None]
    assert to_texts(array[:0], 0)[0].to_pylist() == []
    lists = pa.ListArray.from_arrays(pa.array([0, 2, 4], pa.int32()), array)
    assert to_lists(lists, 2)[0].to_pylist() == [[str(ids[0]), str(ids[1])], [str(ids[2])]]
    assert is_textual(pa.uuid())


def test_types_are_told_apart_under_a_dictionary_or_an_extension() -> None:
    assert is_textual(pa.dictionary(pa.int8(), pa.string())) and is_textual(pa.json_())
    assert not is_textual(pa.list_(pa.string())) and not is_textual(pa.date32())
    assert item_type(pa.list_(pa.int8())) == pa.int8() and item_type(pa.string()) is None
    texts, _ = to_texts(pa.ExtensionArray.from_storage(pa.json_(), pa.array(["a"])), 1)
    np.testing.assert_array_equal(texts.to_pylist(), ["a"])
