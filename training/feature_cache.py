"""Features at rest, so that a network is run once over a split: never trusted more than needed.

An array of numbers (`.npy`, read without pickle and by its exact size) and a JSON file beside it
that is written last and names its SHA-256. What does not fit is computed anew, and said.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor

from formats.settings import significant
from formats.shards import digest_of
from formats.storage import publish, sha256_file, write_text
from training.evaluate import Floats, VideoFeatures
from training.options import Options
from training.truth import Truth

_LOG = logging.getLogger(__name__)
_MAX_FACTS_BYTES = 1 << 28
_MAX_HEADER_BYTES = 1 << 12
FORMAT = 1


def model_digest(state: Mapping[str, Tensor]) -> str:
    """Hex hash of a network's weights, wherever they are stored and on whatever device."""
    return digest_of(*sorted((name, _tensor_digest(value)) for name, value in state.items()))


def cache_key(weights: str, truth: Truth, options: Options, clips: int, *, half: bool) -> str:
    """What features depend on: weights, videos, clips per video, and how they are looked at.

    `half` says whether convolutions are computed in bfloat16, which `auto` leaves to the device.
    """
    parts = [significant(options.model), significant(options.clips)]
    return digest_of(FORMAT, weights, truth.dataset_id, parts, clips, half)


def save_features(folder: str, key: str, features: VideoFeatures) -> None:
    """Keep features under a key.

    Raises:
        StorageError: the disk is full or refuses.
    """
    array = Path(folder) / f"{key}.npy"
    with publish(str(array)) as temporary, open(temporary, "wb") as file:
        np.save(file, np.ascontiguousarray(features.features_VKD), allow_pickle=False)
    facts = {"key": key, "sha256": sha256_file(str(array)), "clip_ids": list(features.clip_ids)}
    write_text(str(Path(folder) / f"{key}.json"), json.dumps(facts) + "\n")


def load_features(folder: str, key: str, truth: Truth) -> VideoFeatures | None:
    """What is kept under a key, if it is whole and of exactly the split's videos; else nothing."""
    facts = Path(folder) / f"{key}.json"
    if not facts.exists():
        return None
    try:
        return _load(facts, Path(folder) / f"{key}.npy", key, truth)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        _LOG.warning("%s: not the features of this split, computed anew: %s", facts, error)
        return None


def _load(facts: Path, array: Path, key: str, truth: Truth) -> VideoFeatures:
    for path in (facts, array):
        if path.is_symlink() or not path.is_file():
            raise ValueError(f"{path.name} is no plain file")
    if facts.stat().st_size > _MAX_FACTS_BYTES:
        raise ValueError(f"{facts.stat().st_size} bytes of facts")
    content = json.loads(facts.read_text(encoding="utf-8"))
    clip_ids = content["clip_ids"]
    if content["key"] != key or sha256_file(str(array)) != content["sha256"]:
        raise ValueError("key or SHA-256 differs")
    known = isinstance(clip_ids, list) and all(isinstance(i, str) for i in clip_ids)
    if not known or len(clip_ids) != len(truth.label_ids) or set(clip_ids) != set(truth.label_ids):
        raise ValueError("the videos are others")
    # A map never allocates what a header claims, and refuses one that claims more than is there.
    mapped = np.load(array, mmap_mode="r", allow_pickle=False)
    return VideoFeatures(_checked(mapped, array, len(clip_ids)), tuple(clip_ids))


def _checked(mapped: Floats, array: Path, videos: int) -> Floats:
    extra = array.stat().st_size - mapped.nbytes
    if mapped.dtype != np.float32 or mapped.ndim != 3 or len(mapped) != videos:
        raise ValueError(f"an array of {mapped.dtype} {mapped.shape}")
    if not 0 < extra <= _MAX_HEADER_BYTES:
        raise ValueError(f"{extra} bytes that are no features")
    features_VKD = np.array(mapped)
    if not np.isfinite(features_VKD).all():
        raise ValueError("features that are not finite")
    return features_VKD


def _tensor_digest(value: Tensor) -> str:
    array = np.ascontiguousarray(value.detach().cpu().numpy())
    digest = hashlib.sha256(array.tobytes()).hexdigest()
    return digest_of(str(array.dtype), list(value.shape), digest)
