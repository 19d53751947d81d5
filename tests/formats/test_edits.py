from pathlib import Path

import numpy as np
import pytest

from formats.edits import AS_IS, EDITS, MAX_SECONDS, PICTURE_IN_PICTURE, edit_video, master_options
from formats.mp4 import read_facts
from formats.video import DecodeError, VideoOptions, decode_rgb, encode_frames, normalise
from tests.formats.generated_video import bars, numbered

OPTIONS = master_options(VideoOptions())
# Width, height and seconds of an edit of a video of 160x96 and 3 s; of all others they stay.
SHAPES = {
    "scale96": (160, 96, 3.0),
    "crop05": (152, 90, 3.0),
    "crop10": (144, 86, 3.0),
    "crop20": (128, 76, 3.0),
    "crop35": (104, 62, 3.0),
    "crop20off": (128, 76, 3.0),
    "square": (96, 96, 3.0),
    "letterbox": (160, 128, 3.0),
    "pillarbox": (214, 96, 3.0),
    "portrait_black": (270, 480, 3.0),
    "portrait_blur": (270, 480, 3.0),
    "portrait_text": (270, 480, 3.0),
    "caption_bar": (160, 120, 3.0),
    "mirror_crop_contrast": (140, 84, 3.0),
    "crop_tilt_gamma_fast": (146, 88, 3 / 1.1),
    "slow08": (160, 96, 3 / 0.8),
    "fast125": (160, 96, 3 / 1.25),
    "fast2": (160, 96, 1.5),
    "trim4": (160, 96, 1.8),
    "inside": (160, 96, 19.0),
    "rotate90": (96, 160, 3.0),
}


@pytest.fixture(scope="module")
def masters(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Bars of 160x96 and 3 s, and a video of gray frames of another form to go with them."""
    folder = tmp_path_factory.mktemp("masters")
    encode_frames(str(folder / "bars.mp4"), bars(30), fps=10)
    encode_frames(str(folder / "gray.mp4"), numbered(12), fps=8)
    for name in ("bars", "gray"):
        normalise(str(folder / f"{name}.mp4"), str(folder / f"{name}.master"), OPTIONS)
    return str(folder / "bars.master"), str(folder / "gray.master")


def edited(name: str, masters: tuple[str, str], folder: Path) -> str:
    path = str(folder / f"{name}.mp4")
    edit_video(*masters, path, name, OPTIONS)
    return path


def middle(path: str) -> np.ndarray:
    facts = read_facts(path)
    frames = decode_rgb(path, fps=None, height=facts.height, width=facts.width)
    return frames[len(frames) // 2].astype(float)


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_leaves_a_video_of_the_size_and_length_it_says(
    name: str, masters: tuple[str, str], tmp_path: Path
) -> None:
    facts = read_facts(edited(name, masters, tmp_path))
    width, height, seconds = SHAPES.get(name, (160, 96, 3.0))
    assert (facts.width, facts.height) == (width, height)
    assert facts.duration_s == pytest.approx(seconds, abs=0.21)
    assert facts.fps == (12 if name == "fps12" else 10)
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.mp4"]


def test_there_are_37_edits_each_said_in_one_line_and_one_that_changes_nothing() -> None:
    assert len(EDITS) == 38 and next(iter(EDITS)) == AS_IS
    assert set(PICTURE_IN_PICTURE) | {"inside"} == {n for n, e in EDITS.items() if e.holds_other}
    assert all(0 < len(edit.says) <= 80 and "\n" not in edit.says for edit in EDITS.values())


def test_the_picture_is_changed_as_the_name_says(masters: tuple[str, str], tmp_path: Path) -> None:
    plain, mirror, gray, bright, pip, caption = (
        middle(edited(name, masters, tmp_path))
        for name in (AS_IS, "mirror", "gray", "bright", "pip50", "caption_bar")
    )
    assert np.abs(mirror[:, ::-1] - plain).mean() < 3 < np.abs(mirror - plain).mean()
    assert np.ptp(gray, axis=2).max() < 6 < np.ptp(plain, axis=2).max()
    assert bright.mean() > plain.mean() + 30
    # The gray of the second video around the first, half as wide.
    assert np.ptp(pip[:14], axis=2).max() < 6 < np.ptp(pip[20:60, 60:120], axis=2).max()
    assert np.median(caption[:20]) > 250 and np.abs(caption[24:] - plain).mean() < 3


def test_the_same_masters_give_the_same_bytes(masters: tuple[str, str], tmp_path: Path) -> None:
    again = tmp_path / "again"
    again.mkdir()
    for name in ("noise", "sticker28", "inside"):
        first, second = (Path(edited(name, masters, f)) for f in (tmp_path, again))
        assert first.read_bytes() == second.read_bytes()


def test_of_a_long_video_only_the_first_seconds_are_shown(tmp_path: Path) -> None:
    encode_frames(str(tmp_path / "long.mp4"), numbered(45), fps=4)
    master = str(tmp_path / "master.mp4")
    normalise(str(tmp_path / "long.mp4"), master, OPTIONS)
    assert read_facts(master).duration_s == 11.25 > MAX_SECONDS
    assert read_facts(edited("gray", (master, master), tmp_path)).duration_s == MAX_SECONDS


def test_a_damaged_master_is_refused_and_leaves_nothing(
    masters: tuple[str, str], tmp_path: Path
) -> None:
    content = bytearray(Path(masters[0]).read_bytes())
    content[-1500:-200] = b"\xff" * 1300
    broken = tmp_path / "broken"
    broken.write_bytes(content)
    with pytest.raises(DecodeError, match="damaged"):
        edited("gray", (str(broken), masters[1]), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]
    with pytest.raises(KeyError):
        edited("crop99", masters, tmp_path)
