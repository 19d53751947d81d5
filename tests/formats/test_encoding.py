import os

import pytest

from formats.video import encode_frames
from tests.formats.generated_video import bars, shape


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "h264"),
        ("a.mov", "h264"),
        ("a.mkv", "hevc"),
        ("a.webm", "vp8"),
        ("a.webm", "vp9"),
        ("a.avi", "mpeg4"),
        ("a.mkv", "mjpeg"),
        ("a.gif", "gif"),
    ],
)
def test_encoded_frames_come_back_and_are_the_same_bytes_twice(tmp_path, name, codec):
    contents = []
    for _ in range(2):
        encode_frames(str(tmp_path / name), bars(20), fps=10, codec=codec)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert shape(str(tmp_path / name), tmp_path) == (160, 96, 10.0, 20)


def test_a_lower_quality_is_a_smaller_file(tmp_path):
    sizes = []
    for crf in (18, 40):
        encode_frames(str(tmp_path / "a.mp4"), bars(20), fps=10, crf=crf)
        sizes.append((tmp_path / "a.mp4").stat().st_size)
    assert sizes[0] > sizes[1]


def test_frames_that_cannot_be_encoded_are_refused(tmp_path):
    path = str(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="no frames"):
        encode_frames(path, iter(()), fps=10)
    with pytest.raises(ValueError, match="codec must be one of h264, "):
        encode_frames(path, bars(2), fps=10, codec="tape")
    with pytest.raises(ValueError, match="161x96 has an odd side"):
        encode_frames(path, bars(2, 96, 161), fps=10)
    with pytest.raises(ValueError, match="uint8 \\(96, 162, 3\\)"):
        encode_frames(path, [*bars(1, 96, 162), *bars(1)], fps=10)
    with pytest.raises(RuntimeError, match="cannot be encoded"):
        encode_frames(str(tmp_path / "a.webm"), bars(2), fps=10, codec="h264")
    assert os.listdir(tmp_path) == []
