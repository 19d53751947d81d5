import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from av.codec.codec import UnknownCodecError

from tests.training.moving_clips import draw_motion, encode
from training import frames, libavcodec
from training.decoders import Bytes, PyAVDecoder, UnfitError, Wanted
from training.frames import StoredVideo, VideoError

SIZE = (48, 64)
PART = (2, 10, 40, 36)
BYTES = 40 * 36 * 3 // 2


def read_planes(content: bytes, numbers: list[int]) -> Bytes:
    rows = np.zeros((len(numbers), BYTES), np.uint8)
    StoredVideo(content).planes(numbers, PART)(rows)
    return rows


def both(monkeypatch: pytest.MonkeyPatch, content: bytes, numbers: list[int]) -> list[object]:
    """Planes, or why there are none, from the library and by way of PyAV."""
    told: list[object] = []
    for kind in (libavcodec.Decoder, PyAVDecoder):
        monkeypatch.setattr(frames, "_PLANES", kind)
        try:
            told.append(read_planes(content, numbers).tobytes())
        except VideoError as error:
            # PyAV adds which function said it.
            told.append(str(error).partition(": 'avcodec_")[0])
    return told


def packed(content: bytes) -> tuple[libavcodec.Decoder, bytes, list[tuple[int, int, int]]]:
    """A decoder and the packets of a video."""
    video = StoredVideo(content)
    span, packets = video._packets(0, video.num_frames - 1)
    decoder = libavcodec.Decoder(video._table.codec, video._table.extradata)
    return decoder, video._read(*span), packets


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"bf": "0"}),
        ("libx264", {"bf": "3", "g": "40"}),
        ("libx265", {"x265-params": "log-level=none:bframes=3"}),
        ("libsvtav1", {}),
    ],
)
@pytest.mark.parametrize("numbers", [list(range(7, 29)), [31, 3, 3, 39, 0]])
def test_planes_are_those_that_pyav_gives(
    monkeypatch: pytest.MonkeyPatch, codec: str, options: dict[str, str], numbers: list[int]
) -> None:
    content = encode(draw_motion("left", 40, 1), codec=codec, **options)
    direct, by_way_of_pyav = both(monkeypatch, content, numbers)
    assert direct == by_way_of_pyav
    assert isinstance(direct, bytes)
    assert len(set(np.frombuffer(direct, np.uint8).tolist())) > 50


def test_a_packet_that_waits_at_the_end_is_decoded() -> None:
    # At a key frame the decoder of HEVC gives what it held back: more than one frame of a packet.
    hevc = "log-level=none:keyint=24:min-keyint=24:bframes=4:radl=2:open-gop=0:scenecut=0"
    video = StoredVideo(
        encode(draw_motion("left", 48, 1), codec="libx265", **{"x265-params": hevc})
    )
    together = np.zeros((48, BYTES), np.uint8)
    video.planes(range(48), PART)(together)
    for number in range(48):
        alone = np.zeros((1, BYTES), np.uint8)
        video.planes([number], PART)(alone)
        np.testing.assert_array_equal(alone[0], together[number])


def test_frames_that_share_a_packet_are_all_taken() -> None:
    content = encode(draw_motion("left", 24, 1), codec="libsvtav1")
    told = []
    for kind in (libavcodec.Decoder, PyAVDecoder):
        _, coded, packets = packed(content)
        # Its packets of four: while frames wait, the decoder takes no further packet.
        joined = [(packets[i][0], packets[i + 3][1], i) for i in range(0, 24, 4)]
        table = StoredVideo(content)._table
        rows = np.zeros((6, BYTES), np.uint8)
        left = {i: i // 4 for i in range(0, 24, 4)}
        kind(table.codec, table.extradata).planes(coded, joined, Wanted(left, rows, PART, SIZE))
        assert not left
        told.append(rows.tobytes())
    assert told[0] == told[1]


@pytest.mark.parametrize("options", [{"bf": "0"}, {"bf": "3"}, {"slices": "4", "bf": "0"}])
def test_what_damage_does_is_what_pyav_says(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, str]
) -> None:
    content = encode(draw_motion("right", 30, 2), **options)
    start = content.index(b"mdat") + 4
    length = int.from_bytes(content[start - 8 : start - 4], "big") - 8
    rng, told = random.Random(0), []
    for _ in range(150):
        damaged = bytearray(content)
        for _ in range(rng.choice((1, 1, 3, 40))):
            damaged[start + rng.randrange(length)] = rng.randrange(256)
        direct, by_way_of_pyav = both(monkeypatch, bytes(damaged), list(range(4, 20)))
        assert direct == by_way_of_pyav
        told.append(direct)
    assert any(isinstance(one, str) for one in told)
    assert any(isinstance(one, bytes) for one in told)


def test_what_the_decoder_paints_over_is_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray(encode(draw_motion("left", 24, 0, (96, 128)), slices="4", bf="0"))
    table = StoredVideo(bytes(content))._table
    first = int(table.offset_N[5])
    second = first + 4 + int.from_bytes(content[first : first + 4], "big")
    # The second slice becomes one of filling: the decoder only counts what is missing.
    content[second + 4] = 12
    wrong = both(monkeypatch, bytes(content), list(range(3, 9)))
    assert wrong == ["frame 5 is damaged"] * 2
    # What comes after it is made of it.
    assert both(monkeypatch, bytes(content), [7, 8]) == wrong
    with pytest.raises(VideoError, match="frame 5 is damaged"):
        StoredVideo(bytes(content)).frames([7, 8], 48, 64)
    # What comes before it is whole.
    assert all(isinstance(one, bytes) for one in both(monkeypatch, bytes(content), [3, 4]))


def test_a_frame_of_another_size_or_other_pixels_is_refused() -> None:
    decoder, content, packets = packed(encode(draw_motion("left", 8, 0)))
    rows = np.zeros((1, BYTES), np.uint8)
    with pytest.raises(UnfitError, match="frame 3 is 64x48, not as the index says"):
        decoder.planes(content, packets, Wanted({3: 0}, rows, PART, (480, 640)))
    decoder, content, packets = packed(encode(draw_motion("left", 8, 0), pix_fmt="yuv444p"))
    with pytest.raises(UnfitError, match="pixels as yuv444p, wanted yuv420p"):
        decoder.planes(content, packets, Wanted({3: 0}, rows, PART, SIZE))
    assert not rows.any()


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted({3: 0}, np.zeros((1, BYTES - 1), np.uint8), PART, SIZE),
        Wanted({3: 0}, np.zeros((1, 2 * BYTES), np.uint8)[:, ::2], PART, SIZE),
        Wanted({3: 1}, np.zeros((1, BYTES), np.uint8), PART, SIZE),
        Wanted({3: -1}, np.zeros((1, BYTES), np.uint8), PART, SIZE),
        Wanted({3: 0}, np.zeros((1, BYTES), np.uint8), (10, *PART[1:]), SIZE),
        Wanted({3: 0}, np.zeros((1, BYTES), np.uint8), (2, 30, 40, 36), SIZE),
        Wanted({3: 0}, np.zeros((1, BYTES), np.uint8), (-2, *PART[1:]), SIZE),
        Wanted({3: 0}, np.zeros((1, 41 * 37 * 3 // 2), np.uint8), (0, 0, 41, 37), SIZE),
        Wanted({3: 0}, np.zeros((1, BYTES), np.int8), PART, SIZE),
        Wanted({3: 0}, np.frombuffer(bytes(BYTES), np.uint8)[None], PART, SIZE),
    ],
)
def test_nothing_is_written_beside_the_rows(wanted: Wanted) -> None:
    decoder, content, packets = packed(encode(draw_motion("left", 8, 0)))
    with pytest.raises(ValueError, match="rows|row|part"):
        decoder.planes(content, packets, wanted)
    assert not wanted.into_TN.any()


@pytest.mark.parametrize("packet", [(-1, 10, 0), (0, 0, 0), (5, 4, 0), (0, 1 << 40, 0)])
def test_nothing_is_read_beside_the_bytes(packet: tuple[int, int, int]) -> None:
    decoder, content, _ = packed(encode(draw_motion("left", 8, 0)))
    wanted = Wanted({0: 0}, np.zeros((1, BYTES), np.uint8), PART, SIZE)
    with pytest.raises(ValueError, match="a packet outside of its bytes"):
        decoder.planes(content, [packet], wanted)


def test_what_was_not_flushed_is_an_error_and_not_nothing() -> None:
    decoder, content, packets = packed(encode(draw_motion("left", 8, 0)))
    wanted = Wanted({8: 0}, np.zeros((1, BYTES), np.uint8), PART, SIZE)
    decoder.planes(content, packets, wanted)
    with pytest.raises(EOFError):
        decoder.planes(content, packets, wanted)


def test_python_ends_while_a_thread_decodes(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(encode(draw_motion("left", 60, 0, (512, 512)), bf="3"))
    code = f"""
import threading, time, numpy as np
from training.frames import StoredVideo
video = StoredVideo(open("{tmp_path}/clip.mp4", "rb").read())
rows = np.zeros((60, 512 * 512 * 3 // 2), np.uint8)
def read():
    while True:
        video.planes(range(60), (0, 0, 512, 512))(rows)
for _ in range(2):
    threading.Thread(target=read, daemon=True).start()
time.sleep(0.5)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_a_codec_that_is_not_there_is_an_error() -> None:
    with pytest.raises(UnknownCodecError, match="h265000"):
        libavcodec.Decoder("h265000", b"")


def test_decoders_that_go_leave_nothing() -> None:
    content = encode(draw_motion("left", 8, 0, (256, 256)))
    wanted_rows = np.zeros((1, BYTES), np.uint8)

    def use() -> None:
        decoder, packets_content, packets = packed(content)
        decoder.planes(packets_content, packets, Wanted({3: 0}, wanted_rows, PART, (256, 256)))

    for _ in range(20):
        use()
    before = resident_mib()
    for _ in range(200):
        use()
    # One holds more than half a MiB.
    assert resident_mib() - before < 30


def resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20
