"""Hashes made up, and some bits away from each other."""

import numpy as np

from dedup.fingerprint import Fingerprint
from dedup.index import TargetIndex, TargetVideo


def random_codes(count: int, *, rng_seed: int = 0) -> np.ndarray:
    return np.random.default_rng(rng_seed).integers(0, 256, (count, 32), dtype=np.uint8)


def flipped(code: np.ndarray, bits: int, *, start: int = 0) -> np.ndarray:
    places = np.arange(256)
    return code ^ np.packbits((places >= start) & (places < start + bits))


def source(codes: list[np.ndarray], seconds=None, versions=None) -> Fingerprint:
    seconds = range(len(codes)) if seconds is None else seconds
    return Fingerprint(
        np.array(codes), np.array(seconds, np.float32), tuple(versions or ["raw"] * len(codes))
    )


def index_of(codes: np.ndarray, video_id: str = "v1") -> TargetIndex:
    variants = ("full",) * len(codes)
    seconds = np.arange(len(codes), dtype=np.float32) / 2
    return TargetIndex.build([TargetVideo("t", video_id, Fingerprint(codes, seconds, variants))])
