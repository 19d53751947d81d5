import bz2
import gzip
import zlib
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.readers.blocks import Lines, read_blocks
from pipelines.readers.columns import CatalogError

TEXT = b"".join(b"line %d\n" % number for number in range(50_000))


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return sink.getvalue().to_pybytes()


def read(path: Path, block_bytes: int = 1 << 16) -> list[tuple[int, bytes]]:
    return [
        (int(line), block.data[start:end])
        for block in read_blocks(str(path), Lines(), block_bytes)
        for line, start, end in zip(block.lines, block.starts, block.split.ends, strict=True)
    ]


@pytest.mark.parametrize("block_bytes", [1, 4, 7, 1000])
def test_every_line_comes_with_its_number(tmp_path: Path, block_bytes: int) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfone\n\ntwo\rthree\r\nfour")
    expected = [(1, b"one\n"), (2, b"\n"), (3, b"two\rthree\r\n"), (4, b"four\n")]
    assert read(path, block_bytes) == expected


@pytest.mark.parametrize("name", ["x.gz", "x.zst", "x.bz2", "x"])
@pytest.mark.parametrize("compress", [gzip.compress, zstd, bz2.compress])
def test_compressed_files_are_known_by_name_or_content(
    tmp_path: Path, name: str, compress: object
) -> None:
    suffix = {gzip.compress: "x.gz", zstd: "x.zst", bz2.compress: "x.bz2"}[compress]  # type: ignore[index]
    (tmp_path / name).write_bytes(compress(TEXT[:100]) + compress(TEXT[100:]))  # type: ignore[operator]
    if name in (suffix, "x"):
        assert b"".join(line for _, line in read(tmp_path / name)) == TEXT
    else:
        with pytest.raises(OSError, match="(?i)gzip|zstd|invalid data"):
            read(tmp_path / name)


@pytest.mark.parametrize("compress", [gzip.compress, zstd, bz2.compress])
def test_what_comes_before_the_break_is_given_out(tmp_path: Path, compress: object) -> None:
    path = tmp_path / "x"
    path.write_bytes(compress(TEXT * 5)[:-4])  # type: ignore[operator]
    found: list[bytes] = []
    with pytest.raises((OSError, EOFError, zlib.error)):
        found.extend(block.data for block in read_blocks(str(path), Lines(), 1 << 20))
    whole = b"".join(found)
    assert len(whole) > 900_000 and (TEXT * 5).startswith(whole)


def test_a_short_file_that_was_cut_off_still_gives_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"one\ntwo\n")[:-6])
    blocks = read_blocks(str(path), Lines())
    assert next(blocks).data == b"one\ntwo\n"
    with pytest.raises(EOFError):
        next(blocks)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
def test_a_line_over_the_limit_is_one_broken_record(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one\n" + b"x" * (17 << 20) + end + (b"three\n" if end else b""))
    records = [
        (int(line), dict(block.split.reasons))
        for block in read_blocks(str(path), Lines())
        for line in block.lines
    ]
    reasons = {0: "longer than 16 MiB"}
    assert records == [(1, {}), (2, reasons)] + ([(3, {})] if end else [])


@pytest.mark.parametrize("block_bytes", [1 << 16, 64 << 20])
def test_memory_is_bounded_by_the_longest_record(tmp_path: Path, block_bytes: int) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(gzip.compress(b"x" * (40 << 20) + b"\nlast\n", 1))
    sizes = [len(block.data) for block in read_blocks(str(path), Lines(), block_bytes)]
    assert sizes[-1] == len(b"last\n") and max(sizes) <= max(block_bytes, 17 << 20)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_other_encodings_are_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x"
    path.write_bytes("one\n".encode(encoding))
    with pytest.raises(CatalogError, match="write it as UTF-8"):
        read(path, 1)
