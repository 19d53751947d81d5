"""A video's fingerprint: the perceptual hashes of its frames, with their seconds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dedup.hashing import (
    CODE_BYTES,
    Codes,
    Coefficients,
    Frames,
    check_frames,
    dct_coefficients,
    is_textured,
    to_codes,
)
from dedup.variants import frames_of, source_boxes, target_coefficients

Seconds = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """256-bit hashes of a video's frames, uint8 [N, 32]; a frame may have several or none.

    Hash i was taken at `seconds[i]` from version (of a target: variant) `versions[i]` of the frame.

    Raises:
        ValueError: the three do not fit each other, or a second is not finite.
    """

    codes: Codes
    seconds: Seconds
    versions: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.versions)
        if self.codes.dtype != np.uint8 or self.codes.shape != (count, CODE_BYTES):
            raise ValueError(
                f"codes must be uint8 [{count}, {CODE_BYTES}], "
                f"got {self.codes.dtype} {self.codes.shape}"
            )
        if self.seconds.dtype != np.float32 or self.seconds.shape != (count,):
            raise ValueError(
                f"seconds must be float32 [{count}], got {self.seconds.dtype} {self.seconds.shape}"
            )
        if not np.isfinite(self.seconds).all():
            raise ValueError("seconds must be finite")

    @classmethod
    def from_rows(
        cls, codes: Sequence[bytes], seconds: Sequence[float], versions: Sequence[str]
    ) -> "Fingerprint":
        """The fingerprint that a table's row holds as lists.

        Raises:
            ValueError: a code is not 32 bytes long, or the lists do not fit each other.
        """
        if any(len(code) != CODE_BYTES for code in codes):
            raise ValueError(f"a code must be {CODE_BYTES} bytes long")
        table = np.frombuffer(b"".join(codes), np.uint8).reshape(-1, CODE_BYTES)
        return cls(table, np.asarray(seconds, np.float32), tuple(versions))

    def to_rows(self) -> tuple[tuple[bytes, ...], tuple[float, ...], tuple[str, ...]]:
        """Codes, seconds and versions as a table's row holds them; `from_rows` reads them back."""
        codes = tuple(code.tobytes() for code in self.codes)
        return codes, tuple(self.seconds.tolist()), self.versions


def fingerprint_video(
    frames_THW: Frames, seconds_T: Seconds, *, width: int, height: int
) -> Fingerprint:
    """Fingerprint a source video: each frame raw, without its borders, and what is set into it.

    Frames are the whole upright picture squashed to 128 x 128 (or 64 x 64); width and height are
    the video's own. Frames that show next to nothing leave no hash.

    Raises:
        ValueError: frames, seconds, width or height are not what they should be.
    """
    _check(frames_THW, seconds_T, width, height)
    if not len(frames_THW):
        return _collect([])
    boxes = source_boxes(frames_THW, width / height)
    return _collect(
        (name, seconds_T, dct_coefficients(frames_THW, box)) for name, box in boxes.items()
    )


def fingerprint_target(
    frames_THW: Frames, seconds_T: Seconds, *, width: int, height: int
) -> Fingerprint:
    """Fingerprint a target video: each frame as a re-upload may have altered it.

    About 76 hashes of every second frame, 162 of one with bars, named by variant: crops at the
    centre and off it, other aspect ratios, without bars, turned, tilted, and each of these mirrored
    (`crop85+mirror`); and two or four of those between, of the whole picture.

    Raises:
        ValueError: frames, seconds, width or height are not what they should be.
    """
    _check(frames_THW, seconds_T, width, height)
    if not len(frames_THW):
        return _collect([])
    variants = target_coefficients(frames_THW, width / height)
    return _collect((name, seconds_T[frames_of(name)], part) for name, part in variants)


def _collect(versions: Iterable[tuple[str, Seconds, Coefficients]]) -> Fingerprint:
    codes, seconds, names = [np.empty((0, CODE_BYTES), np.uint8)], [np.empty(0, np.float32)], []
    for name, seconds_T, coefficients in versions:
        textured = is_textured(coefficients)
        codes.append(to_codes(coefficients[textured]))
        seconds.append(seconds_T[textured])
        names += [name] * int(textured.sum())
    return Fingerprint(np.concatenate(codes), np.concatenate(seconds), tuple(names))


def _check(frames_THW: Frames, seconds_T: Seconds, width: int, height: int) -> None:
    check_frames(frames_THW)
    if seconds_T.dtype != np.float32 or seconds_T.shape != frames_THW.shape[:1]:
        raise ValueError(
            f"seconds must be float32 [{len(frames_THW)}], got {seconds_T.dtype} {seconds_T.shape}"
        )
    if width < 1 or height < 1:
        raise ValueError(f"width and height must be at least 1, got {width} x {height}")
