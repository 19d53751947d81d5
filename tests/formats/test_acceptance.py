import os
import time
from pathlib import Path

import pytest

from formats.tables import Reason
from formats.video import (
    DecodeError,
    VideoOptions,
    encode_frames,
    normalise,
)
from tests.formats.generated_video import (
    CLIPS,
    OPTIONS,
    SOME,
    bars,
    ffmpeg,
    lavfi,
    reason,
    shape,
    stub,
)


@pytest.fixture(scope="module")
def bar_mp4(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("source") / "bar.mp4"
    encode_frames(str(path), bars(75, 240, 320), fps=25)
    return path


def test_an_empty_file(tmp_path):
    (tmp_path / "source").write_bytes(b"")
    assert reason(tmp_path / "source") == Reason.EMPTY


@pytest.mark.parametrize(
    "content",
    [b"x", b"<!doctype html><html><body>Not found</body></html>" * 50, b"{}", bytes(5000)],
)
def test_what_is_no_video(tmp_path, content):
    (tmp_path / "source.mp4").write_bytes(content)
    assert reason(tmp_path / "source.mp4") == Reason.NOT_VIDEO


def test_sound_alone_is_no_video(tmp_path):
    lavfi(tmp_path / "sound.mp4", "sine=d=2")
    assert reason(tmp_path / "sound.mp4") == Reason.NOT_VIDEO


@pytest.mark.parametrize("suffix", [".m4a", ".mp3"])
def test_sound_with_a_cover_is_no_video(tmp_path, suffix):
    lavfi(tmp_path / "cover.jpg", "testsrc=s=64x64", "-frames:v", 1)
    sound = ("-i", tmp_path / "cover.jpg", "-map", 0, "-map", 1)
    cover = ("-c:v", "mjpeg", "-disposition:v", "attached_pic")
    source = lavfi(tmp_path / f"song{suffix}", "sine=d=2", *sound, *cover)
    assert reason(source) == Reason.NOT_VIDEO


def test_a_picture_named_like_a_video(tmp_path):
    lavfi(tmp_path / "picture.jpg", "testsrc=s=64x64", "-frames:v", 1)
    assert reason((tmp_path / "picture.jpg").rename(tmp_path / "p.mp4")) == Reason.NOT_VIDEO


@pytest.mark.parametrize("kept", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".avi"])
def test_a_cut_file_is_damaged(tmp_path, suffix, kept):
    codec = ("-c:v", "libvpx", "-b:v", "1M") if suffix == ".webm" else ("-c:v", "mpeg4")
    faststart = ("-movflags", "+faststart") if suffix == ".mp4" else ()
    source = tmp_path / f"source{suffix}"
    lavfi(source, "testsrc2=s=128x96:r=25:d=4", "-g", 25, *codec, *faststart)
    content = source.read_bytes()
    source.write_bytes(content[: int(kept * len(content))])
    assert reason(source) == Reason.DAMAGED


def test_a_file_cut_before_its_index_is_damaged(tmp_path):
    lavfi(tmp_path / "source.mp4", "testsrc2=s=128x96:r=25:d=2", "-c:v", "libx264")
    content = (tmp_path / "source.mp4").read_bytes()
    (tmp_path / "source.mp4").write_bytes(content[: len(content) // 2])
    assert reason(tmp_path / "source.mp4") == Reason.DAMAGED


def test_a_file_cut_in_its_first_kilobyte_is_damaged(tmp_path):
    lavfi(tmp_path / "source.mkv", "testsrc2=s=128x96:r=25:d=1", "-c:v", "libx264")
    content = (tmp_path / "source.mkv").read_bytes()
    (tmp_path / "source.mkv").write_bytes(content[:450])
    assert reason(tmp_path / "source.mkv") == Reason.DAMAGED


def test_a_hole_in_the_middle_is_damage(bar_mp4, tmp_path):
    content = bytearray(bar_mp4.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 1024] = bytes(1024)
    (tmp_path / "hole.mp4").write_bytes(content)
    assert reason(tmp_path / "hole.mp4") == Reason.DAMAGED


def test_one_frame_is_too_few(tmp_path):
    lavfi(tmp_path / "one.mp4", "testsrc=s=64x64:r=1:d=1")
    assert reason(tmp_path / "one.mp4") == Reason.TOO_FEW_FRAMES


def test_one_picture_as_a_gif_is_too_few(tmp_path):
    encode_frames(str(tmp_path / "one.gif"), bars(1), fps=1, codec="gif")
    assert reason(tmp_path / "one.gif") == Reason.TOO_FEW_FRAMES


def test_too_short_and_too_long_by_decoded_time(bar_mp4):
    assert reason(bar_mp4, VideoOptions(min_duration_s=3.1)) == Reason.TOO_SHORT
    assert reason(bar_mp4, VideoOptions(max_duration_s=2.9)) == Reason.TOO_LONG


def test_a_video_much_too_long_is_not_decoded_to_its_end(tmp_path):
    source = lavfi(tmp_path / "long.mp4", "color=s=64x64:r=30:d=900")
    started = time.process_time() + sum(os.times()[2:4])
    assert reason(source, VideoOptions(max_duration_s=5.0)) == Reason.TOO_LONG
    assert time.process_time() + sum(os.times()[2:4]) - started < 2


def test_two_frames_an_hour_apart_do_not_become_a_hundred_thousand(tmp_path):
    graph = "testsrc=s=64x64:r=1:d=2,setpts=N*3600/TB"
    source = lavfi(tmp_path / "gap.mkv", graph, "-fps_mode", "passthrough", "-c:v", "ffv1")
    assert reason(source) == Reason.TOO_FEW_FRAMES  # One in the first minute.


def test_too_many_pixels(bar_mp4):
    assert reason(bar_mp4, VideoOptions(max_pixels=320 * 239)) == Reason.TOO_MANY_PIXELS


def test_a_picture_bomb_is_refused_cheaply(tmp_path):
    header = b"GIF89a" + (16000).to_bytes(2, "little") * 2 + b"\x80\x00\x00\x00\x00\x00\xff\xff\xff"
    image = b",\x00\x00\x00\x00" + (16000).to_bytes(2, "little") * 2 + b"\x00\x02\x02\x4c\x01\x00;"
    (tmp_path / "bomb.gif").write_bytes(header + image)
    assert reason(tmp_path / "bomb.gif") == Reason.TOO_MANY_PIXELS


def test_a_film_with_forty_subtitles_is_a_video_and_hundreds_of_streams_are_not(bar_mp4, tmp_path):
    (tmp_path / "said.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nhello\n")
    for name, subtitles in (("film.mkv", 40), ("many.mkv", 300)):
        said = ["-map", "1:0"] * subtitles
        words = ["-i", bar_mp4, "-i", tmp_path / "said.srt", "-map", "0:v", *said, "-c:v", "copy"]
        ffmpeg(*words, tmp_path / name)
    assert shape(str(tmp_path / "film.mkv"), tmp_path)[2] == 25
    assert reason(tmp_path / "many.mkv") == Reason.DAMAGED


def test_too_little_memory(tmp_path):
    source = lavfi(tmp_path / "big.mp4", "color=s=3840x2160:r=25:d=0.2", "-preset", "ultrafast")
    assert reason(source, VideoOptions(memory_bytes=250 << 20)) == Reason.DECODER_MEMORY


@pytest.mark.parametrize("name", ["list.mp4", "list.ffconcat", "list.m3u8", "list.mpd"])
def test_a_list_of_neighbours_is_no_video(bar_mp4, tmp_path, name):
    (tmp_path / "bar.mp4").write_bytes(bar_mp4.read_bytes())
    lists = {
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nbar.mp4\n#EXT-X-ENDLIST\n",
        "list.mpd": f"<MPD><Period><BaseURL>file://{bar_mp4}</BaseURL></Period></MPD>",
    }
    (tmp_path / name).write_text(lists.get(name, "ffconcat version 1.0\nfile bar.mp4\n"))
    assert reason(tmp_path / name) == Reason.NOT_VIDEO


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("sleep 60", Reason.DECODER_TIMEOUT),
        ("kill -SEGV $$", Reason.DECODER_CRASHED),
        ("kill -KILL $$", Reason.DECODER_MEMORY),
        ("exit 0", Reason.TOO_FEW_FRAMES),
        ("exit 9", Reason.DECODER_CRASHED),
        ("echo '[error] Cannot allocate memory' >&2; exit 1", Reason.DECODER_MEMORY),
        ("echo 'x264 [error]: malloc of size 4098 failed' >&2; exit 187", Reason.DECODER_MEMORY),
        ("echo '[error] Resource temporarily unavailable' >&2; exit 69", Reason.DECODER_MEMORY),
        ("$real \"$@\"; echo '[h264 @ 0x1] [error] concealing' >&2", Reason.DAMAGED),
        ("$real \"$@\"; yes '[warning] dubious' | head -n 20000 >&2", Reason.DAMAGED),
        ('$real "$@"; rm stored.mp4; : > stored.mp4', Reason.DAMAGED),
        ('$real "$@"; echo more', Reason.DECODER_CRASHED),
    ],
)
def test_a_bad_end_of_the_decoder_has_a_reason(bar_mp4, tmp_path, monkeypatch, script, expected):
    (tmp_path / "source.mp4").write_bytes(bar_mp4.read_bytes())
    stub(tmp_path, monkeypatch, script)
    deadline_s = 0.5 if expected == Reason.DECODER_TIMEOUT else 30.0
    assert reason(tmp_path / "source.mp4", VideoOptions(deadline_s=deadline_s)) == expected


def test_half_the_frames_with_exit_code_zero_is_damage(bar_mp4, tmp_path, monkeypatch):
    (tmp_path / "source.mp4").write_bytes(bar_mp4.read_bytes())
    stub(tmp_path, monkeypatch, '$real "$@"; head -n 37 frames.txt > f; mv f frames.txt')
    assert reason(tmp_path / "source.mp4") == Reason.DAMAGED


def test_an_absurd_claim_is_not_believed(bar_mp4, tmp_path, monkeypatch):
    (tmp_path / "source.mp4").write_bytes(bar_mp4.read_bytes())
    stub(tmp_path, monkeypatch, '$real "$@" 2>&1 >&3 | sed "s/: 00:00:03/: 576:00:03/" >&2')
    # The stub's standard output is where the gray frames go.
    script = (tmp_path / "decoder.sh").read_text().replace("\n$real", "\nexec 3>&1\n$real")
    (tmp_path / "decoder.sh").write_text(script)
    kept = normalise(str(tmp_path / "source.mp4"), str(tmp_path / "stored.mp4"), OPTIONS)
    plain = normalise(str(bar_mp4), str(tmp_path / "plain.mp4"), OPTIONS)
    assert (kept.frames, kept.duration_s) == (plain.frames, plain.duration_s)


@pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("demo_misc/decord/corrupted.mp4", Reason.DAMAGED),
        ("demo_misc/moviepy/result.webm", Reason.EMPTY),
        ("codec_odd/torchcodec/gradient.gif", Reason.TOO_FEW_FRAMES),
        ("codec_odd/torchcodec/testsrc2_mpeg4.mp4", Reason.TOO_FEW_FRAMES),
    ],
)
def test_bad_real_clips_are_refused(tmp_path, name, expected):
    (tmp_path / "source").symlink_to(CLIPS / name)
    assert reason(tmp_path / "source", SOME) == expected


@pytest.mark.slow
@pytest.mark.skipif(not CLIPS.exists(), reason="the real clips are not here")
def test_of_the_real_clips_only_the_known_bad_ones_are_refused(tmp_path):
    refused = {}
    options = VideoOptions(min_duration_s=0.0, max_duration_s=200.0)
    for line in (CLIPS / "index.tsv").read_text().splitlines()[1:]:
        name = line.partition("\t")[0]
        try:
            normalise(str(CLIPS / name), str(tmp_path / "stored.mp4"), options)
        except DecodeError as error:
            refused[Path(name).name] = error.reason
    assert refused == {
        "corrupted.mp4": Reason.DAMAGED,
        "result.webm": Reason.EMPTY,
        "frame_exceeds_screen.gif": Reason.TOO_FEW_FRAMES,
        "gradient.gif": Reason.TOO_FEW_FRAMES,
        "transparent.gif": Reason.TOO_FEW_FRAMES,
        "testsrc2_mpeg4.mp4": Reason.TOO_FEW_FRAMES,
    }
