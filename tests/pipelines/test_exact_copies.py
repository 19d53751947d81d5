from dataclasses import dataclass

import pytest

from formats.tables import TargetVideoRow
from pipelines.exact_copies import ExactCopies, ExactCopy, platform_id
from pipelines.identity import row_key


@dataclass(frozen=True)
class Source:
    uri: str = "https://example.org/a.mp4"
    video_id: str = "a"
    final_uri: str | None = None
    source_sha256: str | None = "11"
    packets_sha256: str | None = "22"
    names: tuple[str, ...] = ("uploader:uri:x",)

    @property
    def row_key(self) -> str:
        return row_key(self.uri)


def tiers(target: TargetVideoRow, source: Source) -> list[str]:
    return [copy.tier for copy in ExactCopies({"bench": [target]}).find(source)]


def target(video_id: str = "t", uri: str = "t.mp4", **more: str) -> TargetVideoRow:
    return TargetVideoRow(video_id, uri, **more)


@pytest.mark.parametrize(
    ("theirs", "ours", "tier"),
    [
        ("https://example.org/a.mp4", Source(), "uri"),
        ("http://example.org/a.mp4", Source(), "uri"),
        ("https://cdn.org/x.mp4", Source(final_uri="https://cdn.org/x.mp4"), "uri"),
        ("https://example.org/b.mp4", Source(), None),
        (
            "http://example.org/b.mp4",
            Source(
                uri="http://example.org/b.mp4#t=1,2",
                final_uri="https://cdn.org/x.mp4",
                names=("uploader:u", "uri:http://example.org/b.mp4"),
            ),
            "uri",
        ),
        # Two folders may both have an `a.mp4`.
        ("a.mp4", Source(uri="a.mp4"), None),
        ("https://www.youtube.com/watch?v=-3B32lodo2M", Source(video_id="-3B32lodo2M"), "video_id"),
        ("train/-3B32lodo2M_000059_000069.mp4", Source(video_id="-3B32lodo2M"), "video_id"),
        ("x.mp4", Source(final_uri="https://youtu.be/-3B32lodo2M?t=3"), None),
    ],
)
def test_a_video_is_known_by_its_address(theirs: str, ours: Source, tier: str | None) -> None:
    assert tiers(target(uri=theirs), ours) == ([tier] if tier else [])


def test_a_platforms_id_counts_and_a_number_of_ones_own_does_not() -> None:
    assert tiers(target("-3B32lodo2M"), Source(video_id="-3B32lodo2M")) == ["video_id"]
    assert tiers(target("-3B32lodo2M"), Source(final_uri="https://youtu.be/-3B32lodo2M")) == [
        "video_id"
    ]
    assert tiers(target("7"), Source(video_id="7")) == []
    assert tiers(target("clip_00012"), Source(video_id="clip_00012")) == []


def test_a_video_is_known_by_its_bytes_and_by_its_packets() -> None:
    assert tiers(target(source_sha256="11", packets_sha256="22"), Source()) == ["sha256"]
    assert tiers(target(source_sha256="33", packets_sha256="22"), Source()) == ["packets"]
    assert tiers(target(source_sha256="22", packets_sha256="11"), Source()) == []
    assert tiers(target(), Source(source_sha256=None, packets_sha256=None)) == []


def test_each_target_video_is_named_once_by_its_plainest_tier() -> None:
    copies = ExactCopies(
        {
            "one": [target("a", "http://example.org/a.mp4", source_sha256="11")],
            "two": [target("b", packets_sha256="22"), target("c", source_sha256="9")],
        }
    )
    assert copies.find(Source()) == [ExactCopy("packets", "two", "b"), ExactCopy("uri", "one", "a")]
    assert ExactCopies({}).find(Source()) == []


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("https://www.youtube.com/watch?app=desktop&v=dQw4w9WgXcQ&t=1s", "dQw4w9WgXcQ"),
        ("https://m.youtube.com/shorts/dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("https://evil.org/watch?v=dQw4w9WgXcQ", None),
        ("dQw4w9WgXcQ", "dQw4w9WgXcQ"),
        ("Video_00001", None),
        ("HandStand_1", None),
        ("basketballs", None),
        ("00000000001", None),
        ("6812345678901234567", "6812345678901234567"),
        ("20171114", None),
        ("0f8fad5b-d9cb-469f-a165-70867728950e", "0f8fad5b-d9cb-469f-a165-70867728950e"),
        ("", None),
    ],
)
def test_what_counts_as_an_id_that_a_platform_gave(name: str, known: str | None) -> None:
    assert platform_id(name) == known
