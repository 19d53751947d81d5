"""Every row type of the system; `formats.tables` gives each its Parquet form."""

from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa

Float32 = Annotated[float, pa.float32()]


@dataclass(frozen=True)
class CatalogRow:
    """A public post as the user's catalog lists it."""

    video_id: str
    uri: str
    hashtags: tuple[str, ...] | None = None
    caption: str | None = None
    uploader: str | None = None
    licence: str | None = None
    duration_s: float | None = None
    start_s: float | None = None
    end_s: float | None = None
    """The piece of the video that the row is about ends before this second; both or neither."""


@dataclass(frozen=True)
class UnreadableRow:
    """A catalog row that could not be read: where it is and why."""

    path: str
    """The catalog file as the job was given it."""
    line: int | None
    """First line of the record, from 1 (CSV, TSV, JSONL); row from 1 (Parquet); None: the file."""
    reason: str
    """One short sentence, for people."""


@dataclass(frozen=True)
class HashtagRow:
    """A folded hashtag that stands for a seed label, or for one half of a verb+noun label."""

    hashtag: str
    label: str
    role: str = "label"
    """`label`, or in the verb_noun space `verb` / `noun`: a tag there is one of each, joined."""
    synset: str | None = None
    """WordNet id of a noun label, e.g. `n02084071`."""


@dataclass(frozen=True)
class MatchRow:
    """A catalog video that carries at least one relevant hashtag."""

    row_key: str
    """Hex hash of the URI: the video's identity in every later table."""
    video_id: str
    uri: str
    """With `#t=start,end` behind it if the row is about those seconds alone."""
    labels: tuple[str, ...]
    """Seed labels, sorted."""
    hashtags: tuple[str, ...]
    """The relevant hashtags found, folded, sorted."""
    uploader: str | None = None
    licence: str | None = None
    merged: tuple[str, ...] = ()
    """`id:` and `uploader:` of the other catalog rows with this URI, sorted."""
    taken_down: str | None = None
    """How it was named (`uri`, `id`, `uploader`); of the rest only key and labels are left then."""


@dataclass(frozen=True)
class VideoRow:
    """What became of one match when it was fetched; facts are of the stored video."""

    row_key: str
    video_id: str
    status: str
    """`stored`, `rejected` (final), `retry_later`, or `taken_down` (bytes and facts are gone)."""
    reason: str | None = None
    part: str | None = None
    """Name of the tar that holds the video, relative to `videos/`."""
    offset: int | None = None
    """Where the video's bytes begin in that tar."""
    size_bytes: int | None = None
    sha256: str | None = None
    source_sha256: str | None = None
    source_bytes: int | None = None
    packets_sha256: str | None = None
    """Of the source's coded video packets: the same after a change of container or tags."""
    duration_s: float | None = None
    """Decoded length; what the container claims is never used."""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    frames: int | None = None
    fingerprint: tuple[bytes, ...] = ()
    """256-bit perceptual hashes; entry i was taken at `seconds[i]` from `versions[i]`."""
    seconds: tuple[Float32, ...] = ()
    versions: tuple[str, ...] = ()
    tries: int = 0
    """Those that asked a host for anything: the video, what led to it, or its robots.txt. None did
    if the URI or the address was refused before anything was sent."""
    final_uri: str | None = None
    detail: str | None = None
    """One line on a reason, for people: the HTTP status, the decoder's words."""
    names: tuple[str, ...] = ()
    """`id:` and `uploader:` that its posts had when it was fetched, besides `video_id`, and of a
    piece the `uri:` of its video: what it is taken down by when no catalog has it any more."""


@dataclass(frozen=True)
class TargetHashRow:
    """One perceptual hash of one frame of a target video, in one variant."""

    video_id: str
    label: str | None
    second: Float32
    variant: str
    phash: bytes


@dataclass(frozen=True)
class TargetVideoRow:
    """One video of a target set, and what an exact copy of it is known by."""

    video_id: str
    uri: str
    label: str | None = None
    subset: str | None = None
    tasks: tuple[str, ...] = ()
    """`task=label` for a set with several questions, such as verb and noun; `=label` for each label
    of a video that may carry several, `label` among them."""
    source_sha256: str | None = None
    packets_sha256: str | None = None
    failure: str | None = None
    """Why it could not be hashed; a leak of it goes unseen."""
    duration_s: float = 0.0
    hashes: int = 0


@dataclass(frozen=True)
class DuplicateRow:
    """A source video that may overlap a target video, with the evidence.

    An exact copy whose frames were not found alike has zeros and empty words for them.
    """

    row_key: str
    video_id: str
    target: str
    target_video_id: str
    matched_frames: int
    offset_s: Float32
    """Source second minus target second, of the closest pair of frames."""
    min_distance: int
    """Hamming distance in bits of the closest pair, 0..256."""
    variant: str
    """How the target frame was altered to match, e.g. `mirror`."""
    source_second: Float32 = 0.0
    target_second: Float32 = 0.0
    version: str = ""
    """What of the source frame matched, e.g. `stripped`."""
    frames_needed: int = 0
    """1, 2, 3 or 4: the rule of the profile that held, the narrowest if several did."""
    tier: str = "frames"
    """What gave it away: `uri`, `video_id`, `sha256`, `packets` (an exact copy), or `frames`."""
    in_passing: bool = False
    """One picture gave it away, and more than half of the source video shows others."""


@dataclass(frozen=True)
class RepostRow:
    """A source video that shows what another one shows, with the evidence; that one is kept."""

    row_key: str
    video_id: str
    kept_key: str
    """`row_key` of the video that is kept; videos are named by key here, for ids may be struck."""
    alike_key: str
    """`row_key` of the video that the evidence is of: the kept one, or one that is like both."""
    matched_frames: int
    offset_s: Float32
    """This video's second minus the other's, of the closest pair of frames."""
    min_distance: int
    variant: str
    """What of the other video's frame matched, e.g. `stripped+mirror`."""
    second: Float32
    alike_second: Float32
    version: str
    """What of this video's frame matched."""
    tier: str
    """As in `duplicates`: `sha256`, `packets` (frames were perhaps not alike), or `frames`."""


@dataclass(frozen=True)
class LabelRow:
    """One label of the label space; `label_id` is its position."""

    label_id: int
    label: str
    videos: int
    """Videos that carry the label: what `min_videos` looks at."""
    assigned: int
    """Those of them that train it; the others train another of their labels."""


@dataclass(frozen=True)
class LabelledRow:
    """A stored, unduplicated video with the one label it trains."""

    row_key: str
    video_id: str
    """Empty if it was taken down: the row then only keeps its place, for choices not to move."""
    label_id: int
    labels: tuple[int, ...]
    """All of its labels in the label space, sorted."""
    duration_s: float
    repeats: float
    """How often square-root sampling draws the video per pass, relative to the rest."""


@dataclass(frozen=True)
class ClipRow:
    """One piece of a video in one split; `end_s` is exclusive."""

    clip_id: str
    row_key: str
    video_id: str
    label_id: int
    start_s: float
    end_s: float
    repeats: float


@dataclass(frozen=True)
class SplitQuotaRow:
    """What one label has for the temporal splits, and what they took of it."""

    label_id: int
    label: str
    short_videos: int
    """What there is."""
    long_videos: int
    short: int
    """What the split took."""
    long: int
    long_center: int
    reason: str | None
    """Why the label is in none of the three."""


@dataclass(frozen=True)
class LedgerRow:
    """The one fate of one matched catalog row."""

    row_key: str
    video_id: str
    fate: str
    reason: str | None
    stage: str
