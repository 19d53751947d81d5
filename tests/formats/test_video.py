import hashlib
from pathlib import Path

import numpy as np
import pytest

from formats.mp4 import Mp4Facts, read_facts
from formats.video import (
    DecodeError,
    cut,
    decode_gray,
    decode_rgb,
    encode_frames,
    normalise,
    thumbnail_jpeg,
)
from tests.formats.generated_video import (
    CLIPS,
    OPTIONS,
    bars,
    ffmpeg,
    lavfi,
    numbered,
    numbers,
    shape,
)


@pytest.fixture(scope="module")
def bar_mp4(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "bar.mp4"
    encode_frames(str(path), bars(75, 240, 320), fps=25)
    return path


def test_a_video_is_scaled_and_sampled_in_one_go(bar_mp4, tmp_path):
    stored = normalise(str(bar_mp4), str(tmp_path / "stored.mp4"), OPTIONS)
    assert (stored.width, stored.height, stored.fps, stored.frames) == (170, 128, 25.0, 75)
    assert stored.duration_s == 3.0
    assert stored.seconds_T.tolist() == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert stored.seconds_T.dtype == np.float32
    assert stored.gray_THW.shape == (6, 128, 128) and stored.gray_THW.dtype == np.uint8
    assert read_facts(str(tmp_path / "stored.mp4")) == Mp4Facts(170, 128, 75, 3.0, 25.0)


def test_gray_frames_show_their_second(bar_mp4, tmp_path):
    stored = normalise(str(bar_mp4), str(tmp_path / "stored.mp4"), OPTIONS)
    peaks = [int(np.convolve(f.mean(0), np.ones(6), "valid").argmax()) for f in stored.gray_THW]
    at_25_fps = [2 * round(25 * second) * 128 / 320 for second in stored.seconds_T]
    assert np.abs(np.array(peaks) - at_25_fps).max() <= 2


def test_the_same_source_gives_the_same_bytes_under_any_name(bar_mp4, tmp_path):
    copy = tmp_path / "-%03d 'x'\n.gif"
    copy.write_bytes(bar_mp4.read_bytes())
    normalise(str(bar_mp4), str(tmp_path / "one.mp4"), OPTIONS)
    normalise(str(copy), str(tmp_path / "two.mp4"), OPTIONS)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()


def test_stored_video_is_plain_h264_that_starts_with_its_index(bar_mp4, tmp_path):
    normalise(str(bar_mp4), str(tmp_path / "stored.mp4"), OPTIONS)
    content = (tmp_path / "stored.mp4").read_bytes()
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")
    assert b"x264 - core" not in content and b"Lavf" not in content
    key_frames = content[content.index(b"stss") + 8 :]
    count = int.from_bytes(key_frames[:4], "big")
    listed = [int.from_bytes(key_frames[4 + 4 * i : 8 + 4 * i], "big") for i in range(count)]
    assert listed == [1, 13, 25, 37, 49, 61, 73]
    assert b"ctts" not in content  # No B-frames.


def test_sound_tags_and_subtitles_are_dropped(tmp_path):
    source = tmp_path / "tagged.mp4"
    tags = ("-metadata", "title=Secret", "-metadata", "comment=Secret")
    lavfi(source, "testsrc=s=64x64:r=25:d=2", "-f", "lavfi", "-i", "sine=d=2", *tags)
    normalise(str(source), str(tmp_path / "stored.mp4"), OPTIONS)
    content = (tmp_path / "stored.mp4").read_bytes()
    assert b"Secret" not in content and b"soun" not in content


@pytest.mark.parametrize(
    ("graph", "args", "expected"),
    [
        ("testsrc=s=64x48:r=25:d=1", (), (64, 48, 25.0, 25)),  # never enlarged
        ("testsrc=s=640x360:r=25:d=1", (), (228, 128, 25.0, 25)),
        ("testsrc=s=360x640:r=25:d=1", (), (128, 228, 25.0, 25)),
        ("testsrc=s=201x151:r=25:d=1", ("-pix_fmt", "yuv444p"), (170, 128, 25.0, 25)),
        ("testsrc=s=64x64:r=60:d=1", (), (64, 64, 30.0, 30)),
        ("testsrc=s=64x64:r=30000/1001:d=2", (), (64, 64, 29.97, 60)),
        ("testsrc=s=64x64:r=5:d=2", (), (64, 64, 5.0, 10)),
        ("testsrc=s=64x64:r=25:d=1,setsar=2", (), (64, 32, 25.0, 25)),
        ("testsrc=s=64x64:r=25:d=1,setsar=1/2", (), (32, 64, 25.0, 25)),
    ],
)
def test_size_and_rate_of_stored_videos(tmp_path, graph, args, expected):
    assert shape(lavfi(tmp_path / "source.mp4", graph, *args), tmp_path) == expected


@pytest.mark.parametrize(
    ("suffix", "args"),
    [
        (".webm", ("-c:v", "libvpx", "-b:v", "1M")),
        (".mkv", ("-c:v", "ffv1")),
        (".avi", ("-c:v", "mpeg4")),
        (".mov", ("-c:v", "mjpeg", "-pix_fmt", "yuvj420p")),
        (".mpg", ("-c:v", "mpeg2video")),
        (".ts", ("-c:v", "libx264")),
        (".flv", ("-c:v", "flv1")),
        (".ogv", ("-c:v", "libtheora")),
        (".wmv", ("-c:v", "wmv2")),
        (".3gp", ("-c:v", "libx264")),
    ],
)
def test_every_common_container_is_accepted(tmp_path, suffix, args):
    source = lavfi(tmp_path / f"source{suffix}", "testsrc=s=64x64:r=25:d=2", *args)
    width, height, fps, frames = shape(source, tmp_path)
    assert (width, height, fps) == (64, 64, 25.0)
    assert abs(frames - 50) <= 1


def test_a_gif_keeps_its_ten_frames_per_second(tmp_path):
    encode_frames(str(tmp_path / "bar.gif"), bars(20), fps=10, codec="gif")
    assert shape(str(tmp_path / "bar.gif"), tmp_path) == (160, 96, 10.0, 20)


def test_a_rotated_video_is_stored_upright(bar_mp4, tmp_path):
    ffmpeg("-display_rotation", "90", "-i", bar_mp4, "-c", "copy", tmp_path / "turned.mp4")
    assert shape(str(tmp_path / "turned.mp4"), tmp_path) == (128, 170, 25.0, 75)
    _, _, width, height = decode_gray(str(tmp_path / "turned.mp4"), OPTIONS)
    assert (width, height) == (240, 320)


def test_a_change_of_size_halfway_is_accepted(tmp_path):
    for name, size in (("one", "64x64"), ("two", "96x64")):
        lavfi(tmp_path / f"{name}.ts", f"testsrc=s={size}:r=25:d=1", "-c:v", "mpeg2video")
    both = (tmp_path / "one.ts").read_bytes() + (tmp_path / "two.ts").read_bytes()
    (tmp_path / "both.ts").write_bytes(both)
    width, height, fps, frames = shape(str(tmp_path / "both.ts"), tmp_path)
    assert (width, height, fps) == (64, 64, 25.0) and 48 <= frames <= 51


def test_uneven_frame_times_become_a_constant_rate(tmp_path):
    graph = "testsrc=s=64x64:r=25:d=2,select='not(between(n,10,29))'"
    source = lavfi(tmp_path / "vfr.mkv", graph, "-fps_mode", "vfr", "-c:v", "ffv1")
    assert shape(source, tmp_path) == (64, 64, 25.0, 50)


def test_a_late_first_frame_counts_as_second_zero(tmp_path):
    lavfi(tmp_path / "source.mkv", "testsrc=s=64x64:r=25:d=4", "-c:v", "ffv1")
    sound = ("-f", "lavfi", "-i", "sine=d=5", "-map", "0:v", "-map", "1:a")
    late = tmp_path / "late.mkv"
    ffmpeg("-itsoffset", 1, "-i", tmp_path / "source.mkv", *sound, "-c:v", "copy", late)
    stored = normalise(str(late), str(tmp_path / "stored.mp4"), OPTIONS)
    assert (stored.duration_s, stored.frames) == (4.0, 100)
    assert stored.seconds_T[0] == 0.0


def test_a_matroska_file_that_begins_late_is_whole(bar_mp4, tmp_path):
    ffmpeg("-itsoffset", 5, "-i", bar_mp4, "-c", "copy", tmp_path / "late.mkv")
    stored = normalise(str(tmp_path / "late.mkv"), str(tmp_path / "stored.mp4"), OPTIONS)
    assert (stored.duration_s, stored.frames) == (3.0, 75)


def test_beyond_a_minute_gray_frames_come_once_a_second(tmp_path):
    source = lavfi(tmp_path / "long.mp4", "testsrc=s=64x64:r=5:d=64")
    gray_THW, seconds_T, *size = decode_gray(source, OPTIONS)
    dense = [tick / 2 for tick in range(120)]
    assert seconds_T.tolist() == [*dense, 60.0, 61.0, 62.0, 63.0]
    assert len(gray_THW) == len(seconds_T) and size == [64, 64]


def test_source_and_target_frames_are_the_same(bar_mp4, tmp_path):
    stored = normalise(str(bar_mp4), str(tmp_path / "stored.mp4"), OPTIONS)
    gray_THW, seconds_T, width, height = decode_gray(str(bar_mp4), OPTIONS)
    assert np.array_equal(gray_THW, stored.gray_THW)
    assert np.array_equal(seconds_T, stored.seconds_T)
    assert (width, height) == (320, 240)


def test_a_piece_holds_exactly_its_frames(tmp_path):
    encode_frames(str(tmp_path / "source.mp4"), numbered(45), fps=15, crf=1)
    for start_s, end_s, expected in [
        (0.0, 1.0, range(0, 15)),
        (1.0, 2.0, range(15, 30)),
        (1.2, 1.4, range(18, 21)),
        (2.0, 9.0, range(30, 45)),
    ]:
        piece = tmp_path / "piece.mp4"
        source = str(tmp_path / "source.mp4")
        cut(source, str(piece), start_s=start_s, end_s=end_s, options=OPTIONS)
        assert numbers(piece) == list(expected)
        assert read_facts(str(piece)).fps == 15.0


def test_pieces_lie_end_to_end_at_an_uneven_rate(tmp_path):
    source = lavfi(tmp_path / "source.mp4", "testsrc=s=64x64:r=30000/1001:d=4")
    normalise(source, str(tmp_path / "stored.mp4"), OPTIONS)
    frames = 0
    for start in range(4):
        piece = str(tmp_path / "piece.mp4")
        stored = str(tmp_path / "stored.mp4")
        cut(stored, piece, start_s=start, end_s=start + 1, options=OPTIONS)
        frames += read_facts(piece).frames
    assert frames == 120 == read_facts(str(tmp_path / "stored.mp4")).frames


def test_the_same_piece_has_the_same_bytes(tmp_path):
    encode_frames(str(tmp_path / "source.mp4"), bars(50), fps=25)
    digests = set()
    for name in ("one.mp4", "two.mp4"):
        piece = tmp_path / name
        cut(str(tmp_path / "source.mp4"), str(piece), start_s=0.5, end_s=1.5, options=OPTIONS)
        digests.add(hashlib.sha256(piece.read_bytes()).hexdigest())
    assert len(digests) == 1


def test_a_piece_beyond_the_end_is_refused(bar_mp4, tmp_path):
    piece = str(tmp_path / "piece.mp4")
    with pytest.raises(DecodeError, match="too_short"):
        cut(str(bar_mp4), piece, start_s=3.0, end_s=4.0, options=OPTIONS)
    with pytest.raises(ValueError, match="no piece from 2 to 2 s"):
        cut(str(bar_mp4), piece, start_s=2, end_s=2, options=OPTIONS)


def test_a_piece_of_what_is_no_stored_video_is_refused(tmp_path):
    (tmp_path / "source.mp4").write_bytes(b"x" * 100)
    with pytest.raises(DecodeError, match="damaged"):
        cut(
            str(tmp_path / "source.mp4"),
            str(tmp_path / "piece.mp4"),
            start_s=0,
            end_s=1,
            options=OPTIONS,
        )


def test_rgb_frames_at_their_own_rate_and_at_another(bar_mp4):
    every_THWC = decode_rgb(str(bar_mp4), fps=None, height=120, width=160)
    assert every_THWC.shape == (75, 120, 160, 3) and every_THWC.dtype == np.uint8
    assert decode_rgb(str(bar_mp4), fps=5, height=24, width=32).shape == (15, 24, 32, 3)
    truth_THWC = np.stack([frame[::2, ::2] for frame in bars(75, 240, 320)]).astype(int)
    assert np.abs(every_THWC - truth_THWC).mean() < 5


def test_rgb_frames_of_a_damaged_video_are_refused(tmp_path):
    (tmp_path / "source.mp4").write_bytes(b"x" * 100)
    with pytest.raises(DecodeError, match="not_video"):
        decode_rgb(str(tmp_path / "source.mp4"), fps=None, height=8, width=8)


def test_a_thumbnail_is_a_jpeg_of_its_second(bar_mp4):
    picture = thumbnail_jpeg(str(bar_mp4), second=1.0, height=60)
    assert picture[:3] == b"\xff\xd8\xff"
    assert picture == thumbnail_jpeg(str(bar_mp4), second=1.0, height=60)
    assert picture != thumbnail_jpeg(str(bar_mp4), second=2.0, height=60)


def test_no_thumbnail_beyond_the_end(bar_mp4):
    with pytest.raises(DecodeError, match="too_short"):
        thumbnail_jpeg(str(bar_mp4), second=30.0, height=60)


REAL = [
    ("codec_odd/torchcodec/av1_video.mkv", (228, 128, 25.0, 125)),
    ("codec_odd/torchcodec/nasa_13013_rotated.mp4", (128, 228, 29.97, 17)),
    ("codec_odd/torchcodec/testsrc2_odd_height_and_width_vp9_10bit.mp4", None),
    ("demo_misc/moviepy/no_duration.webm", None),
    ("demo_misc/opencv_doc/Megamind.avi", None),
    ("sign_asl_intel/again/again.mkv", None),
    ("sign_isl_gif/hello/hello.gif", None),
]


@pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")
@pytest.mark.parametrize(("name", "expected"), REAL)
def test_real_clips_are_accepted(tmp_path, name, expected):
    found = shape(str(CLIPS / name), tmp_path)
    assert min(found[:2]) <= 128 and found[3] >= 2
    assert expected in (None, found)
