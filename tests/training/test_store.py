import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from formats.shards import MANIFEST, ShardError, read_manifest
from tests.pipelines.web.test_objects import put, service
from tests.training.moving_clips import write_split
from training.clip_options import ClipOptions
from training.store import ShardStore, StoredClip

CLIPS = [(f"{i:04x}", bytes([i]) * (300 + 700 * i), i % 3, 1.0) for i in range(9)]
PLAIN = ClipOptions()


@pytest.fixture
def split(tmp_path: Path) -> str:
    return write_split(tmp_path / "all", CLIPS, clips_per_shard=3)


def contents(store: ShardStore) -> list[tuple[str, bytes, int]]:
    found = []
    for entry in store.manifest.shards:
        shard = store.open(entry)
        for number in range(len(shard.index)):
            clip = StoredClip(shard, number)
            found.append((clip.clip_id, clip.read(0, clip.size), clip.label_id))
    return found


WHOLE = [(clip_id, content, label) for clip_id, content, label, _ in CLIPS]


def flip(path: Path, where: bytes) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(where)] ^= 1
    path.write_bytes(content)


def test_clips_are_read_where_they_lie(split: str) -> None:
    store = ShardStore(split, PLAIN)
    assert contents(store) == WHOLE
    clip = StoredClip(store.open(store.manifest.shards[1]), 0)
    assert clip.read(2, 3) == bytes([3]) * 3
    assert clip.read(clip.size - 1, 100) == bytes([3])
    assert clip.read(clip.size, 100) == b""


def test_a_damaged_shard_is_named_before_its_first_clip_and_the_others_are_read(split: str) -> None:
    flip(Path(split) / "shard-00003.tar", bytes([4]) * 100)
    store = ShardStore(split, PLAIN)
    first, second, third = store.manifest.shards
    store.open(first), store.open(third)
    with pytest.raises(ShardError, match=r"all/shard-00003\.tar: its bytes changed"):
        store.open(second)


def test_only_sizes_are_looked_at_where_that_is_asked(split: str) -> None:
    flip(Path(split) / "shard-00003.tar", bytes([4]) * 100)
    store = ShardStore(split, replace(PLAIN, verify="size"))
    assert [clip_id for clip_id, _, _ in contents(store)] == [clip_id for clip_id, _, _ in WHOLE]


def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one for every shard that is read as a whole."""
    import training.store

    seen: list[str] = []
    digest = training.store.hashlib.file_digest

    def counted(file: object, name: str) -> object:
        seen.append(name)
        return digest(file, name)  # type: ignore[arg-type, type-var]

    monkeypatch.setattr(training.store.hashlib, "file_digest", counted)
    return seen


def test_a_shard_is_hashed_once_over_all_uses_of_a_scratch_folder(
    split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = hashed(monkeypatch)
    store = ShardStore(split, replace(PLAIN, scratch=str(tmp_path / "scratch")))
    assert contents(store) == contents(store) == contents(pickle.loads(pickle.dumps(store)))
    assert len(seen) == 3
    again = ShardStore(split, replace(PLAIN, scratch=str(tmp_path / "scratch")))
    assert contents(again) == WHOLE
    assert len(seen) == 3


def test_a_shard_that_changed_since_is_checked_anew(split: str, tmp_path: Path) -> None:
    options = replace(PLAIN, scratch=str(tmp_path / "scratch"))
    contents(ShardStore(split, options))
    flip(Path(split) / "shard-00003.tar", bytes([4]) * 100)
    with pytest.raises(ShardError, match="its bytes changed"):
        contents(ShardStore(split, options))


def test_a_check_of_the_size_does_not_count_as_one_of_the_bytes(split: str, tmp_path: Path) -> None:
    flip(Path(split) / "shard-00003.tar", bytes([4]) * 100)
    options = replace(PLAIN, scratch=str(tmp_path / "scratch"))
    contents(ShardStore(split, replace(options, verify="size")))
    with pytest.raises(ShardError, match="its bytes changed"):
        contents(ShardStore(split, options))


def test_the_scratch_folder_goes_with_the_store_but_not_with_a_copy_of_it(split: str) -> None:
    store = ShardStore(split, PLAIN)
    folder = store._scratch
    contents(store)
    process = get_context("fork").Process(target=contents, args=(store,))
    process.start()
    process.join()
    assert process.exitcode == 0
    assert folder.is_dir()
    del store
    assert not folder.exists()


def test_a_shard_that_is_cut_while_it_is_read_is_named(split: str) -> None:
    store = ShardStore(split, PLAIN)
    shard = store.open(store.manifest.shards[2])
    os.truncate(shard.path, 2000)
    with pytest.raises(ShardError, match=r"shard-00006\.tar: was cut while it was in use"):
        StoredClip(shard, 2).read(0, 5000)


def test_files_are_closed_with_their_shards(split: str) -> None:
    store = ShardStore(split, PLAIN)
    before = len(os.listdir("/proc/self/fd"))
    shards = [store.open(entry) for entry in store.manifest.shards]
    clip = StoredClip(shards[0], 0)
    del shards
    assert len(os.listdir("/proc/self/fd")) == before + 1
    assert clip.read(0, 1) == b"\0"


def test_the_sum_of_repeats_comes_from_the_manifest_or_from_the_shard(tmp_path: Path) -> None:
    clips = [("aa", b"", 0, 1.5), ("bb", b"", 0, 0.1), ("cc", b"", 0, 3.0)]
    folder = write_split(tmp_path / "all", clips, clips_per_shard=2)
    store = ShardStore(folder, PLAIN)
    told = [store.units(entry) for entry in store.manifest.shards]
    counted = [store.units(replace(entry, repeats=None)) for entry in store.manifest.shards]
    assert told == counted
    assert sum(told) / 2**20 == pytest.approx(4.6, abs=1e-5)


@pytest.fixture(scope="module", params=["s3", "gs"])
def remote(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, ClipOptions, str]]:
    """A split in an object store, how it is asked, and the same split on disk."""
    kind: str = request.param
    folder = write_split(tmp_path_factory.mktemp(kind) / "all", CLIPS, clips_per_shard=2)
    with service(kind) as endpoint:
        for path in Path(folder).iterdir():
            put(kind, endpoint, f"a b/shards/all/{path.name}", path.read_bytes())
        options = {f"{kind}_endpoint": f"http://{endpoint}", "s3_region": "us-east-1"}
        yield (
            f"{kind}://clips/a b/shards/all",
            ClipOptions(anonymous_objects=True, **options),
            folder,
        )


def test_a_split_in_an_object_store_is_read_as_one_on_a_disk(
    remote: tuple[str, ClipOptions, str],
) -> None:
    uri, options, folder = remote
    store = ShardStore(uri, options)
    assert store.manifest == read_manifest(folder)
    assert contents(store) == WHOLE


def test_a_copy_that_was_damaged_is_made_anew(
    remote: tuple[str, ClipOptions, str], tmp_path: Path
) -> None:
    uri, options, _ = remote
    options = replace(options, scratch=str(tmp_path))
    contents(ShardStore(uri, options))
    damaged = [path for path in tmp_path.glob("*.tar") if bytes([4]) * 100 in path.read_bytes()]
    flip(damaged[0], bytes([4]) * 100)
    assert contents(ShardStore(uri, options)) == WHOLE


def test_an_object_that_is_not_what_the_manifest_says_is_named(
    remote: tuple[str, ClipOptions, str],
) -> None:
    uri, options, _ = remote
    store = ShardStore(uri, options)
    entry = replace(store.manifest.shards[0], sha256="0" * 64)
    with pytest.raises(ShardError, match=r"://clips/a b/shards/all/shard-00000\.tar: its bytes"):
        store.open(entry)
    with pytest.raises(ShardError, match=r"all/nothing\.tar: not there"):
        store.open(replace(entry, path="nothing.tar"))
    with pytest.raises(ShardError, match=rf"nowhere/{MANIFEST}: not there"):
        ShardStore(f"{uri}/nowhere", options)


def test_copies_are_deleted_when_they_take_too_much_room(
    remote: tuple[str, ClipOptions, str], tmp_path: Path
) -> None:
    uri, options, _ = remote
    options = replace(options, scratch=str(tmp_path), scratch_mib=0, shards_per_window=1)
    store = ShardStore(uri, options)
    opened = [store.open(entry) for entry in store.manifest.shards]
    # Two windows of one shard, each as large as the largest.
    largest = max(entry.bytes for entry in store.manifest.shards)
    kept = [path.stat().st_size for path in tmp_path.glob("*.tar")]
    assert sum(kept) <= 2 * largest
    assert len(kept) < len(opened) == 5
    assert StoredClip(opened[0], 1).read(0, 9) == bytes([1]) * 9
    assert contents(store) == WHOLE


def test_a_place_that_is_neither_is_refused() -> None:
    with pytest.raises(ShardError, match=r"ftp://host/x/MANIFEST.json: neither a path nor"):
        ShardStore("ftp://host/x", PLAIN)


def test_an_index_is_a_hundred_bytes_a_clip(split: str) -> None:
    store = ShardStore(split, PLAIN)
    index = store.open(store.manifest.shards[0]).index
    assert isinstance(index, np.ndarray)
    assert index.nbytes <= 100 * len(index)
