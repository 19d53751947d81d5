import pytest

from formats.tables import to_batch
from pipelines.joins import FetchedVideo
from pipelines.tallies import MatchUri, Tally, count_outcomes, host_of, tally_hosts, total


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("https://Example.ORG:443/a?b", "example.org"),
        ("http://example.org:443/a", "example.org:443"),
        ("https://user:word@example.org/", "example.org"),
        ("http://[::1]:80/a", "[::1]"),
        ("http://Example.org.:8080/a", "example.org:8080"),
        ("http://example.org/a b", "no host"),
        ("gs://bucket/folder/a.mp4", "gs://bucket"),
        ("folder/a.mp4", "files"),
        ("/folder/http://a", "files"),
        ("file:///folder/a.mp4", "files"),
        ("http:///a", "no host"),
        ("http://a:99999999/", "no host"),
        ("ftp://example.org/a", "no host"),
        ("", "files"),
    ],
)
def test_a_uri_has_one_host(uri: str, host: str) -> None:
    assert host_of(uri) == host


def test_a_host_name_of_any_length_is_kept_short() -> None:
    assert len(host_of(f"http://{'a' * 8000}/")) == len(host_of(f"s3://{'b' * 8000}/c")) == 263


def test_a_bucket_of_matches_is_added_up_by_host_and_outcome() -> None:
    matches = [
        MatchUri("a", "http://one/1"),
        MatchUri("b", "http://one/2"),
        MatchUri("c", "http://two/1"),
        MatchUri("d", "", "uri"),
    ]
    videos = [
        FetchedVideo("a", "a", "stored", None, "p", 0, 10, 1.0, 3, source_bytes=100),
        FetchedVideo("b", "b", "rejected", "gone", None, None, None, None, 1),
        FetchedVideo("b", "b", "stored", None, "p", 0, 5, 1.0, 2, source_bytes=50),
        FetchedVideo("c", "c", "retry_later", "busy", None, None, None, None, 4),
        FetchedVideo("gone from the catalog", "x", "stored", None, "p", 0, 1, 1.0, 1),
    ]
    tables = {
        "matches": [to_batch([row], MatchUri) for row in matches],
        "videos": [to_batch([row], FetchedVideo) for row in videos],
    }
    found = dict(tally_hosts(0, tables))  # type: ignore[arg-type]
    assert found == {
        "one": Tally({"stored": 2}, 5, 3, 150, 15),
        "two": Tally({"retry_later:busy": 1}, 4, 3, 0, 0),
    }
    assert total(found.values()) == Tally({"retry_later:busy": 1, "stored": 2}, 9, 6, 150, 15)


def test_pieces_of_a_source_are_videos_of_their_own_and_one_download() -> None:
    uris = {"a": "http://one/1#t=0,2", "b": "http://one/1#t=2,4", "c": "http://one/1", "d": "x.mp4"}
    videos = [
        FetchedVideo("a", "a", "stored", None, "p", 0, 10, 2.0, 2, source_bytes=100),
        # Tried once more on its own, later.
        FetchedVideo("b", "b", "rejected", "too_short", None, None, None, None, 3, None, None, 100),
        FetchedVideo("c", "c", "stored", None, "p", 0, 30, 9.0, 2, source_bytes=100),
        FetchedVideo("d", "d", "stored", None, "p", 0, 5, 1.0, 1, source_bytes=7),
    ]
    tables = {
        "matches": [to_batch([MatchUri(*pair) for pair in uris.items()], MatchUri)],
        "videos": [to_batch(videos, FetchedVideo)],
    }
    assert dict(tally_hosts(0, tables)) == {  # type: ignore[arg-type]
        "one": Tally({"stored": 2, "rejected:too_short": 1}, 3, 2, 100, 40),
        "files": Tally({"stored": 1}, 1, 0, 7, 5),
    }


def test_a_match_without_an_outcome_is_an_error() -> None:
    tables = {"matches": [to_batch([MatchUri("a", "http://one/1")], MatchUri)], "videos": []}
    with pytest.raises(KeyError, match="a"):
        list(tally_hosts(0, tables))  # type: ignore[arg-type]


def test_what_was_rejected_and_what_is_to_be_tried_again_are_one_reason() -> None:
    tally = Tally({"stored": 1, "rejected:timeout": 2, "retry_later:timeout": 3})
    assert (tally.videos, tally.failures, tally.reasons) == (6, 5, {"timeout": 5})
    assert sorted(count_outcomes("host", tally)) == [
        ("rejected", 2),
        ("rejected:timeout", 2),
        ("retry_later", 3),
        ("retry_later:timeout", 3),
        ("stored", 1),
    ]
