"""A picture of an image shard as a video of one frame (paper 4.3.2)."""

import threading
from collections.abc import Callable, Sequence
from functools import lru_cache

import av
import numpy as np
from av.video.reformatter import ColorRange, Interpolation

from training.decoders import Bytes, Part, packet_of, put_planes
from training.frames import SCALING, Frames, Source, VideoError, scaled

_MAX_PIXELS = 1 << 26


class StoredImage:
    """One JPEG, decoded at once.

    Raises:
        VideoError: it is no JPEG, damaged, or has more than 64 million pixels.
    """

    num_frames = 1
    fps = 1.0

    def __init__(self, source: Source):
        decoder = _decoder(threading.get_ident())
        try:
            decoder.flush_buffers()
            pictures = decoder.decode(packet_of(source.read(0, source.size)))
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"cannot be decoded: {error}") from error
        if len(pictures) != 1 or pictures[0].is_corrupt:
            raise VideoError("no whole picture")
        self._picture = pictures[0]
        self.height, self.width = self._picture.height, self._picture.width

    def frames(
        self, indices: Sequence[int], height: int, width: int, scaling: Interpolation = SCALING
    ) -> Frames:
        """The picture once for every index, scaled to height x width."""
        frames_THWC = np.empty((len(indices), height, width, 3), np.uint8)
        frames_THWC[:] = scaled(self._picture, height, width, scaling).reshape(height, width, 3)
        return frames_THWC

    def planes(self, indices: Sequence[int], part: Part) -> Callable[[Bytes], None]:
        """What writes a part of the picture once for every index, as that of `StoredVideo` does.

        Twice rounded and in another range than a JPEG's, it is off by one level more.

        Raises:
            VideoError: its sides are not even.
        """
        if self.height % 2 or self.width % 2:
            raise VideoError(f"{self.width}x{self.height}, wanted even sides")

        def put(into_TN: Bytes) -> None:
            # By way of RGB: straight to the limited range all would become darker by a level.
            rgb = self._picture.reformat(format="rgb24", interpolation=SCALING)
            limited = rgb.reformat(
                format="yuv420p", dst_color_range=ColorRange.MPEG, interpolation=SCALING
            )
            put_planes(limited, part, into_TN[0])
            into_TN[1:] = into_TN[0]

        return put


@lru_cache(maxsize=4)
def _decoder(thread: int) -> av.VideoCodecContext:
    decoder = av.CodecContext.create("mjpeg", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    # Else damage is painted over.
    decoder.options = {"err_detect": "explode", "max_pixels": str(_MAX_PIXELS)}
    decoder.open()
    return decoder
