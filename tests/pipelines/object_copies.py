"""Copies of one object of a service, and what is left when there is none."""

from pathlib import Path

import pytest

from pipelines.sources import Fetched, FetchError, fetch_source
from tests.pipelines.faulty_server import options

SMALL = bytes(range(256)) * 40
LARGE = bytes(range(251)) * 40_000  # More than two blocks.
Facts = dict[str, object]


def copy(kind: str, endpoint: str, rest: str, tmp_path: Path, **more: object) -> Fetched:
    given: Facts = {
        "sources": (kind,),
        f"{kind}_endpoint": f"http://{endpoint}",
        "s3_region": "us-east-1",
        "anonymous_objects": True,
        **more,
    }
    got = str(tmp_path / "got")
    return fetch_source(f"{kind}://{rest}", got, options=options(**given), folder=None)


def refused(kind: str, endpoint: str, rest: str, tmp_path: Path, **more: object) -> FetchError:
    with pytest.raises(FetchError) as caught:
        copy(kind, endpoint, rest, tmp_path, **more)
    assert not (tmp_path / "got").exists()
    assert "\n" not in caught.value.detail
    return caught.value
