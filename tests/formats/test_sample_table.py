import io
import struct
from pathlib import Path

import av
import numpy as np
import pytest

from formats.mp4 import Mp4Error
from formats.sample_table import SampleTable, read_sample_table
from tests.formats.generated_video import CLIPS, ffmpeg, lavfi

PATTERN = "testsrc2=s=160x96:r=25:d=4"
SOUND = ("-f", "lavfi", "-i", "sine=d=4", "-c:a", "aac")
B_FRAMES = ("-c:v", "libx264", "-g", "24", "-bf", "3", "-threads", "1")
Rows = list[tuple[int, int, int, bool, bool]]


def table(content: bytes) -> SampleTable:
    return read_sample_table(lambda at, length: content[at : at + length], len(content))


def rows(found: SampleTable) -> Rows:
    assert not found.steady or (found.shown_N.all() and (np.diff(found.pts_N) > 0).all())
    columns = (found.offset_N, found.size_N, found.pts_N, found.key_N, found.shown_N)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def assert_as_libav(content: bytes) -> Rows:
    with av.open(io.BytesIO(content), format="mp4") as container:
        stream = container.streams.video[0]
        wanted = [
            (p.pos, p.size, p.pts, p.is_keyframe, not p.is_discard)
            for p in container.demux(stream)
            if p.size
        ]
        found = table(content)
        assert rows(found) == wanted
        assert found.extradata == stream.codec_context.extradata
        assert found.codec == stream.codec_context.codec.name
        assert (found.width, found.height) == (stream.width, stream.height)
        assert found.timescale == stream.time_base.denominator
    return wanted


@pytest.mark.parametrize(
    "args",
    [
        ("-c:v", "libx264", "-bf", "0"),
        B_FRAMES,
        (*SOUND, *B_FRAMES),
        (*B_FRAMES, "-movflags", "+faststart"),
        (*B_FRAMES, "-vf", "select=not(mod(n\\,3))+lt(n\\,20)", "-fps_mode", "vfr"),
        (*B_FRAMES, "-x264-params", "open-gop=1:keyint=10"),
        ("-c:v", "libx265", "-x265-params", "log-level=none", "-tag:v", "hvc1"),
        ("-c:v", "libsvtav1", "-preset", "12"),
        ("-c:v", "libx264", "-frames:v", "1"),
    ],
    ids=lambda args: " ".join(args)[-60:],
)
def test_the_packets_are_libavs(tmp_path: Path, args: tuple[str, ...]) -> None:
    assert_as_libav(Path(lavfi(tmp_path / "a.mp4", PATTERN, *args)).read_bytes())


@pytest.mark.parametrize("args", [B_FRAMES, (*SOUND, *B_FRAMES), ("-c:v", "libx264", "-bf", "0")])
def test_what_an_edit_list_cuts_off_is_not_shown(tmp_path: Path, args: tuple[str, ...]) -> None:
    whole = lavfi(tmp_path / "a.mp4", PATTERN, *args)
    ffmpeg("-ss", "1.2", "-i", whole, "-t", "1.5", "-c", "copy", tmp_path / "b.mp4")
    wanted = assert_as_libav((tmp_path / "b.mp4").read_bytes())
    assert {shown for *_, shown in wanted} == {True, False}


def test_a_video_as_fetch_stores_them_is_steady(tmp_path: Path) -> None:
    path = lavfi(tmp_path / "a.mp4", PATTERN, "-c:v", "libx264", "-bf", "0")
    content = Path(path).read_bytes()
    assert table(content).steady
    assert not table(replaced(content, b"stts", 12, 0)).steady
    assert not table(replaced(content, b"elst", 12, 1)).steady


def test_a_video_that_starts_late_is_as_libav_has_it(tmp_path: Path) -> None:
    whole = lavfi(tmp_path / "a.mp4", PATTERN, *B_FRAMES)
    ffmpeg("-itsoffset", "0.4", "-i", whole, "-c", "copy", tmp_path / "b.mp4")
    wanted = assert_as_libav((tmp_path / "b.mp4").read_bytes())
    assert min(pts for _, _, pts, _, _ in wanted) > 0


def with_wide_offsets(content: bytes) -> bytes:
    """The same with co64 for stco; the index must lie behind the frames."""
    moov = content.index(b"moov") - 4
    assert content.index(b"mdat") < moov
    at = content.index(b"stco") - 4
    (length,) = struct.unpack_from(">I", content, at)
    numbers = struct.unpack_from(f">{(length - 16) // 4}I", content, at + 16)
    wide = struct.pack(
        f">I4sII{len(numbers)}Q", 16 + 8 * len(numbers), b"co64", 0, len(numbers), *numbers
    )
    changed = bytearray(content[:at] + wide + content[at + length :])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        place = changed.index(kind, moov) - 4
        (old,) = struct.unpack_from(">I", changed, place)
        struct.pack_into(">I", changed, place, old + len(wide) - length)
    return bytes(changed)


def test_offsets_of_64_bits_are_read(tmp_path: Path) -> None:
    narrow = Path(lavfi(tmp_path / "a.mp4", PATTERN, *B_FRAMES)).read_bytes()
    wide = with_wide_offsets(narrow)
    assert b"co64" in wide and b"stco" not in wide
    assert assert_as_libav(wide) == rows(table(narrow))


@pytest.mark.skipif(not CLIPS.exists(), reason="no real clips here")
def test_real_files_are_as_libav_has_them() -> None:
    read = 0
    for path in sorted([*CLIPS.rglob("*.mp4"), *CLIPS.rglob("*.mov")]):
        content = path.read_bytes()
        try:
            table(content)
        except Mp4Error:
            continue
        assert_as_libav(content)
        read += 1
    assert read >= 50


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("small")
    return Path(lavfi(folder / "a.mp4", "testsrc2=s=64x48:r=25:d=1", *B_FRAMES)).read_bytes()


def test_whatever_byte_of_an_index_changes_the_answer_is_a_table_or_one_error(small: bytes) -> None:
    start, refused = small.index(b"moov") - 4, 0
    for place in range(start, len(small) - 4):
        old = int.from_bytes(small[place : place + 4], "big")
        # A bit of the first byte, all of it, and a word that may be a box's length: it is empty.
        for word in (old ^ 1 << 24, old ^ 0x80 << 24, old ^ 0xFF << 24, 0, 8):
            changed = bytearray(small)
            struct.pack_into(">I", changed, place, word)
            try:
                found = table(bytes(changed))
            except Mp4Error:
                refused += 1
                continue
            ends = found.offset_N + found.size_N
            assert found.offset_N.min() >= 0 and ends.max() <= len(small)
            assert len(rows(found)) == 25
    assert refused > 300


@pytest.mark.parametrize("kept", [0, 7, 8, 40, 0.5, 0.99])
def test_a_cut_file_is_refused(small: bytes, kept: float) -> None:
    with pytest.raises(Mp4Error):
        table(small[: int(kept * len(small)) if isinstance(kept, float) else kept])


def replaced(content: bytes, kind: bytes, at: int, number: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(">I", changed, content.index(kind) + 4 + at, number)
    return bytes(changed)


@pytest.mark.parametrize(
    ("kind", "at", "number", "message"),
    [
        (b"stss", 8, 99, "a key frame that is not there"),
        (b"stss", 8, 0, "a key frame that is not there"),
        (b"stsz", 8, 0xFFFFFFFF, "damaged"),
        (b"stts", 4, 0xFFFFFFFF, "damaged"),
        (b"stts", 8, 3, "shorter than the video"),
        (b"ctts", 4, 0xFFFFFFFF, "damaged"),
        (b"stco", 4, 0xFFFFFFFF, "damaged"),
        (b"stco", 8, 0xFFFFFF00, "outside of the file"),
        (b"mdhd", 12, 0, "no unit of time"),
        (b"elst", 16, 0x20000, "several pieces"),
    ],
)
def test_an_index_that_lies_is_refused_before_memory_is_taken(
    small: bytes, kind: bytes, at: int, number: int, message: str
) -> None:
    with pytest.raises(Mp4Error, match=message):
        table(replaced(small, kind, at, number))


def test_frames_of_one_size_cannot_be_more_than_an_index_can_list(small: bytes) -> None:
    lying = replaced(replaced(small, b"stsz", 4, 1), b"stsz", 8, 1 << 23)
    with pytest.raises(Mp4Error, match="more frames"):
        read_sample_table(lambda at, length: lying[at : at + length], 1 << 24)


def test_an_edit_that_would_leave_no_room_for_times_is_refused(small: bytes) -> None:
    at, moov = small.index(b"elst") - 4, small.index(b"moov")
    (old,) = struct.unpack_from(">I", small, at)
    edit = struct.pack(">I4sIIQqi", 36, b"elst", 1 << 24, 1, (1 << 63) - 1024, -1, 0x10000)
    changed = bytearray(small[:at] + edit + small[at + old :])
    for kind in (b"moov", b"trak", b"edts"):
        place = changed.index(kind, moov) - 4
        (length,) = struct.unpack_from(">I", changed, place)
        struct.pack_into(">I", changed, place, length + len(edit) - old)
    with pytest.raises(Mp4Error, match="far outside of the video"):
        table(bytes(changed))


def test_boxes_in_boxes_are_read_however_deep(small: bytes) -> None:
    deep = b"".join(struct.pack(">I4s", (1 << 20) - 8 * n, b"mdia") for n in range(1 << 17))
    track = struct.pack(">I4s", 8 + len(deep), b"trak") + deep
    with pytest.raises(Mp4Error, match="no video track"):
        table(struct.pack(">I4s", 8 + len(track), b"moov") + track)


def test_frames_of_one_size_cannot_be_more_than_the_file_holds(small: bytes) -> None:
    lying = replaced(replaced(small, b"stsz", 4, 1), b"stsz", 8, 0x7FFFFFFF)
    with pytest.raises(Mp4Error, match="more frames than the file has bytes for"):
        table(lying)


def test_only_the_index_and_the_head_are_read(tmp_path: Path) -> None:
    path = lavfi(tmp_path / "a.mp4", "testsrc2=s=640x480:r=25:d=8", "-c:v", "libx264", "-qp", "10")
    content, asked = Path(path).read_bytes(), []

    def read(at: int, length: int) -> bytes:
        asked.append(length)
        return content[at : at + length]

    found = read_sample_table(read, len(content))
    assert len(found.pts_N) == 200
    assert sum(asked) < 40_000 < len(content) / 10


def test_memory_is_a_few_numbers_per_frame(small: bytes) -> None:
    found = table(small)
    columns = [value for value in found if isinstance(value, np.ndarray)]
    assert sum(column.nbytes for column in columns) == 25 * (8 + 8 + 8 + 1)
