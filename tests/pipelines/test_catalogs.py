import bz2
import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from formats.tables import CatalogRow, UnreadableRow, from_batch
from pipelines.catalogs import (
    CatalogError,
    CatalogUnit,
    catalog_folder,
    check_columns,
    list_units,
    read_unit,
)
from pipelines.options import MatchOptions
from pipelines.readers.columns import Found

DEFAULT = MatchOptions()
CSV = "video_id,uri,caption\n1,u,c\nx\n"
ROW = CatalogRow("1", "u", None, "c")


def read(
    path: Path, options: MatchOptions = DEFAULT
) -> tuple[list[CatalogRow], list[UnreadableRow]]:
    units = list_units(str(path), options)
    for unit in units:
        check_columns(unit, options)
    batches = [batch for unit in units for batch in read_unit(unit, options)]
    rows = [row for batch in batches for row in from_batch(batch.rows, CatalogRow)]
    return rows, [row for batch in batches for row in batch.unreadable]


def write_parquet(path: Path, rows: int = 1) -> None:
    columns = {name: [str(n) for n in range(rows)] for name in ("video_id", "uri", "caption")}
    pq.write_table(pa.table(columns, pa.schema(dict.fromkeys(columns, pa.string()))), path)


def names(folder: Path, options: MatchOptions = DEFAULT) -> list[str]:
    return [os.path.relpath(unit.path, folder) for unit in list_units(str(folder), options)]


@pytest.mark.parametrize("name", ["c.csv", "C.CSV", "c.csv.gz", "c.csv.bz2"])
def test_tables_are_read_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    compress: Callable[[bytes], bytes] = {"z": gzip.compress, "2": bz2.compress}.get(
        name[-1], bytes
    )
    path.write_bytes(compress(CSV.encode()))
    assert read(path) == ([ROW], [UnreadableRow(str(path), 3, "1 field, the header has 3")])


def test_columns_are_mapped_by_option(tmp_path: Path) -> None:
    path = tmp_path / "catalog.tsv"
    path.write_text("id\turl\ttags\n7\thttp://h/7\t#a #b\n")
    columns = MatchOptions(video_id="id", uri="url", hashtags="tags")
    assert read(path, columns) == ([CatalogRow("7", "http://h/7", ("a", "b"))], [])


def test_a_folder_of_parquet_files_is_one_catalog(tmp_path: Path) -> None:
    for number in range(2):
        table = pa.table({"video_id": [number, None], "uri": ["x", "y"], "hashtags": [["a"], None]})
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=1)
    paths = [str(tmp_path / f"{number}.parquet") for number in range(2)]
    assert list_units(str(tmp_path), DEFAULT) == [
        CatalogUnit(path, "parquet", group, first_row=group) for path in paths for group in (0, 1)
    ]
    assert read(tmp_path) == (
        [CatalogRow("0", "x", ("a",)), CatalogRow("1", "x", ("a",))],
        [UnreadableRow(path, 2, "no video_id") for path in paths],
    )


def test_a_folder_is_walked_sorted_without_what_is_hidden_or_no_catalog(tmp_path: Path) -> None:
    for name in (
        *("b/x.csv", "a.tsv.gz", "c.JSONL", "d.ndjson.zst", "yfcc100m_dataset-0", "z.csv"),
        *(
            "_SUCCESS",
            "_temporary/x.csv",
            ".hidden/x.csv",
            ".x.csv",
            "README.md",
            "v.mp4",
            "x.json",
        ),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    expected = ["a.tsv.gz", "b/x.csv", "c.JSONL", "d.ndjson.zst", "yfcc100m_dataset-0", "z.csv"]
    assert names(tmp_path) == expected
    assert names(tmp_path, MatchOptions(format="csv")) == sorted([*expected, "x.json"])


def test_links_are_followed_once(tmp_path: Path) -> None:
    (tmp_path / "catalog" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.csv").write_text(CSV)
    (tmp_path / "catalog" / "deep" / "loop").symlink_to(tmp_path / "catalog")
    (tmp_path / "catalog" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "catalog" / "same").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "catalog" / "dangling.csv").symlink_to(tmp_path / "nothing")
    assert names(tmp_path / "catalog") == ["link/x.csv"]


def test_info_files_are_read_many_a_unit(tmp_path: Path) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.info.json").write_text(
            json.dumps({"id": str(number), "webpage_url": "u", "title": "t"})
        )
    units = list_units(str(tmp_path), DEFAULT)
    assert [(unit.kind, len(unit.paths)) for unit in units] == [
        ("info_json", 256),
        ("info_json", 44),
    ]
    rows, unreadable = read(tmp_path)
    assert [row.video_id for row in rows] == [str(number) for number in range(300)]
    assert unreadable == []


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", CSV),
        ("tsv", CSV.replace(",", "\t")),
        ("jsonl", '{"video_id": 1, "uri": "u", "caption": "c"}\nx\n'),
    ],
)
def test_a_format_may_be_forced_whatever_the_name(tmp_path: Path, form: str, text: str) -> None:
    path = tmp_path / "catalog.parquet"
    path.write_text(text)
    rows, unreadable = read(path, MatchOptions(format=form))
    assert (rows, len(unreadable)) == ([ROW], 1)


def test_the_other_formats_may_be_forced_too(tmp_path: Path) -> None:
    write_parquet(tmp_path / "p")
    assert read(tmp_path / "p", MatchOptions(format="parquet"))[0][0].video_id == "0"
    (tmp_path / "i").write_text('{"id": "1", "webpage_url": "u", "title": "c"}')
    assert read(tmp_path / "i", MatchOptions(format="info_json")) == ([ROW], [])
    (tmp_path / "y").write_text("\t".join(["x"] * 22 + ["1"]))
    assert read(tmp_path / "y", MatchOptions(format="yfcc100m"))[0][0].video_id == "x"


def test_an_unknown_format_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match="one of auto, parquet, csv, tsv, jsonl, info_json, yfcc"):
        MatchOptions(format="xml")


@pytest.mark.parametrize("name", ["yfcc100m_dataset", "yfcc100m_dataset-3.bz2", "part.tsv"])
def test_yfcc100m_is_known_by_name_or_by_its_first_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    lines = "".join("\t".join([str(n)] + ["x"] * 21 + [str(n % 2)]) + "\n" for n in (1, 2, 3))
    compress: Callable[[bytes], bytes] = bz2.compress if name.endswith("2") else bytes
    path.write_bytes(compress(lines.encode()))
    (unit,) = list_units(str(path), DEFAULT)
    check_columns(unit, DEFAULT)
    (batch,) = read_unit(unit, DEFAULT)
    ids = batch.rows.column("video_id").to_pylist()
    assert (ids, batch.unreadable, batch.photos) == (["1", "3"], (), 1)
    if unit.kind == "tsv":
        with pytest.raises(CatalogError, match="needs the columns"):
            read(path, MatchOptions(format="tsv"))


def test_a_missing_column_is_named_with_those_found(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text("id,url,caption\n1,u,#a\n")
    with pytest.raises(CatalogError) as caught:
        check_columns(list_units(str(path), DEFAULT)[0], DEFAULT)
    assert str(caught.value) == (
        f"{path}: needs the columns 'video_id', 'uri' and 'hashtags' or 'caption'; found: id, "
        'url, caption. Name yours with SET="match.uri=url match.hashtags=tags ..."'
    )


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv", "x.tsv", "x.tsv.gz", "x.csv.zst"])
@pytest.mark.parametrize("text", [b"", b"\n\n"])
def test_an_empty_file_of_text_is_one_without_rows(tmp_path: Path, name: str, text: bytes) -> None:
    with pa.output_stream(tmp_path / name) as stream:
        stream.write(text)
    (tmp_path / "good.csv").write_text(CSV)
    assert read(tmp_path)[0] == [ROW]


def test_an_empty_file_is_no_parquet_file(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(b"")
    with pytest.raises(CatalogError, match="cannot be read as parquet"):
        read(tmp_path)


def test_a_file_tells_its_columns_before_it_is_read(tmp_path: Path) -> None:
    options = MatchOptions(uploader="owner", licence="terms")
    (tmp_path / "a.csv").write_text("video_id,uri,caption,owner\n")
    (tmp_path / "b.jsonl").write_text('{"video_id": "1", "uri": "u"}\n')
    (tmp_path / "c.info.json").write_text('{"id": "1", "title": "t"}')
    (tmp_path / "yfcc100m_dataset").write_text("")
    found = {
        os.path.basename(unit.path): check_columns(unit, options)
        for unit in list_units(str(tmp_path), options)
    }
    ids = {"video_id", "uri", "caption"}
    assert found == {
        "a.csv": Found(("video_id", "uri", "caption", "owner"), frozenset(ids | {"uploader"})),
        "b.jsonl": Found(("video_id", "uri"), whole=False),
        "c.info.json": Found(("id", "title"), whole=False),
        "yfcc100m_dataset": Found(
            ("video_id", "uri", "caption", "uploader", "licence", "hashtags"),
            frozenset(ids | {"hashtags"}),
        ),
    }


@pytest.mark.parametrize("form", ["csv", "csv.zst", "csv.gz", "jsonl", "info.json", "parquet"])
def test_a_name_that_is_not_utf8_is_read_and_told_in_ascii(tmp_path: Path, form: str) -> None:
    # A folder's listing gives such a name with the byte as a lone surrogate.
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9." + form.encode())
    text = {"csv": CSV, "jsonl": '{"video_id": 1, "uri": "u", "caption": "c"}\nx\n'}
    if form == "parquet":
        table = pa.table({"video_id": ["1", None], "uri": ["u", "u"], "caption": ["c", "c"]})
        with open(path, "wb") as stream:
            pq.write_table(table, stream)
    elif form == "csv.zst":
        with open(path, "wb") as stream, pa.CompressedOutputStream(stream, "zstd") as packed:
            packed.write(CSV.encode())
    elif form == "csv.gz":
        Path(path).write_bytes(gzip.compress(CSV.encode()))
    else:
        Path(path).write_text(text.get(form, "no json"))
    rows, unreadable = read(tmp_path)
    assert rows == ([] if form == "info.json" else [ROW])
    assert [row.path for row in unreadable] == [f"{tmp_path}/caf\\xe9.{form}"]


def test_an_error_names_a_file_whose_name_is_not_utf8(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.csv")).write_text("a,b\n")
    with pytest.raises(CatalogError) as caught:
        read(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/caf\\xe9.csv: needs the columns")


def test_a_parquet_file_without_rows_is_a_catalog_without_rows(tmp_path: Path) -> None:
    write_parquet(tmp_path / "x.parquet", rows=0)
    assert read(tmp_path) == ([], [])


@pytest.mark.parametrize("name", ["x.csv.gz", "x.jsonl.zst", "x.tsv.bz2", "x.parquet"])
def test_a_file_that_is_not_what_its_name_says_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text(CSV)
    with pytest.raises(CatalogError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: cannot be read as ")
    assert str(caught.value).endswith("; write it again, or leave it out")


def test_a_file_cut_off_gives_its_rows_and_then_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.csv.gz"
    path.write_bytes(gzip.compress(CSV.encode())[:-4])
    batches = read_unit(list_units(str(path), DEFAULT)[0], DEFAULT)
    assert list(from_batch(next(batches).rows, CatalogRow)) == [ROW]
    with pytest.raises(CatalogError, match="ended before the end-of-stream marker"):
        next(batches)


def test_a_damaged_row_group_gives_the_rows_before_it_and_then_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    ids = pa.array([f"{n * 2654435761 % 2**32}" for n in range(200_000)])
    table = pa.table({"video_id": ids, "uri": ids, "caption": ids})
    pq.write_table(table, path, row_group_size=100_000, use_dictionary=False, compression="zstd")
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 4
    content[middle : middle + 4000] = b"\xa5" * 4000
    path.write_bytes(content)
    first, second = list_units(str(path), DEFAULT)
    assert sum(batch.rows.num_rows for batch in read_unit(first, DEFAULT)) == 100_000
    with pytest.raises(CatalogError, match="cannot be read as parquet"):
        list(read_unit(second, DEFAULT))


def test_what_is_no_catalog_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such catalog"):
        list_units(str(tmp_path / "none.csv"), DEFAULT)
    with pytest.raises(CatalogError, match="holds no catalog; a catalog ends in"):
        list_units(str(tmp_path), DEFAULT)
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(CatalogError, match="not a catalog by its name.*jsonl.*match.format=csv"):
        list_units(str(tmp_path / "notes.docx"), DEFAULT)
    with pytest.raises(CatalogError, match="holds no catalog"):
        list_units(str(tmp_path), DEFAULT)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(CatalogError, match="neither a file nor a folder"):
        list_units(str(tmp_path / "pipe.csv"), DEFAULT)


def test_relative_uris_start_from_the_catalogs_folder(tmp_path: Path) -> None:
    assert catalog_folder(str(tmp_path)) == str(tmp_path)
    assert catalog_folder(str(tmp_path / "x.csv")) == str(tmp_path)
