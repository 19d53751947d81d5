"""The options of the loader: what it makes of a stored video, and how it works."""

from dataclasses import dataclass

from formats.objects import read_endpoint
from training.option_checks import at_least, one_of, operational


@dataclass(frozen=True)
class ClipOptions:
    """What the loader makes of a stored video (paper 3.3)."""

    split: str = "all"
    """Folder below `shards/` that pre-training reads."""
    num_frames: int = 8
    """Frames per clip, consecutive at `fps`."""
    fps: float = 0.0
    """Frames per second that are looked at; 0 = the video's own rate, as in the paper."""
    stride: int = 1
    """Look at every so-manieth frame; needs `fps = 0`."""
    scale: str = "plain"
    """`plain`: to height x width, whatever the aspect ratio. `short_edge`: the short edge to
    `height`, the aspect ratio kept (SE in the paper's tables)."""
    height: int = 128
    """Pixels that frames are scaled to."""
    width: int = 171
    crop: int = 112
    """Side of the square cut from that: anywhere for training, from the centre for testing."""
    mirror: bool = True
    """Mirror every second training clip; turn it off where left and right are different labels."""
    sharp: bool = False
    """Scale without smoothing first, as the authors' loader did (FAST_BILINEAR of swscale): small
    things stay visible where frames are made much smaller. Needs `rgb`."""
    recolour: bool = False
    """Shuffle the colours of training clips and invert every second one: for small datasets, where
    a network would learn its videos by their colours."""
    output: str = "rgb"
    """`rgb`: the workers scale and convert. `yuv`: they only decode; colours, scaling, crop and
    mirror are done on the device. Pixels differ by 2 of 255 at most."""
    cache_mib: int = operational(0)
    """Keep decoded, scaled videos in memory up to this much; needs `workers = 0` and `rgb`."""
    workers: int = operational(0)
    """Processes that decode; 0 = decode between steps. The batches are the same."""
    shards_per_window: int = 4
    """Shards whose clips are mixed."""
    verify: str = operational("full")
    """`full`: a shard's SHA-256 is checked once, before its first clip is used. `size`: its size
    only."""
    scratch: str = operational("")
    """Folder for what is known of shards, and for copies of those on s3:// and gs://. Processes
    and runs that name the same one share it: a shard that did not change is not checked again.
    Empty: a folder in TMPDIR for the processes of this run on this machine, removed at the end."""
    scratch_mib: int = operational(16384)
    """The copies are kept up to this much, and never fewer than two windows need."""
    s3_endpoint: str = operational("")
    """http(s)://host:port of an S3 that is not Amazon's."""
    s3_region: str = operational("")
    gs_endpoint: str = operational("")
    """The same for Google Cloud Storage."""
    anonymous_objects: bool = operational(False)
    """Read s3:// and gs:// without credentials; else they are the environment's."""

    def __post_init__(self) -> None:
        one_of(self, "verify", "full", "size")
        one_of(self, "output", "rgb", "yuv")
        one_of(self, "scale", "plain", "short_edge")
        at_least(self, num_frames=1, fps=0, stride=1, crop=16, cache_mib=0, workers=0)
        at_least(self, shards_per_window=1, height=self.crop, scratch_mib=0)
        if self.scale == "plain":
            at_least(self, width=self.crop)
        self._check_together()
        read_endpoint(self.s3_endpoint)
        read_endpoint(self.gs_endpoint)

    def _check_together(self) -> None:
        if self.fps and self.stride > 1:
            raise ValueError("stride needs fps = 0: they say the same in two ways")
        if self.output != "rgb" and (self.sharp or self.cache_mib):
            # Both at once: told one by one, they would be refused one by one.
            raise ValueError(
                "output = yuv needs sharp = false and cache_mib = 0: the device makes frames "
                "smaller, always smoothed, so there are no scaled ones to keep"
            )
        if self.cache_mib and self.workers:
            raise ValueError("cache_mib needs workers = 0: each worker would keep its own copy")
