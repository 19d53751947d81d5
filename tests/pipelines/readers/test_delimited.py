import csv
import io
import random
from dataclasses import replace
from pathlib import Path

import pytest

from formats.tables import CatalogRow, from_batch
from pipelines.options import MatchOptions
from pipelines.readers.columns import CatalogError
from pipelines.readers.delimited import check_header, read_delimited, read_header

DEFAULT = MatchOptions()
HEADER = b"video_id,uri,caption\n"
Result = tuple[list[CatalogRow], list[tuple[int | None, str]]]


def read(path: Path, kind: str = "csv", block_bytes: int = 4 << 20) -> Result:
    batches = list(read_delimited(str(path), kind, DEFAULT, block_bytes))
    rows = [row for batch in batches for row in from_batch(batch.rows, CatalogRow)]
    unreadable = [row for batch in batches for row in batch.unreadable]
    assert {row.path for row in unreadable} <= {str(path)}
    return rows, [(row.line, row.reason) for row in unreadable]


def read_text(folder: Path, text: bytes, kind: str = "csv", block_bytes: int = 4 << 20) -> Result:
    path = folder / f"catalog.{kind}"
    path.write_bytes(text)
    return read(path, kind, block_bytes)


def captions(result: Result) -> list[tuple[str, str | None]]:
    return [(row.video_id, row.caption) for row in result[0]]


@pytest.mark.parametrize("block_bytes", [1, 2, 3, 5, 8, 13, 1 << 20])
def test_every_unreadable_row_is_reported_with_its_line(tmp_path: Path, block_bytes: int) -> None:
    text = (
        b"\xef\xbb\xbfvideo_id,uri,caption,duration_s\r\n"
        b"\r\n"
        b'a,http://h/a,"two\nlines, ""quoted""",3.5\r\n'
        b"too,many,fields,in,this\n"
        b"b,,no uri,\n"
        b" ,u,no id,\n"
        b"c,u,\xff,x\n"
        b'd,u,"x" y,1\n'
        b'e,u,5" pipe,1e3\n'
        b'f,u,"never,2\n'
        b"g,u,,\r\r"
        b"lonely\n"
        b"h,u,ok,9"
    )
    assert read_text(tmp_path, text, block_bytes=block_bytes) == (
        [
            CatalogRow("a", "http://h/a", None, 'two\nlines, "quoted"', duration_s=3.5),
            CatalogRow("e", "u", None, '5" pipe', duration_s=1000.0),
            CatalogRow("g", "u", None, ""),
            CatalogRow("h", "u", None, "ok", duration_s=9.0),
        ],
        [
            (5, "5 fields, the header has 4"),
            (6, "no uri"),
            (7, "no video_id"),
            (8, "not UTF-8"),
            (9, "a quote is followed by text"),
            (11, "a quote never closes"),
            (14, "1 field, the header has 4"),
        ],
    )


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_may_be_of_any_kind_and_the_last_one_missing(tmp_path: Path, end: str) -> None:
    text = end.join(["video_id,uri,caption", "1,u,a", "", "2,u,b", "3", "4,u,c"]).encode()
    rows, unreadable = read_text(tmp_path, text, block_bytes=4)
    assert [row.video_id for row in rows] == ["1", "2", "4"]
    assert unreadable == [(5, "1 field, the header has 3")]


def test_a_quote_in_line_two_of_a_record_breaks_its_first_line_only(tmp_path: Path) -> None:
    text = HEADER + b'1,"u\nv","x" y\n2,u,fine\n'
    assert read_text(tmp_path, text) == (
        [CatalogRow("2", "u", None, "fine")],
        [(2, "a quote is followed by text"), (3, "a quote is followed by text")],
    )


def test_a_quote_that_closes_after_a_mebibyte_never_closes(tmp_path: Path) -> None:
    long = b"word\n" * 300_000
    text = HEADER + b'1,u,"' + long + b'"\n2,u,fine\n'
    rows, unreadable = read_text(tmp_path, text)
    assert rows == [CatalogRow("2", "u", None, "fine")]
    assert unreadable[0] == (2, "a quote never closes")
    assert len(unreadable) == 300_001


def test_a_field_in_quotes_may_be_long(tmp_path: Path) -> None:
    text = HEADER + b'1,u,"' + b"word\n" * 200_000 + b'"\n2,u,fine\nx\n'
    rows, unreadable = read_text(tmp_path, text, block_bytes=1 << 16)
    assert rows[0] == CatalogRow("1", "u", None, "word\n" * 200_000)
    assert rows[1:] == [CatalogRow("2", "u", None, "fine")]
    assert unreadable == [(200_004, "1 field, the header has 3")]


def test_hostile_quotes_take_linear_time(tmp_path: Path) -> None:
    # Each line could begin a record that runs to the end of the file, and breaks there.
    rows, unreadable = read_text(tmp_path, HEADER + b'x","\n' * 30_000 + b'x","y"z\n')
    assert rows == []
    assert unreadable[-1] == (30_002, "a quote is followed by text")


def test_a_malformed_quote_of_a_tsv_is_a_character(tmp_path: Path) -> None:
    text = (
        b"video_id\turi\tcaption\n"
        b'1\tu\t"Yoga" every day\n'
        b'2\t"u"\t"never\n'
        b'3\tu\t"one\n'
        b'4\tu\ttwo"\n'
        b'5\tu\t"a true\nquote"\n'
        b'6\t"x" y\n'
        b"7\tu\tfine"
    )
    for block_bytes in (1, 7, 1 << 20):
        result = read_text(tmp_path, text, "tsv", block_bytes)
        assert captions(result) == [
            ("1", '"Yoga" every day'),
            ("2", '"never'),
            ("3", '"one'),
            ("4", 'two"'),
            ("5", "a true\nquote"),
            ("7", "fine"),
        ]
        assert result[0][1].uri == "u"
        assert result[1] == [(8, "a quote is followed by text")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("kind", ["csv", "tsv"])
def test_the_delimiter_is_the_one_that_finds_the_columns(
    tmp_path: Path, delimiter: str, kind: str
) -> None:
    text = '"video_id",uri,hashtags\n1,u,"a{}b"\n'.replace(",", delimiter).format(delimiter)
    rows, unreadable = read_text(tmp_path, text.encode(), kind)
    assert (len(rows), unreadable) == (1, [])


def test_the_kinds_own_delimiter_is_kept_where_none_finds_the_columns(tmp_path: Path) -> None:
    path = tmp_path / "catalog.csv"
    path.write_text("id;url,tags\n1,u,a\n")
    assert read_header(str(path), "csv", DEFAULT).names == ("id;url", "tags")


def test_nul_bytes_go_through(tmp_path: Path) -> None:
    assert captions(read_text(tmp_path, HEADER + b'1,u,a\0b\n2,u,"\0"\n')) == [
        ("1", "a\0b"),
        ("2", "\0"),
    ]


def test_an_uploader_or_licence_that_is_not_utf8_is_none(tmp_path: Path) -> None:
    text = b"video_id,uri,caption,uploader,licence\n1,u,c,\xff,\xfe\n"
    assert read_text(tmp_path, text) == ([CatalogRow("1", "u", None, "c")], [])


def test_a_text_of_hashtags_is_split_up(tmp_path: Path) -> None:
    text = b'video_id,uri,hashtags\n1,u,#a #b\n2,u,"[""c d"", ""e""]"\n3,u,\n'
    rows, unreadable = read_text(tmp_path, text)
    assert [row.hashtags for row in rows] == [("a", "b"), ("c d", "e"), ()]
    assert unreadable == []


def test_white_space_after_a_comma_is_no_part_of_an_id_or_uri_but_of_a_caption(
    tmp_path: Path,
) -> None:
    text = b"video_id, uri, caption, uploader, licence\na, http://h/a,  c , ann, CC0 \n"
    assert read_text(tmp_path, text)[0] == [
        CatalogRow("a", "http://h/a", None, "  c ", "ann", "CC0")
    ]


def test_a_line_without_end_is_one_broken_row(tmp_path: Path) -> None:
    text = HEADER + b"1,u," + b"x" * (17 << 20) + b"\r\n2,u,fine\nx\n"
    assert read_text(tmp_path, text) == (
        [CatalogRow("2", "u", None, "fine")],
        [(2, "longer than 16 MiB"), (4, "1 field, the header has 3")],
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"a\x1b[2J,b\n1,2\n", "found: 'a\\x1b[2J', b. Name yours"),
        (b"1,http://h/1,#a\n2,http://h/2,#b\n", "found: 1, http://h/1, #a. Name yours"),
        (b"video_id,uri,uri,caption\n1,u,u,c\n", "has 2 columns named 'uri'; keep one"),
        (b'video_id,"uri" x,caption\n1,u,c\n', "the quotes of its header are not in order; mend"),
        (b'"video_id,uri,caption\n1,u,c\n', "the quotes of its header are not in order; mend"),
        ("video_id,uri,caption\n1,u,c\n".encode("utf-16"), "is UTF-16 text; write it as UTF-8"),
        ("video_id,uri,caption\n".encode("utf-16-le"), "is not UTF-8 text; write it as UTF-8"),
        (b"PAR1 and so on", "is a Parquet file by its content; name it .parquet"),
    ],
)
def test_a_table_without_a_header_to_go_by_is_refused(
    tmp_path: Path, text: bytes, problem: str
) -> None:
    path = tmp_path / "catalog.csv"
    path.write_bytes(text)
    with pytest.raises(CatalogError) as caught:
        check_header(str(path), "csv", DEFAULT)
    assert str(caught.value).startswith(f"{path}: ") and problem in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"\xef\xbb\xbf", b"\n\r\n", HEADER, HEADER + b"\n\r\n"])
def test_a_table_without_rows_is_fine_among_others(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "catalog.csv"
    path.write_bytes(text)
    check_header(str(path), "csv", DEFAULT)
    assert read_text(tmp_path, text) == ([], [])


def test_a_column_we_do_not_read_may_come_twice(tmp_path: Path) -> None:
    text = b"video_id,x,uri,x,caption\n1,,u,,c\n"
    assert read_text(tmp_path, text) == ([CatalogRow("1", "u", None, "c")], [])


HOSTILE = ['"', '""', "\n", "\r\n", "\r", ",", "\t", "\0", "\u00e9", "\U0001f3be", "a", " ", "#x"]


def hostile_text(rng: random.Random, longest: int) -> str:
    return "".join(rng.choice(HOSTILE) for _ in range(rng.randrange(longest)))


@pytest.mark.parametrize("rng_seed", range(60))
def test_what_pythons_csv_module_writes_comes_back(tmp_path: Path, rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    written = [
        CatalogRow(
            f"{n}{hostile_text(rng, 3)}", f"u{hostile_text(rng, 4)}", None, hostile_text(rng, 9)
        )
        for n in range(rng.randrange(1, 25))
    ]
    text = io.StringIO(newline="")
    # Sparing quotes, Python's writer puts none around a CR alone, unless lines end in one.
    end = rng.choice(["\n", "\r\n", "\r"])
    quoting = csv.QUOTE_MINIMAL if end == "\r\n" else csv.QUOTE_ALL
    writer = csv.writer(text, lineterminator=end, quoting=quoting)
    writer.writerow(["video_id", "uri", "caption"])
    writer.writerows([row.video_id, row.uri, row.caption] for row in written)
    block_bytes = rng.randrange(1, 60)
    trimmed = [replace(row, video_id=row.video_id.strip(), uri=row.uri.strip()) for row in written]
    assert read_text(tmp_path, text.getvalue().encode(), block_bytes=block_bytes) == (trimmed, [])


BROKEN = [
    (b'{id},u,"x" y', "a quote is followed by text"),
    (b"{id},u", "2 fields, the header has 3"),
    (b"{id},u,c,d,e", "5 fields, the header has 3"),
    (b"{id},,c", "no uri"),
    (b"{id},u,\xe9t\xe9", "not UTF-8"),
    (b",u,c", "no video_id"),
]


@pytest.mark.parametrize("rng_seed", range(60))
def test_the_lines_of_broken_rows_are_right(tmp_path: Path, rng_seed: int) -> None:
    rng = random.Random(rng_seed)
    end = rng.choice([b"\n", b"\r\n", b"\r"])
    text, good, broken = b"video_id,uri,caption" + end, [], []
    caption = 'one\ntwo, "three"\r\n'
    quoted = b'"' + caption.replace('"', '""').encode() + b'"'
    for number in range(rng.randrange(1, 30)):
        line = 1 + len(text.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines())
        if rng.random() < 0.3:
            row, reason = rng.choice(BROKEN)
            text += row.replace(b"{id}", str(number).encode()) + end
            broken.append((line, reason))
        elif rng.random() < 0.2:
            text += end
        else:
            text += f"{number},u,".encode() + rng.choice([quoted, caption[:3].encode()]) + end
            good.append((str(number), caption if text.endswith(quoted + end) else caption[:3]))
    result = read_text(tmp_path, text, block_bytes=rng.randrange(1, 60))
    assert (captions(result), result[1]) == (good, broken)
