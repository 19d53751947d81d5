import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from formats.tables import CatalogRow, from_batch
from pipelines.catalogs import CatalogError, check_columns, list_units, read_unit
from pipelines.options import MatchOptions

DEFAULT = MatchOptions()


def read(path: Path, columns: MatchOptions = DEFAULT) -> tuple[list[CatalogRow], int]:
    batches = [batch for unit in list_units(str(path)) for batch in read_unit(unit, columns)]
    rows = [row for batch in batches for row in from_batch(batch.rows, CatalogRow)]
    return rows, sum(batch.bad for batch in batches)


def test_a_csv_keeps_quoted_newlines_and_counts_rows_it_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_bytes(
        b'video_id,uri,caption,duration_s\na,http://h/a,"two\nlines, ""quoted""",3.5\n'
        b"too,many,fields,in,this\nb,,no uri,\nc,http://h/c,\xff bad utf-8,x\n"
    )
    assert read(path) == (
        [
            CatalogRow("a", "http://h/a", None, 'two\nlines, "quoted"', None, None, 3.5),
            CatalogRow("c", "http://h/c", None, None, None, None, None),
        ],
        2,
    )


def test_columns_are_mapped_by_option(tmp_path: Path) -> None:
    path = tmp_path / "catalog.tsv"
    path.write_text("id\turl\ttags\n7\thttp://h/7\t#a #b\n")
    columns = MatchOptions(video_id="id", uri="url", hashtags="tags")
    assert read(path, columns) == ([CatalogRow("7", "http://h/7", ("#a #b",))], 0)


def test_jsonl_takes_lists_texts_and_numbers_and_counts_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "catalog.jsonl.gz"
    lines = [
        json.dumps({"video_id": 1, "uri": "u1", "hashtags": ["a", "b"], "duration_s": "2"}),
        "{broken",
        json.dumps({"video_id": "2", "uri": "u2", "hashtags": "c d"}),
        json.dumps(["not", "an", "object"]),
        json.dumps({"video_id": "3"}),
    ]
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    assert read(path) == (
        [
            CatalogRow("1", "u1", ("a", "b"), duration_s=2.0),
            CatalogRow("2", "u2", ("c d",)),
        ],
        3,
    )


def test_a_folder_of_parquet_files_is_one_catalog(tmp_path: Path) -> None:
    for number in range(2):
        table = pa.table(
            {"video_id": [number, 10 + number], "uri": ["x", "y"], "hashtags": [["a"], None]}
        )
        pq.write_table(table, tmp_path / f"{number}.parquet", row_group_size=1)
    assert len(list_units(str(tmp_path))) == 4
    rows, bad = read(tmp_path)
    assert bad == 0
    assert [(row.video_id, row.hashtags) for row in rows] == [
        ("0", ("a",)),
        ("10", None),
        ("1", ("a",)),
        ("11", None),
    ]


def test_a_missing_column_is_named_with_those_found(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text("id,url,caption\n1,u,#a\n")
    with pytest.raises(CatalogError) as caught:
        check_columns(list_units(str(path))[0], DEFAULT)
    assert str(caught.value) == (
        f"{path}: needs the columns 'video_id', 'uri' and 'hashtags' or 'caption'; found: id, "
        'url, caption. Name yours with SET="match.uri=url match.hashtags=tags ..."'
    )


@pytest.mark.parametrize("name", ["catalog.parquet", "catalog.jsonl", "catalog.csv"])
def test_an_empty_file_is_no_catalog(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(CatalogError, match=r"cannot be read as parquet|found: none"):
        check_columns(list_units(str(tmp_path / name))[0], DEFAULT)


def test_what_is_no_catalog_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no such catalog"):
        list_units(str(tmp_path / "none.csv"))
    with pytest.raises(CatalogError, match="holds no catalog; a catalog ends in"):
        list_units(str(tmp_path))
    (tmp_path / "notes.docx").write_text("x")
    with pytest.raises(CatalogError, match="not a catalog by its name"):
        list_units(str(tmp_path / "notes.docx"))
