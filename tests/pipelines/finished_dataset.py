"""A small finished dataset folder, written with the real writers, for tests of what reads one."""

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from formats.settings import load_settings, to_toml
from formats.shards import (
    Manifest,
    add_member,
    digest_of,
    open_for_writing,
    write_manifest,
    write_shard,
)
from formats.storage import write_text
from formats.tables import (
    ClipRow,
    DuplicateRow,
    HashtagRow,
    LabelledRow,
    LabelRow,
    LedgerRow,
    MatchRow,
    SplitQuotaRow,
    TargetVideoRow,
    VideoRow,
    write_rows,
)
from formats.video import encode_frames
from labelspace.space import LabelSpace
from pipelines.benchmarks.target_files import record_folder
from pipelines.label_manifest import MANIFEST, write_space_manifest
from pipelines.options import Options
from pipelines.run import STAGES, StageRecord


@dataclass(frozen=True)
class Post:
    """A catalog row that matched, and what is to become of it."""

    video_id: str
    label: str
    fate: str = "clip"
    reason: str | None = None
    licence: str | None = "CC BY 4.0"
    seconds: int = 1
    hashtags: tuple[str, ...] = ("tag",)
    target: str = "benchmark"
    min_distance: int = 12
    variant: str = "full+mirror"

    @property
    def uri(self) -> str:
        return f"https://example.org/{self.video_id}.mp4"

    @property
    def row_key(self) -> str:
        return hashlib.sha256(self.uri.encode()).hexdigest()[:32]


STORED = {"clip", "duplicate", "label_too_small", "not_sampled"}
STAGE_OF = {"clip": "shard", "duplicate": "deduplicate", "label_too_small": "label"}
LIMITS = ("max_labels", "label_subset")
UNMATCHED = {"unreadable": 1, "merged": 2, "unmatched": 7}


def encode_video(
    path: Path, name: str, seconds: int = 1, size: tuple[int, int] = (96, 128)
) -> None:
    """A disc that travels over a textured ground; its colours follow from the name."""
    rng = np.random.default_rng(int(hashlib.sha256(name.encode()).hexdigest()[:8], 16))
    height, width = size
    y, x = np.mgrid[:height, :width]
    ground = rng.integers(30, 120, (height // 8, width // 8, 3)).repeat(8, 0).repeat(8, 1)
    colour, phase = rng.integers(140, 255, 3), rng.uniform(0, 6.28)

    def frames():
        for t in range(seconds * 10):
            angle = phase + t / 4
            centre_x, centre_y = (
                width * (0.5 + 0.3 * np.cos(angle)),
                height * (0.5 + 0.3 * np.sin(angle)),
            )
            disc = (x - centre_x) ** 2 + (y - centre_y) ** 2 < (height / 6) ** 2
            yield np.where(disc[..., None], colour, ground).astype(np.uint8)

    encode_frames(str(path), frames(), fps=10)


def write_finished(
    out: Path, posts: list[Post], *, settings: tuple[str, ...] = (), seed: str = "kinetics"
) -> dict[tuple[str, str], str]:
    """Write every file of a finished job; return the paths of its target videos."""
    options = load_settings(Options, (), settings)
    config = f"# Tagreel, resolved options of this job.\n# seed set: {seed!r}\n{to_toml(options)}"
    write_text(str(out / "config.toml"), config)
    posts = sorted(posts, key=lambda post: post.row_key)
    labels = sorted({post.label for post in posts if _is_labelled(post)})
    write_rows(
        str(out / "hashtags.parquet"), [HashtagRow("tag", p.label) for p in posts], HashtagRow
    )
    _write(out, "matches", [_match(post) for post in posts], MatchRow)
    _write_videos(out, [post for post in posts if post.fate != "taken_down"])
    targets = _write_duplicates(out, [post for post in posts if post.fate == "duplicate"])
    clips = [post for post in posts if post.fate == "clip"]
    counts = Counter(p.label for p in posts if _is_labelled(p))
    assigned = Counter(post.label for post in clips)
    rows = [LabelRow(i, label, counts[label], assigned[label]) for i, label in enumerate(labels)]
    write_rows(str(out / "labels.parquet"), rows, LabelRow)
    _write_manifest(out, posts, rows)
    labelled = [
        LabelledRow(
            p.row_key, p.video_id, labels.index(p.label), (labels.index(p.label),), p.seconds, 1.0
        )
        for p in clips
    ]
    _write(out, "labelled", labelled, LabelledRow)
    for split in options.split.splits:
        chosen = clips if split in ("all", "short") else []
        _write_split(out, split, [_clip(post, split, labels) for post in chosen], tuple(labels))
    quotas = [SplitQuotaRow(row.label_id, row.label, row.videos, 0, 0, 0, 0, None) for row in rows]
    write_rows(str(out / "quotas.parquet"), quotas, SplitQuotaRow)
    _write_records(out, posts)
    return targets


def _stage(post: Post) -> str:
    if post.fate == "not_sampled":
        return "split" if _is_labelled(post) else "label"
    return STAGE_OF.get(post.fate, "fetch")


def _is_labelled(post: Post) -> bool:
    """A video that a limit on labels did not sample has a label that was left out."""
    return post.fate == "clip" or (post.fate == "not_sampled" and post.reason not in LIMITS)


def _write_manifest(out: Path, posts: list[Post], rows: list[LabelRow]) -> None:
    left = [p for p in posts if p.fate in ("label_too_small", "not_sampled")]
    reasons = {p.label: p.reason or "min_videos" for p in left if not _is_labelled(p)}
    counts = Counter(p.label for p in left)
    dropped = tuple((label, counts[label], reasons[label]) for label in sorted(reasons))
    space = LabelSpace(tuple(r.label for r in rows), tuple(r.videos for r in rows), dropped)
    assigned = {row.label: row.assigned for row in rows}
    tools = {"nltk": "3.9", "pyarrow": "23"}
    facts = {"tools": tools, "seed_set": "kinetics"}
    write_space_manifest(assigned, space, str(out / MANIFEST), facts)


def _match(post: Post) -> MatchRow:
    return MatchRow(
        post.row_key, post.video_id, post.uri, (post.label,), post.hashtags, "u", post.licence
    )


def _write(out: Path, table: str, rows: list, row_type: type) -> None:
    """Two parts by row key, as the pipeline writes them."""
    for bucket in (0, 1):
        chosen = [row for row in rows if int(row.row_key[:8], 16) % 2 == bucket]
        write_rows(str(out / table / f"part-{bucket:05d}-of-00002.parquet"), chosen, row_type)


def _write_videos(out: Path, posts: list[Post]) -> None:
    (out / "videos").mkdir(parents=True)
    rows = []
    with open(out / "videos" / "part-1.tar", "wb") as file, open_for_writing(file) as tar:
        for post in posts:
            if post.fate not in STORED:
                rows.append(VideoRow(post.row_key, post.video_id, post.fate, post.reason))
                continue
            scratch = out / "scratch.mp4"
            encode_video(scratch, post.video_id, post.seconds)
            content = scratch.read_bytes()
            scratch.unlink()
            offset = add_member(tar, f"{post.row_key}.mp4", content)
            row = VideoRow(post.row_key, post.video_id, "stored", part="part-1.tar", offset=offset)
            rows.append(replace(row, size_bytes=len(content), duration_s=float(post.seconds)))
    write_rows(str(out / "videos" / "part-1.parquet"), rows, VideoRow)


def _write_duplicates(out: Path, posts: list[Post]) -> dict[tuple[str, str], str]:
    rows, paths = [], {}
    (out.parent / "target_videos").mkdir(exist_ok=True)
    videos: dict[str, list[TargetVideoRow]] = {}
    for post in posts:
        target_id = f"target of {post.video_id}"
        path = out.parent / "target_videos" / f"{post.row_key}.mp4"
        encode_video(path, post.video_id, post.seconds)
        paths[post.target, target_id] = str(path)
        evidence = (post.row_key, post.video_id, post.target, target_id, 2, 0.25)
        rows.append(DuplicateRow(*evidence, post.min_distance, post.variant, 0.5, 0.25, "raw", 1))
        videos.setdefault(post.target, []).append(TargetVideoRow(target_id, path.name))
    _write(out, "duplicates", rows, DuplicateRow)
    for name, video_rows in videos.items():
        write_rows(str(out / "target_videos" / f"{name}.parquet"), video_rows, TargetVideoRow)
        record_folder(name, str(out.parent / "target_videos" / f"{name}.csv"), out)
    return paths


def _clip(post: Post, split: str, labels: list[str]) -> ClipRow:
    clip_id = digest_of(split, post.row_key)[:32]
    label_id = labels.index(post.label)
    return ClipRow(clip_id, post.row_key, post.video_id, label_id, 0.0, float(post.seconds), 1.0)


def _write_split(out: Path, split: str, clips: list[ClipRow], labels: tuple[str, ...]) -> None:
    _write(out, f"clips/{split}", clips, ClipRow)
    contents = [
        (
            c.clip_id,
            b"mp4",
            {"label_id": c.label_id, "label": labels[c.label_id], "video_id": c.video_id},
        )
        for c in sorted(clips, key=lambda clip: clip.clip_id)
    ]
    folder = out / "shards" / split
    shards = (write_shard(str(folder / "shard-000000.tar"), contents),) if clips else ()
    minutes = sum(clip.end_s - clip.start_s for clip in clips) / 60
    identity = digest_of(split, [shard.sha256 for shard in shards])
    manifest = Manifest(identity, split, "0" * 64, len(clips), len(clips), minutes, labels, shards)
    write_manifest(str(folder), manifest)


def _write_records(out: Path, posts: list[Post]) -> None:
    ledger = [LedgerRow(p.row_key, p.video_id, p.fate, p.reason, _stage(p)) for p in posts]
    write_rows(str(out / "ledger.parquet"), ledger, LedgerRow)
    counts = {"catalog_rows": len(posts) + sum(UNMATCHED.values()), "matched": len(posts)}
    compared = {"compared": sum(post.fate in STORED for post in posts), "decoy_hits": 1}
    found_by = {"match": {**counts, **UNMATCHED}, "deduplicate": compared}
    for number, stage in enumerate(STAGES):
        found = found_by.get(stage, {})
        record = StageRecord(stage, "key", "digest", 0.5 + number, 1000 * number, found, {}, "r")
        write_text(str(out / "stages" / f"{stage}.json"), json.dumps(asdict(record)))
