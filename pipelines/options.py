"""Every option of the dataset side: typed, with unit, default and where it comes from.

TOML files and `SET="stage.option=value"` hold only differences. An option marked *operational* says
how the work is done, not what comes out, so it is left out of the config digest.
"""

import math
from dataclasses import dataclass, field, replace

from dedup.profiles import PROFILES, REPOST_BITS, Profile
from labelspace.splits import SPLITS, SplitRule
from pipelines.fetch_options import FetchOptions
from pipelines.option_checks import at_least, fraction, operational

CATALOG_FORMATS = ("parquet", "csv", "tsv", "jsonl", "info_json", "yfcc100m")


@dataclass(frozen=True)
class RunOptions:
    """What holds for every stage."""

    rng_seed: int = 0
    """Everything random is a hash of this and an id."""
    buckets: int = 4
    """Files that a table is split into by row key; set it to about catalog rows / 1 million."""
    workers: int = operational(0)  # type: ignore[assignment]
    """Threads or processes of the local engine; 0 = one per CPU core."""

    def __post_init__(self) -> None:
        at_least(self, buckets=1, workers=0)


@dataclass(frozen=True)
class ExpandOptions:
    """Seed labels -> relevant hashtags (paper 3.1)."""

    forms: tuple[str, ...] = ("original", "stem")
    """Of every word: `original`, `stem` (Snowball; the paper's pair) and, if installed, `lemma`."""
    max_hashtags_per_label: int = 5000
    min_hashtag_length: int = 1
    """Characters; shorter hashtags are left out."""
    blocklist: tuple[str, ...] = ()
    """Hashtags that must not match, without '#'."""
    parentheses: str = "drop"
    """A remark in a label, "(not in game)": `drop` it, or `keep` its words as the label's own."""
    verbnet: str = operational("")  # type: ignore[assignment]
    """Folder of VerbNet's class files: verbs are then the Kinetics verbs and all its members."""

    def __post_init__(self) -> None:
        at_least(self, max_hashtags_per_label=1, min_hashtag_length=1)
        if self.parentheses not in ("drop", "keep"):
            raise ValueError(f"parentheses must be drop or keep, got {self.parentheses!r}")


@dataclass(frozen=True)
class MatchOptions:
    """The catalog, and which of its columns mean what."""

    format: str = "auto"
    """`auto` (by each file's name), or one of `CATALOG_FORMATS`, which every file is read as."""
    video_id: str = "video_id"
    uri: str = "uri"
    hashtags: str = "hashtags"
    """Column with a list of hashtags; may be absent if there is a caption."""
    caption: str = "caption"
    """Column with free text; hashtags are read out of it."""
    uploader: str = "uploader"
    licence: str = "licence"
    duration_s: str = "duration_s"
    """Column with the length: seconds, or a text such as `90 s`, `1:30`, `0:01:30`, `PT1M30S`."""
    start_s: str = "start_s"
    """Column with the second at which the wanted piece of the video begins, in the same forms."""
    end_s: str = "end_s"
    """Column with the second before which it ends; rows without one want the whole video."""
    min_duration_s: float = 0.0
    """Rows whose `duration_s` is below are left out; rows that state none stay, and those that
    state what is no length are unreadable."""
    max_duration_s: float = 0.0
    """Rows whose `duration_s` is above are left out; 0 = no limit."""
    licences: tuple[str, ...] = ()
    """Only rows with one of these licences (case aside) are taken; none = any, and none stated."""
    exclude_uploaders: tuple[str, ...] = ()
    """Rows of these uploaders are left out."""
    max_bad_fraction: float = 0.01
    """Above this share of unreadable catalog rows the job fails."""
    max_bad_files: int = 0
    """Above this number of catalog files that cannot be read to their end the job fails."""

    def __post_init__(self) -> None:
        if self.format not in ("auto", *CATALOG_FORMATS):
            choices = ", ".join(("auto", *CATALOG_FORMATS))
            raise ValueError(f"format must be one of {choices}, got {self.format!r}")
        fraction(self, "max_bad_fraction")
        at_least(self, min_duration_s=0, max_duration_s=0, max_bad_files=0)


@dataclass(frozen=True)
class TargetsOptions:
    """The benchmarks that the dataset must not overlap."""

    hash_fps: float = 4.0
    """Frames hashed per second of target video: each whole, every second one in all variants."""
    frames_fps: float = 12.0
    """Of a target video that is a folder of pictures, as Something-Something's are."""
    max_failed_fraction: float = 0.0
    """Above this share of undecodable target videos the job fails: each one is an unseen leak."""

    def __post_init__(self) -> None:
        fraction(self, "max_failed_fraction")
        at_least(self, hash_fps=0.1)
        if not 0.1 <= self.frames_fps <= 240:
            raise ValueError(f"frames_fps must be in [0.1, 240], got {self.frames_fps}")


@dataclass(frozen=True)
class DeduplicateOptions:
    """When a source video counts as overlapping a target (paper 3.2: high recall first)."""

    profile: str = "aggressive"
    """`aggressive` up to ~10,000 target videos, `scale` beyond."""
    one_frame: int = -1
    """Bits of 256 within which one pair of frames is enough; -1 = the profile's (40 | 40)."""
    two_frames: int = -1
    """Bits within which two frames, unlike each other, are; -1 = the profile's (66 | 48)."""
    three_frames: int = -1
    """Bits within which three are; -1 = the profile's (74 | 52)."""
    four_frames: int = -1
    """Bits within which four at the target's pace are; -1 = the profile's (84 | 0, no rule), but 0
    where one of the three above is set."""
    still: int = -1
    """Bits within which one frame is if the video shows no other; -1 = likewise (48 | 0)."""
    apart: int = -1
    """Bits by which frames of both videos must differ to count; -1 = the profile's (16 | 24)."""
    reposts: bool = False
    """Also compare the source with itself, and of videos that show the same keep one."""
    repost_bits: int = REPOST_BITS
    """Bits of 256 within which half of a re-post's frames must be; the profile is for targets."""
    decoys: bool = True
    """Estimate false removals: look for every source video upside down, too."""
    max_duplicate_fraction: float = 1.0
    """Above this share of stored videos removed, re-posts included, the job fails."""

    def __post_init__(self) -> None:
        if self.profile not in ("aggressive", "scale"):
            raise ValueError(f"profile must be aggressive or scale, got {self.profile!r}")
        at_least(self, one_frame=-1, two_frames=-1, three_frames=-1, apart=-1)
        at_least(self, four_frames=-1, still=-1)
        self.thresholds()
        if not 0 <= self.repost_bits <= 128:
            raise ValueError(f"repost_bits must be in 0..128, got {self.repost_bits}")
        fraction(self, "max_duplicate_fraction")

    def thresholds(self) -> Profile:
        """The profile with what is set in its place.

        Who sets distances of their own gets these alone: wider rules of the profile's would make
        nothing of stricter ones.

        Raises:
            ValueError: the distances do not rise, or are not of 256.
        """
        profile = PROFILES[self.profile]
        given = {name: getattr(self, name) for name in vars(profile) if getattr(self, name) >= 0}
        if given.keys() & {"one_frame", "two_frames", "three_frames"}:
            given = {"four_frames": 0, "still": 0} | given
        return replace(profile, **given)


@dataclass(frozen=True)
class LabelOptions:
    """From matched labels to a label space (paper 3.1)."""

    min_videos: int = 50
    """Labels with fewer videos are dropped."""
    max_labels: int = 0
    """Keep only this many labels, those with the most videos; 0 = all."""
    label_subset: int = 0
    """Then keep this many of them at random, smaller sets inside larger ones (4.2.2); 0 = all."""

    def __post_init__(self) -> None:
        at_least(self, min_videos=1, max_labels=0, label_subset=0)


@dataclass(frozen=True)
class SplitOptions:
    """Which seconds of which video (paper 4.3.1), and how many videos (4.1.1)."""

    splits: tuple[str, ...] = ("all", "short", "long", "long_center")
    """Which of these and `frames` (images of the videos of `all`, 4.3.2) are made; the first is
    what the report shows, so it holds videos."""
    short_s: tuple[float, ...] = (1.0, 5.0)
    long_s: tuple[float, ...] = (55.0, 60.5)
    center_s: float = 4.0
    max_videos: int = 0
    """Videos in `all`; 0 = every one. Fewer are chosen by `sampling`."""
    sampling: str = "tail_preserving"
    """`tail_preserving` (tail labels whole, head thinned) or `random`."""
    budget: str = "F1"
    """Table 3: `F1` = the splits hold equally many videos, `F2` = equally many minutes."""
    budget_videos: int = 0
    """F1: videos in each of `short`, `long` and `long_center`; 0 = as many as there are."""
    budget_minutes: float = 0.0
    """F2: minutes of each of the three; 0 = as many as there are."""
    frames_per_video: int = 1
    """Images that the split `frames` takes of each video of `all` (4.3.2)."""
    frame_choice: str = "random"
    """`random`, or `center` (of as many equal pieces as there are frames to take)."""

    def __post_init__(self) -> None:
        at_least(self, center_s=0.1, max_videos=0, budget_videos=0, budget_minutes=0)
        at_least(self, frames_per_video=1)
        self._check_splits()
        self._check_budget()
        if self.frame_choice not in ("random", "center"):
            raise ValueError(f"frame_choice must be random or center, got {self.frame_choice!r}")
        if self.sampling not in ("tail_preserving", "random"):
            raise ValueError(f"sampling must be tail_preserving or random, got {self.sampling!r}")

    @property
    def rule(self) -> SplitRule:
        """The bounds of the temporal splits."""
        if len(self.short_s) != 2 or len(self.long_s) != 2:
            raise ValueError("short_s and long_s are two numbers each: from, to")
        (short_from, short_to), (long_from, long_to) = self.short_s, self.long_s
        return SplitRule((short_from, short_to), (long_from, long_to), self.center_s)

    def _check_splits(self) -> None:
        unknown = sorted(set(self.splits) - set(SPLITS))
        if unknown or not self.splits or self.splits[0] == "frames":
            raise ValueError(
                f"splits are some of {', '.join(SPLITS)}, frames not the first, got {self.splits}"
            )
        twice = [name for name in SPLITS if self.splits.count(name) > 1]
        if twice:
            raise ValueError(f"splits names {', '.join(twice)} more than once; once is enough")
        # Made here so that its own checks speak before the first stage, not at the stage split.
        _ = self.rule

    def _check_budget(self) -> None:
        if self.budget not in ("F1", "F2"):
            raise ValueError(f"budget must be F1 or F2, got {self.budget!r}")
        if not math.isfinite(self.budget_minutes):
            raise ValueError(f"budget_minutes must be a number, got {self.budget_minutes}")
        if self.budget_minutes and self.budget != "F2":
            raise ValueError("budget_minutes is for budget=F2; set that too, or budget_videos")
        if self.budget_videos and self.budget != "F1":
            raise ValueError("budget_videos is for budget=F1; with F2 set budget_minutes")


@dataclass(frozen=True)
class ShardOptions:
    """How clips are packed for training."""

    clips_per_shard: int = 1000

    def __post_init__(self) -> None:
        at_least(self, clips_per_shard=1)


@dataclass(frozen=True)
class ReportOptions:
    """What is shown to people; nothing of it shapes the dataset."""

    duplicate_pairs: int = operational(50)  # type: ignore[assignment]
    """Pairs of frames of duplicates on the report page, the least certain first; 0 = none."""
    near_bits: int = operational(8)  # type: ignore[assignment]
    """`make audit`: so many bits below the threshold a removal counts as near it."""

    def __post_init__(self) -> None:
        at_least(self, duplicate_pairs=0, near_bits=0)


@dataclass(frozen=True)
class Options:
    """Everything one dataset job can be told."""

    run: RunOptions = field(default_factory=RunOptions)
    expand: ExpandOptions = field(default_factory=ExpandOptions)
    match: MatchOptions = field(default_factory=MatchOptions)
    targets: TargetsOptions = field(default_factory=TargetsOptions)
    fetch: FetchOptions = field(default_factory=FetchOptions)
    deduplicate: DeduplicateOptions = field(default_factory=DeduplicateOptions)
    label: LabelOptions = field(default_factory=LabelOptions)
    split: SplitOptions = field(default_factory=SplitOptions)
    shard: ShardOptions = field(default_factory=ShardOptions)
    report: ReportOptions = field(default_factory=ReportOptions)
