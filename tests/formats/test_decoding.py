from pathlib import Path

import numpy as np
import pytest

from formats.decoding import check_disk, private_folder, run_clean, whole_frames
from formats.encoding import SOURCE, VideoOptions, rgb_args
from formats.sandbox import Completed
from formats.storage import StorageError
from formats.video import DecodeError, encode_frames
from tests.formats.generated_video import bars

OPTIONS = VideoOptions()
ARGS = rgb_args(OPTIONS, fps=None, height=8, width=16)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "a video.mp4"
    encode_frames(str(path), bars(10), fps=10)
    return path


def test_a_file_is_decoded_under_a_neutral_name_in_a_folder_that_goes(video):
    with private_folder(str(video)) as folder:
        assert [path.name for path in folder.iterdir()] == [SOURCE]
        frames = whole_frames(run_clean(ARGS, folder, OPTIONS).stdout, (8, 16, 3))
    assert frames.shape == (10, 8, 16, 3)
    assert not folder.exists()
    assert video.exists()


def test_a_folder_beside_the_result_lets_it_be_renamed(video, tmp_path):
    with private_folder(str(video), beside=str(tmp_path / "result.mp4")) as folder:
        assert folder.parent == tmp_path


def test_whatever_the_decoder_complains_of_is_refused(video):
    video.write_bytes(video.read_bytes()[:-300])
    with private_folder(str(video)) as folder, pytest.raises(DecodeError):
        run_clean(ARGS, folder, OPTIONS)


def test_a_file_without_bytes_or_none_at_all_is_not_decoded(tmp_path):
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(DecodeError, match="empty"), private_folder(str(empty)):
        pass
    with pytest.raises(FileNotFoundError), private_folder(str(tmp_path / "gone.mp4")):
        pass


def test_an_output_that_ends_inside_a_frame_is_refused():
    assert np.array_equal(whole_frames(bytes([1, 2, 3, 4]), (2,)), [[1, 2], [3, 4]])
    with pytest.raises(DecodeError, match="ends inside a frame"):
        whole_frames(bytes(5), (2,))


def test_a_disk_that_is_full_is_not_the_videos_fault(tmp_path):
    # What ffmpeg says if it cannot write; `make trials` fills a disk to hear it.
    said = (
        "[info] Stream #0:0\n[out#3/streamhash @ 0x56439a01be80] [error] Error writing trailer: No "
        "space left on device\n[vost#1:0/rawvideo @ 0x559d539a3d40] [error] Terminating\n"
    )
    for code in (228, 234):
        with pytest.raises(StorageError, match=f"{tmp_path}: cannot be written: No space left"):
            check_disk(Completed(code, b"", said), tmp_path / "own")
    of_its_input = "[mov @ 0x1] [error] cannot open /x: No space left on device\n"
    for code, text in ((0, said), (1, of_its_input), (228, ""), (-9, of_its_input)):
        check_disk(Completed(code, b"", text), tmp_path / "own")
