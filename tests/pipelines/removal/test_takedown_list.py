import json
from pathlib import Path

import pytest

from pipelines.identity import name_hash, row_key
from pipelines.removal.takedown_list import (
    LIST,
    Entry,
    TakedownList,
    read_entries,
    read_list,
    write_list,
)
from pipelines.run import JobError

URL = "https://example.org/a.mp4#t=1"


def entries(tmp_path: Path, content: bytes) -> list[tuple[tuple[str, ...], str]]:
    (tmp_path / "ids.txt").write_bytes(content)
    return [(e.kinds, e.value) for e in read_entries(str(tmp_path / "ids.txt"))]


def test_a_line_is_an_id_a_uri_or_an_uploader(tmp_path: Path) -> None:
    text = f"\ufeff# why\r\n\r\n v1 \r\n{URL}\nuploader: Ann Lee\nid:uri:x\nuri:b.mp4\n9:5\u2028x"
    assert entries(tmp_path, text.encode()) == [
        (("id", "uri"), "v1"),
        (("id", "uri"), URL),
        (("uploader",), "Ann Lee"),
        (("id",), "uri:x"),
        (("uri",), "b.mp4"),
        (("id", "uri"), "9:5\u2028x"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "ids.txt: names nothing"),
        (b"a\nid:  \n", "ids.txt: line 2: 'id:' names nothing after the colon"),
        (b"\xff\xfea\x00", "ids.txt: cannot be read as a UTF-8 list"),
    ],
)
def test_a_file_that_is_no_list_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(JobError, match=message):
        entries(tmp_path, content)


def test_the_list_holds_hashes_and_comes_back_equal(tmp_path: Path) -> None:
    named = [
        Entry("ann", ("id", "uri"), "ann"),
        Entry("uploader:bob", ("uploader",), "bob"),
    ]
    taken = TakedownList(unfinished=("fetch",)).with_entries(named).with_videos({"k": "id"})
    write_list(tmp_path, taken)
    assert read_list(tmp_path) == taken
    text = (tmp_path / LIST).read_text()
    assert "ann" not in text and "bob" not in text
    content = json.loads(text)
    assert content["names"] == {
        name_hash("id", "ann"): "id",
        name_hash("uploader", "bob"): "uploader",
    }
    assert content["videos"] == {row_key("ann"): "uri", "k": "id"}


def test_a_video_is_found_by_any_of_its_names_and_the_first_reason_stays() -> None:
    taken = TakedownList().with_entries([Entry("a", ("id",), "a"), Entry("b", ("uploader",), "b")])
    assert taken.kind_of("key", [("id", "x"), ("uploader", "b")]) == "uploader"
    assert taken.kind_of("key", [("uploader", "b"), ("id", "a")]) == "id"
    assert taken.kind_of("key", [("uploader", "a"), ("id", "b")]) is None
    again = taken.with_videos({"key": "uploader"}).with_videos({"key": "id"})
    assert again.kind_of("key", []) == "uploader"


def test_without_a_list_nothing_is_taken_down_and_a_damaged_one_stops_the_job(
    tmp_path: Path,
) -> None:
    assert not read_list(tmp_path)
    for content in ("{", "[]", '{"format": 2, "names": {}, "videos": {}, "unfinished": null}'):
        (tmp_path / LIST).write_text(content)
        with pytest.raises(JobError, match=r"takedown\.json: damaged"):
            read_list(tmp_path)


def test_a_takedown_of_no_file_says_how_to_name_one() -> None:
    with pytest.raises(JobError, match="IDS=path"):
        read_entries("")
