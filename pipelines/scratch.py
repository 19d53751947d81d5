"""One folder for all that a job has under way, and the end of what a killed run left there."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from formats.shards import digest_of
from formats.storage import scratch_place


@contextmanager
def own_scratch(out: Path) -> Iterator[None]:
    """Let all temporary files of this process, and of those it starts, lie in one folder.

    It goes when the block ends. The caller holds `out`, so one of the same `out` is a killed run's.

    Raises:
        StorageError: no folder takes temporary files.
    """
    prefix = f"tagreel-{digest_of(str(out.resolve()))[:12]}-"
    before = tempfile.tempdir, os.environ.get("TMPDIR")
    with tempfile.TemporaryDirectory(prefix=prefix, dir=scratch_place()) as folder:
        for path in Path(folder).parent.glob(f"{prefix}*"):
            if path != Path(folder):
                shutil.rmtree(path, ignore_errors=True)
        _point_to(folder, folder)
        try:
            yield
        finally:
            _point_to(*before)


def _point_to(folder: str | None, variable: str | None) -> None:
    tempfile.tempdir = folder
    if variable is None:
        os.environ.pop("TMPDIR", None)
    else:
        os.environ["TMPDIR"] = variable
