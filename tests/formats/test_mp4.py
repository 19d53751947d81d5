from pathlib import Path

import pytest

from formats.mp4 import Mp4Error, Mp4Facts, read_facts
from formats.video import encode_frames
from tests.formats.generated_video import bars, lavfi


@pytest.fixture(scope="module")
def bar_mp4(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("mp4") / "bar.mp4"
    encode_frames(str(path), bars(30), fps=10)
    return path


def test_facts_are_read_off_the_index(bar_mp4):
    assert read_facts(str(bar_mp4)) == Mp4Facts(160, 96, 30, 3.0, 10.0)


def test_the_index_may_come_first_or_last(bar_mp4, tmp_path):
    for flags in ((), ("-movflags", "+faststart")):
        source = lavfi(tmp_path / "a.mp4", "testsrc=s=64x32:r=30000/1001:d=2", *flags)
        facts = read_facts(source)
        assert (facts.width, facts.height, facts.frames) == (64, 32, 60)
        assert facts.fps == pytest.approx(30000 / 1001, abs=1e-9)


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, -1])
def test_a_cut_file_is_refused(bar_mp4, tmp_path, kept):
    content = bar_mp4.read_bytes()
    kept = int(kept * len(content)) if isinstance(kept, float) else kept
    (tmp_path / "cut.mp4").write_bytes(content[:kept])
    with pytest.raises(Mp4Error, match="cut.mp4: "):
        read_facts(str(tmp_path / "cut.mp4"))


def test_what_is_no_mp4_or_has_no_frame_is_refused(bar_mp4, tmp_path):
    empty = bar_mp4.read_bytes().replace(b"stts", b"free")
    for content in (b"<html>" * 100, bytes(1000), empty):
        (tmp_path / "a.mp4").write_bytes(content)
        with pytest.raises(Mp4Error):
            read_facts(str(tmp_path / "a.mp4"))


def test_no_damage_to_the_index_raises_anything_else(bar_mp4, tmp_path):
    content = bar_mp4.read_bytes()
    start = content.index(b"moov")
    for place in range(start, start + 600, 7):
        changed = bytearray(content)
        changed[place] ^= 0xFF
        (tmp_path / "a.mp4").write_bytes(changed)
        try:
            read_facts(str(tmp_path / "a.mp4"))
        except Mp4Error:
            continue
