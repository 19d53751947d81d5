import hashlib
import json
import random
from pathlib import Path

import numpy as np
import pytest

from dedup.index_file import IndexFileError, map_index_file, write_index_file

START = b"tagreel target index 2 "
REFUSED = "not a target index|cut short or altered|cannot be read as a target index"


def arrays(rows: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "codes": rng.integers(0, 256, (rows, 32), dtype=np.uint8),
        "second": np.arange(rows, dtype=np.float32),
        "none": np.empty((0, 3), np.int16),
    }


def signed(length: object, rest: bytes) -> bytes:
    """A file with a right checksum over whatever follows."""
    rest = f" {length:>020}\n".encode() + rest
    return START + hashlib.sha256(rest).hexdigest().encode() + rest


def test_what_was_written_is_mapped_read_only(tmp_path: Path):
    path, wanted = tmp_path / "index", arrays(5)
    write_index_file(str(path), {"videos": ["\u00e9"]}, wanted.items())
    facts, found = map_index_file(str(path))
    assert facts == {"videos": ["\u00e9"]}
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype
        assert not found[name].flags.writeable


def test_equal_contents_are_equal_bytes_whatever_the_memory_layout(tmp_path: Path):
    for name, order in (("a", "C"), ("b", "F")):
        given = {key: np.asarray(array, order=order) for key, array in arrays(9).items()}
        write_index_file(str(tmp_path / name), {"b": 1, "a": 2}, given.items())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_without_arrays_can_be_read(tmp_path: Path):
    write_index_file(str(tmp_path / "index"), {}, [])
    assert map_index_file(str(tmp_path / "index")) == ({}, {})


def test_a_2_mb_file_that_was_cut_or_altered_anywhere_is_refused(tmp_path: Path):
    path = tmp_path / "index"
    write_index_file(str(path), {"videos": ["v"]}, arrays(55_000).items())
    whole = path.read_bytes()
    assert len(whole) > 1_900_000
    random_ = random.Random(0)
    places = [*range(130), *(random_.randrange(len(whole)) for _ in range(60)), len(whole) - 1]
    damaged = [whole[:place] for place in places]
    damaged += [whole[:p] + bytes([whole[p] ^ 1 << p % 8]) + whole[p + 1 :] for p in places]
    damaged += [whole + b" ", whole[:500] + whole[501:], whole[64:], bytes(2_000_000), b""]
    for content in damaged:
        path.write_bytes(content)
        with pytest.raises(IndexFileError, match=REFUSED) as refused:
            map_index_file(str(path))
        assert "\n" not in str(refused.value)


def listed(*each: object) -> bytes:
    return json.dumps({"facts": {}, "arrays": each}).encode()


@pytest.mark.parametrize(
    ("length", "rest"),
    [
        (10**19, b""),
        (1024, b""),
        ("x", b""),
        ("-64", b""),
        (0, b"{"),
        (0, b"[" * 100_000),
        (0, b"[]"),
        (0, b'{"facts": 1, "arrays": []}'),
        (0, b'{"facts": {}, "arrays": 1}'),
        (0, listed(["codes", "|u1", [1]])),
        (0, listed(["codes", "|O", [0]])),
        (0, listed(["codes", "|u1", [-1]])),
        (0, listed(["codes", "|u1", [True]])),
        (0, listed(["codes", "|u1", ["9"]])),
        (0, listed(["codes", "<u8", [10**30, 10**30]])),
        (0, listed(["codes", "<u8", [10**30, 0]])),
        (0, listed(["codes", "|u1", [0]], ["codes", "|u1", [0]])),
        (0, listed(["codes"])),
        (64, bytes(64) + listed()),
        (64, bytes(64) + listed(["codes", "<u8", [9]])),
    ],
)
def test_a_hostile_file_with_a_right_checksum_is_refused(tmp_path: Path, length, rest):
    path = tmp_path / "index"
    path.write_bytes(signed(length, bytes(128 - len(signed(length, b""))) + rest))
    with pytest.raises(IndexFileError, match="cannot be read as a target index"):
        map_index_file(str(path))


def test_the_signed_file_of_these_tests_is_one_that_could_be_read(tmp_path: Path):
    path = tmp_path / "index"
    head = bytes(128 - len(signed(64, b"")))
    path.write_bytes(signed(64, head + bytes(64) + listed(["codes", "<u8", [8]])))
    assert map_index_file(str(path))[1]["codes"].tolist() == [0] * 8


def test_a_missing_file_a_folder_and_another_kind_are_refused(tmp_path: Path):
    with pytest.raises(IndexFileError, match="missing: is missing; `make targets` writes it anew"):
        map_index_file(str(tmp_path / "missing"))
    with pytest.raises(IndexFileError, match="cannot be read as a target index"):
        map_index_file(str(tmp_path))
    np.savez(tmp_path / "other.npz", codes=arrays(2)["codes"])
    with pytest.raises(IndexFileError, match="not a target index"):
        map_index_file(str(tmp_path / "other.npz"))
