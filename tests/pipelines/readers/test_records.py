import json
from pathlib import Path

import pytest

from formats.tables import CatalogRow, UnreadableRow, from_batch
from pipelines.options import MatchOptions
from pipelines.readers.columns import CatalogError
from pipelines.readers.records import check_keys, read_info_files, read_jsonl

DEFAULT = MatchOptions()
SAMPLES = Path(__file__).parents[3].parent / "shared" / "data" / "tags"
Result = tuple[list[CatalogRow], list[tuple[int | None, str]]]


def read(
    path: Path, text: str | bytes, options: MatchOptions = DEFAULT, block_bytes: int = 4 << 20
) -> Result:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    batches = list(read_jsonl(str(path), options, block_bytes))
    rows = [row for batch in batches for row in from_batch(batch.rows, CatalogRow)]
    unreadable = [row for batch in batches for row in batch.unreadable]
    assert {row.path for row in unreadable} <= {str(path)}
    return rows, [(row.line, row.reason) for row in unreadable]


def read_objects(folder: Path, *objects: object) -> Result:
    return read(folder / "x.jsonl", "\n".join(map(json.dumps, objects)))


def post(**values: object) -> dict[str, object]:
    return {"video_id": "1", "uri": "u"} | values


@pytest.mark.parametrize("block_bytes", [1, 10, 1 << 20])
def test_lines_that_hold_no_readable_row_are_reported(tmp_path: Path, block_bytes: int) -> None:
    good = json.dumps(post(hashtags=["a"])).encode()
    lines = [
        b"\xef\xbb\xbf" + good,
        b"{broken",
        b"",
        b'["not", "an object"]',
        b"  \r",
        b'{"video_id": "\xff", "uri": "u"}',
        b'{"video_id": "\\ud800", "uri": "u"}',
        b'{"video_id": "1", "uri": "u", "x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}",
        b'{"video_id": "1", "uri": "u", "x": ' + b"9" * 5000 + b"}",
        b'{"video_id": "3"}',
        b'{"uri": "u", "video_id": " "}',
        good + b"{}",
        b"\t " + good + b" \r",
    ]
    rows, unreadable = read(tmp_path / "x.jsonl", b"\n".join(lines), block_bytes=block_bytes)
    assert rows == [CatalogRow("1", "u", ("a",))] * 2
    assert [(line, reason[:40]) for line, reason in unreadable] == [
        (2, "not JSON: Expecting property name enclos"),
        (4, "no JSON object"),
        (6, "not UTF-8"),
        (7, "not UTF-8"),
        (8, "nested too deep"),
        (9, "not JSON: Exceeds the limit (4300 digits"),
        (10, "no uri"),
        (11, "no video_id"),
        (12, "not JSON: Extra data"),
    ]


def test_a_line_over_the_limit_is_one_row(tmp_path: Path) -> None:
    text = b'{"x": "' + b"x" * (17 << 20) + b'"}\n' + json.dumps(post()).encode()
    assert read(tmp_path / "x.jsonl", text) == (
        [CatalogRow("1", "u")],
        [(1, "longer than 16 MiB")],
    )


def test_numbers_become_text_and_what_is_no_text_is_none(tmp_path: Path) -> None:
    rows, unreadable = read_objects(
        tmp_path,
        post(video_id=7, uri=10**30, caption=1.5, uploader={"a": 1}, licence=["b"]),
        post(caption={"a": 1}, uploader=True, licence=3, duration_s="2.5"),
        post(caption=float("nan"), uploader="\ud800", licence="l", duration_s=float("nan")),
        post(duration_s=10**400, hashtags=float("nan")),
        post(duration_s=float("inf")),
        post(duration_s={"a": 1}),
        post(duration_s=3),
    )
    assert unreadable == []
    assert rows == [
        CatalogRow("7", str(10**30), None, "1.5"),
        CatalogRow("1", "u", None, None, None, "3", 2.5),
        CatalogRow("1", "u", None, None, None, "l"),
        CatalogRow("1", "u"),
        CatalogRow("1", "u"),
        CatalogRow("1", "u"),
        CatalogRow("1", "u", duration_s=3.0),
    ]


def test_an_id_or_uri_of_an_odd_type_is_unreadable(tmp_path: Path) -> None:
    values: list[object] = [{"a": 1}, ["a"], True]
    objects = [post(video_id=value) for value in values] + [post(uri=value) for value in values]
    texts = ["video_id is no text"] * 3 + ["uri is no text"] * 3
    nothing = [post(video_id=None), post(uri=float("nan")), post(caption="\ud800")]
    assert read_objects(tmp_path, *objects, *nothing) == (
        [],
        list(enumerate([*texts, "no video_id", "no uri", "not UTF-8"], start=1)),
    )


def test_hashtags_are_a_list_of_whole_ones_or_a_text(tmp_path: Path) -> None:
    values: list[object] = [
        ["catching a fish", "b"],
        ["a", None, 7, 1.5],
        "#a #b",
        None,
        [],
        [{"name": "n"}, {"id": 1, "text": "t"}, {"title": "i"}, {"hashtagName": "h"}, "s"],
        12,
    ]
    rows, unreadable = read_objects(tmp_path, *(post(hashtags=value) for value in values))
    assert unreadable == []
    assert [row.hashtags for row in rows] == [
        ("catching a fish", "b"),
        ("a", "7", "1.5"),
        ("a", "b"),
        None,
        (),
        ("n", "t", "i", "h", "s"),
        ("12",),
    ]


def test_hashtags_that_are_no_texts_make_the_row_unreadable(tmp_path: Path) -> None:
    values: list[object] = [{"a": 1}, True, [["a"]], [{"id": 1}], [{"name": 7}], [True], ["\ud800"]]
    reasons = ["hashtags are no list of texts"] * 6 + ["not UTF-8"]
    assert read_objects(tmp_path, *(post(hashtags=value) for value in values)) == (
        [],
        list(enumerate(reasons, start=1)),
    )


def test_a_batch_of_texts_alone_is_not_taken_letter_by_letter(tmp_path: Path) -> None:
    rows, _ = read_objects(tmp_path, post(hashtags="yoga"), post(hashtags="a b"))
    assert [row.hashtags for row in rows] == [("yoga",), ("a", "b")]


YTDLP: dict[str, object] = {
    "extractor_key": "Youtube",
    "id": "x",
    "webpage_url": "http://h/x",
    "title": "A title",
    "description": "and #more",
    "tags": ["catching a fish"],
    "uploader": None,
    "channel": "C",
    "license": "CC BY",
    "duration": 12,
}
YTDLP_ROW = CatalogRow(
    "x", "http://h/x", ("catching a fish",), "A title\nand #more", "C", "CC BY", 12.0
)


def test_objects_of_ytdlp_are_read_by_their_own_names(tmp_path: Path) -> None:
    playlist = YTDLP | {"_type": "playlist"}
    own = post(hashtags=["a"], webpage_url="not of yt-dlp")
    assert read_objects(tmp_path, YTDLP, playlist, own, YTDLP | {"_type": "video"}) == (
        [YTDLP_ROW, CatalogRow("1", "u", ("a",)), YTDLP_ROW],
        [],
    )
    check_keys(str(tmp_path / "x.jsonl"), DEFAULT)


def test_an_option_goes_before_ytdlps_names(tmp_path: Path) -> None:
    options = MatchOptions(video_id="display_id", caption="title")
    text = json.dumps(YTDLP | {"display_id": "d"}) + "\n" + json.dumps(YTDLP)
    rows, unreadable = read(tmp_path / "x.jsonl", text, options)
    assert (rows[0].video_id, rows[0].caption, unreadable) == ("d", "A title", [(2, "no video_id")])


def test_info_files_are_one_row_each(tmp_path: Path) -> None:
    texts = {
        "a": json.dumps(YTDLP, indent=1),
        "b": "no json",
        "c": json.dumps({"id": "y", "original_url": "o", "uploader_id": "up"}),
        "d": json.dumps({"_type": "multi_video", "id": "y", "entries": []}),
        "e": json.dumps({"id": "z"}),
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.info.json").write_text(text)
    paths = [str(tmp_path / f"{name}.info.json") for name in [*texts, "gone"]]
    (batch,) = read_info_files(paths, DEFAULT)
    assert list(from_batch(batch.rows, CatalogRow)) == [
        YTDLP_ROW,
        CatalogRow("y", "o", uploader="up"),
    ]
    assert batch.unreadable[:2] == (
        UnreadableRow(paths[1], None, "not JSON: Expecting value"),
        UnreadableRow(paths[4], None, "no uri"),
    )
    assert batch.unreadable[2].reason.startswith("cannot be read: [Errno 2] No such file")


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the shared data is not here")
def test_real_info_files_are_read() -> None:
    paths = [str(path) for path in sorted(SAMPLES.glob("*.info.json"))]
    (batch,) = read_info_files(paths, DEFAULT)
    first, second = from_batch(batch.rows, CatalogRow)
    assert (first.video_id, first.uploader, first.duration_s) == ("Ahg8OBYixL0", "Enaiel", 591.0)
    assert first.uri == "https://www.youtube.com/watch?v=Ahg8OBYixL0"
    assert first.hashtags is not None and first.hashtags[:2] == ("java", "oak")
    assert second.caption is not None and second.caption.startswith("Durchbruch bei")
    assert batch.unreadable == ()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[{"video_id": "1"}]', "write one object a line (.jsonl), not one list"),
        ('{\n "video_id": "1"\n}\n', "write one object a line (.jsonl), not one list"),
        ('{"id": "1"}\n{"url": "u"}\n', "found: id, url. Name yours"),
    ],
)
def test_a_file_without_the_keys_we_need_is_refused(
    tmp_path: Path, text: str, problem: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(CatalogError) as caught:
        check_keys(str(path), DEFAULT)
    assert problem in str(caught.value)


@pytest.mark.parametrize("text", ["", "\n \n", json.dumps(post()) + "\n"])
def test_a_file_without_objects_or_with_later_hashtags_is_not_refused(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    assert not check_keys(str(path), DEFAULT).whole


def test_hashtags_may_first_come_after_a_hundred_objects(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    lines = [json.dumps(post())] * 100 + [json.dumps(post(hashtags=["a"]))]
    rows, _ = read(path, "\n".join(lines))
    check_keys(str(path), DEFAULT)
    assert rows[-1].hashtags == ("a",)


def test_how_many_objects_have_a_key_is_told(tmp_path: Path) -> None:
    objects = [post(caption=None), post(uploader="a", caption="c"), YTDLP | {"license": None}]
    path = tmp_path / "x.jsonl"
    path.write_text("\n".join(map(json.dumps, objects)) + "\nno json\n")
    (batch,) = read_jsonl(str(path), DEFAULT)
    assert batch.seen == {
        "video_id": 3,
        "uri": 3,
        "hashtags": 1,
        "caption": 3,
        "uploader": 2,
        "licence": 1,
        "duration_s": 1,
        "start_s": 0,
        "end_s": 0,
    }


def test_whole_numbers_are_texts_without_a_point(tmp_path: Path) -> None:
    rows, _ = read_objects(
        tmp_path, post(video_id=1.0, hashtags=[2.0, 2.5]), post(video_id=1e300, duration_s=-0.0)
    )
    assert [(row.video_id, row.hashtags, row.duration_s) for row in rows] == [
        ("1", ("2", "2.5"), None),
        ("1e+300", None, 0.0),
    ]


def test_a_duration_that_is_none_makes_the_row_unreadable_if_rows_are_chosen_by_it(
    tmp_path: Path,
) -> None:
    values = ["soon", True, {"s": 1}, [1], float("inf"), None, float("nan"), "0:10:00", 600, "9 s"]
    text = "\n".join(json.dumps(post(duration_s=value)) for value in values)
    rows, unreadable = read(tmp_path / "x.jsonl", text, MatchOptions(max_duration_s=1000))
    assert [row.duration_s for row in rows] == [None, None, 600, 600, 9]
    assert unreadable == [(line, "duration is no length") for line in range(1, 6)]
    rows, unreadable = read(tmp_path / "x.jsonl", text)
    assert ([row.duration_s for row in rows[:5]], unreadable) == ([None] * 5, [])


def test_keys_may_come_after_broken_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("broken\n\n" * 200 + json.dumps(post(caption="c")))
    check_keys(str(path), DEFAULT)
    path.write_text("broken\n\n" * 200 + json.dumps({"caption": "c"}))
    with pytest.raises(CatalogError, match="needs the columns"):
        check_keys(str(path), DEFAULT)
