"""Re-read every byte that the manifests name."""

from pathlib import Path

from formats.shards import MANIFEST, ShardError, check_shard, read_manifest
from pipelines.engine import progress
from pipelines.run import JobError


def verify(out: Path) -> dict[str, int]:
    """Check every split's shards against its manifest; return what was checked.

    Raises:
        JobError: there is no finished split.
        ShardError: a shard is missing, damaged, or not in the manifest.
    """
    folders = sorted(path.parent for path in out.glob(f"shards/*/{MANIFEST}"))
    if not folders:
        raise JobError(f"{out}: holds no finished split; run `make dataset` first")
    counts = {"splits": len(folders), "shards": 0, "clips": 0, "bytes": 0}
    for folder in folders:
        manifest = read_manifest(str(folder))
        _refuse_unlisted(folder, {entry.path for entry in manifest.shards})
        with progress.bar(f"verify {folder.name}", len(manifest.shards), "shards"):
            for entry in manifest.shards:
                check_shard(str(folder), entry)
                progress.advance()
                counts["bytes"] += entry.bytes
        counts["shards"] += len(manifest.shards)
        counts["clips"] += manifest.clips
    return counts


def _refuse_unlisted(folder: Path, listed: set[str]) -> None:
    strange = sorted(path.name for path in folder.glob("*.tar") if path.name not in listed)
    if strange:
        raise ShardError(f"{folder / strange[0]}: not in the manifest; nothing may read it")
