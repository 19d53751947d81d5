"""Frames out of the bytes of a stored video, by their number and not by their time."""

import io
from collections.abc import Iterator, Sequence

import av
import numpy as np
import numpy.typing as npt
from av.video.reformatter import VideoReformatter

Frames = npt.NDArray[np.uint8]
"""RGB, [T, H, W, 3]."""


class VideoError(Exception):
    """The bytes of a clip are not a video that can be decoded whole."""


class StoredVideo:
    """One mp4 in memory; decodes only from the key frame before the first wanted frame.

    Raises:
        VideoError: not an mp4 with a video stream and at least one frame.
    """

    def __init__(self, content: bytes):
        try:
            # Only the mp4 demuxer: a playlist in disguise must not open other files.
            with av.open(io.BytesIO(content), "r", format="mp4") as container:
                stream = container.streams.video[0]
                self._codec = stream.codec_context.codec
                self._extradata = stream.codec_context.extradata
                packets = [p for p in container.demux(stream) if p.size and p.pts is not None]
        except (av.FFmpegError, IndexError) as error:
            raise VideoError(f"not an mp4 video: {error}") from error
        shown = sorted(p.pts for p in packets if not p.is_discard and p.pts is not None)
        if not shown:
            raise VideoError("an mp4 without a frame")
        self._packets = packets
        self._index_of_pts = {pts: i for i, pts in enumerate(shown)}
        self.num_frames = len(shown)
        """Frames of the whole video, counted."""
        seconds = float((shown[-1] - shown[0]) * packets[0].time_base)
        self.fps = (len(shown) - 1) / seconds if seconds else 1.0
        """Mean distance of its frames; 1 for a still."""

    def frames(self, indices: Sequence[int], height: int, width: int) -> Frames:
        """The frames with these numbers, in this order, scaled to height x width.

        Raises:
            VideoError: the decoder fails, or gives no frame for one of them.
        """
        wanted = set(indices)
        decoded: dict[int, npt.NDArray[np.uint8]] = {}
        scaler = VideoReformatter()
        try:
            for index, frame in self._decode(min(wanted)):
                if index in wanted:
                    frame = scaler.reformat(
                        frame, width, height, "rgb24", interpolation="FAST_BILINEAR", threads=1
                    )
                    decoded[index] = frame.to_ndarray().astype(np.uint8, copy=False)
                if len(decoded) == len(wanted):
                    break
        except av.FFmpegError as error:
            raise VideoError(f"cannot be decoded: {error}") from error
        if len(decoded) < len(wanted):
            raise VideoError(f"no picture for frame {min(wanted - decoded.keys())}")
        return np.stack([decoded[index] for index in indices])

    def _decode(self, first: int) -> Iterator[tuple[int, av.VideoFrame]]:
        """(number, frame) from the last key frame at or before `first` to the end."""
        decoder = av.CodecContext.create(self._codec, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        # One thread: a clip is short, and leaving threaded decoders early can deadlock.
        decoder.thread_count = 1
        decoder.extradata = self._extradata
        for packet in [*self._packets[self._key_packet(first) :], None]:
            for frame in decoder.decode(packet):
                index = self._index_of_pts.get(frame.pts if frame.pts is not None else -1)
                if index is not None:
                    yield index, frame

    def _key_packet(self, first: int) -> int:
        """Position of the packet from which frame number `first` can be decoded."""
        best = 0
        for position, packet in enumerate(self._packets):
            index = self._index_of_pts.get(packet.pts if packet.pts is not None else -1)
            if packet.is_keyframe and index is not None and index <= first:
                best = position
        return best
