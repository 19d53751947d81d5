import bz2
from pathlib import Path

import pytest

from formats.tables import CatalogRow, from_batch
from pipelines.options import MatchOptions
from pipelines.readers.yfcc import find_fields, is_yfcc, read_yfcc


def line(number: int, marker: str = "1", **columns: str) -> str:
    fields = {
        "id": str(number),
        "nsid": "12@N00",
        "nickname": "a+nick%20name",
        "taken": "2010-01-01",
        "uploaded": "1262304000",
        "device": "Canon+%22X%22",
        "title": "A+%22title%22",
        "description": "%C3%A9t%C3%A9%0Atwo",
        "tags": "yoga,catching+a+fish,caf%C3%A9",
        "machine_tags": "geo:x=1",
        "longitude": "1.5",
        "latitude": "2.5",
        "accuracy": "16",
        "page": f"http://h/page/{number}/",
        "download": f"http://h/{number}.mp4",
        "licence": "Attribution License",
        "licence_uri": "http://cc/by",
        "server": "1",
        "farm": "1",
        "secret": "s",
        "original": "o",
        "extension": "jpg",
        "marker": marker,
    }
    return "\t".join((fields | columns).values()) + "\n"


def wide(text: str) -> str:
    """The same row in the release of 25 columns."""
    video_id, rest = text.split("\t", 1)
    return f"77\t{video_id}\thash\t{rest}"


def row(number: int) -> CatalogRow:
    return CatalogRow(
        str(number),
        f"http://h/{number}.mp4",
        ("yoga", "catching a fish", "caf\u00e9"),
        'A "title"\n\u00e9t\u00e9\ntwo',
        "a nick name",
        "Attribution License",
    )


@pytest.mark.parametrize("block_bytes", [4, 100, 1 << 20])
@pytest.mark.parametrize("wrap", [str, wide])
def test_videos_are_rows_photos_are_counted_and_the_rest_is_reported(
    tmp_path: Path, wrap: type[str], block_bytes: int
) -> None:
    path = tmp_path / "yfcc100m_dataset.bz2"
    lines = [
        wrap(line(1)),
        wrap(line(2, marker="0")),
        "\n",
        "broken\t1\n",
        wrap(line(5, title='"', description="")),
        wrap(line(6, tags="", nickname="", title="", description="")),
        wrap(line(7, marker="2")),
        wrap(line(8, title="%FF")),
        wrap(line(9, nickname="%FF")),
        wrap(line(10, download="")),
        wrap(line(11, marker="0")).replace("\n", "\r\n"),
        wrap(line(12)).replace("\n", "\r\n"),
    ]
    path.write_bytes(bz2.compress("".join(lines).encode()))
    batches = list(read_yfcc(str(path), block_bytes))
    assert [r for batch in batches for r in from_batch(batch.rows, CatalogRow)] == [
        row(1),
        CatalogRow("5", "http://h/5.mp4", row(5).hashtags, '"', "a nick name", row(5).licence),
        CatalogRow("6", "http://h/6.mp4", (), "", "12@N00", row(6).licence),
        CatalogRow("9", "http://h/9.mp4", row(9).hashtags, row(9).caption, None, row(9).licence),
        row(12),
    ]
    assert [(r.line, r.reason) for batch in batches for r in batch.unreadable] == [
        (4, "2 fields, not 23 or 25"),
        (7, "neither photo nor video"),
        (8, "not UTF-8"),
        (10, "no uri"),
    ]
    assert sum(batch.photos for batch in batches) == 2


def test_a_line_over_the_limit_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text(line(1, marker="0") + "x" * (17 << 20) + "\t0\n" + line(3))
    batches = list(read_yfcc(str(path)))
    assert [(r.line, r.reason) for batch in batches for r in batch.unreadable] == [
        (2, "longer than 16 MiB")
    ]
    assert sum(batch.photos for batch in batches) == 1
    assert sum(batch.rows.num_rows for batch in batches) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (line(1), True),
        (wide(line(1, marker="0")), True),
        (line(1, marker="x"), False),
        ("video_id\turi\tcaption\n", False),
        ("", False),
    ],
)
def test_the_first_line_tells(tmp_path: Path, text: str, expected: bool) -> None:
    (tmp_path / "x").write_text(text)
    assert is_yfcc(str(tmp_path / "x")) is expected


def test_no_column_has_a_name_of_the_users_and_no_row_a_length() -> None:
    fields = find_fields(MatchOptions(uploader="owner")).fields
    assert fields == {"video_id", "uri", "hashtags", "caption", "licence"}
