"""One file of the hostile corpus, and what must become of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from formats.tables import Reason
from tests.formats.generated_video import ffmpeg, lavfi

NOT_VIDEO, DAMAGED = Reason.NOT_VIDEO, Reason.DAMAGED
MOVING = "testsrc2=s=128x96:r=25:d=3"


@dataclass(frozen=True)
class Stored:
    """The video is stored, with these facts."""

    width: int
    height: int
    frames: int
    give: int = 1
    """So many frames more or fewer are right as well."""


Wanted = Stored | Reason | tuple[Stored | Reason, ...]
"""Several, where either is right: what a decoder makes of nonsense is its own affair."""

WHOLE = Stored(128, 96, 75)
"""What becomes of `MOVING`, in whatever container."""


@dataclass(frozen=True)
class Case:
    """A file by its name in the catalog's folder."""

    name: str
    content: bytes
    wanted: Wanted

    @property
    def allowed(self) -> tuple[Stored | Reason, ...]:
        """What may become of it."""
        return self.wanted if isinstance(self.wanted, tuple) else (self.wanted,)


class Maker:
    """Makes the good files that the bad ones are made from; keeps what was made."""

    def __init__(self, folder: Path, places: Mapping[str, str]) -> None:
        self.folder = folder
        self.places = places
        """What a hostile file would like to have opened, by the words used in `lists`."""

    def encoded(self, suffix: str, graph: str, *args: object) -> bytes:
        """A rendered video."""
        return Path(lavfi(self.folder / f"made{suffix}", graph, *args)).read_bytes()

    def remade(self, suffix: str, source: bytes, *args: object, before: tuple = ()) -> bytes:
        """A video made from another by ffmpeg; `before` are options of the input."""
        (self.folder / "source").write_bytes(source)
        path = self.folder / f"made{suffix}"
        ffmpeg(*before, "-i", self.folder / "source", *args, path)
        return path.read_bytes()

    @cached_property
    def fast(self) -> bytes:
        """An MP4 whose index comes first."""
        return self.encoded(".mp4", MOVING, "-movflags", "+faststart", "-g", 25)

    @cached_property
    def late(self) -> bytes:
        """An MP4 whose index comes last."""
        return self.encoded(".mp4", MOVING, "-g", 25)

    @cached_property
    def webm(self) -> bytes:
        return self.encoded(".webm", MOVING, "-c:v", "libvpx", "-b:v", "1M", "-g", 25)

    @cached_property
    def matroska(self) -> bytes:
        return self.encoded(".mkv", MOVING, "-c:v", "libx264", "-g", 25)

    @cached_property
    def avi(self) -> bytes:
        return self.encoded(".avi", MOVING, "-c:v", "mpeg4", "-g", 25)

    @cached_property
    def stream(self) -> bytes:
        return self.encoded(".ts", MOVING, "-c:v", "libx264", "-g", 25)

    @cached_property
    def fragments(self) -> bytes:
        flags = ("-movflags", "+frag_keyframe+empty_moov+default_base_moof")
        return self.encoded(".mp4", MOVING, "-g", 25, *flags)
