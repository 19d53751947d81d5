"""How close the frames of two videos must be for one to be a duplicate of the other."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """How close, in bits of 256, frames must be for their video to be a duplicate.

    One frame within `one_frame`, or two within `two_frames`, or three within `three_frames`; of
    several, each two must be `apart` in the source and in the target, or a still picture would
    count as many. 0 leaves one of the last two rules out.
    """

    one_frame: int
    two_frames: int
    three_frames: int
    apart: int
    four_frames: int = 0
    """Four within so many are enough if they keep the pace of the target: see `dedup.vote`."""
    still: int = 0
    """One frame within so many is enough if the source video shows that picture alone."""

    def __post_init__(self) -> None:
        if not 0 <= self.one_frame <= self.two_frames <= self.three_frames <= 256:
            raise ValueError(
                "one_frame, two_frames and three_frames must rise within 0..256, got "
                f"{self.one_frame}, {self.two_frames} and {self.three_frames}"
            )
        for name in ("apart", "four_frames", "still"):
            if not 0 <= getattr(self, name) <= 256:
                raise ValueError(f"{name} must be in 0..256, got {getattr(self, name)}")

    @property
    def widest(self) -> int:
        """Frames further away than this say nothing."""
        return max(self.three_frames, self.four_frames, self.still)


PROFILES = {
    "aggressive": Profile(40, 66, 74, apart=16, four_frames=84, still=48),
    "scale": Profile(40, 48, 52, apart=24),
}
"""`aggressive` for up to ~10,000 target videos; `scale` keeps false removals rare beyond."""

REPOST_BITS = 24
"""Bits of 256 within which half of a re-post's frames are found again in the other video.

Measured on 93 clips and 13 edits of each: it finds 97 to 100 % of those re-encoded, scaled,
mirrored, brightened, shown at another rate or with bars on top or around, 91 % with bars at the
sides, 80 to 87 % of those trimmed or sped up, 42 % with a logo, 15 % cropped by 5 % or captioned;
of 3,900 pairs of different videos it takes 6 for one, each of one person before one backdrop. With
40 bits it finds 88, 81 and 70 % of the last three, and takes 47 pairs.
"""
