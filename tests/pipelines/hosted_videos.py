"""Matches on several host names that one loopback server answers for, each in its own way."""

from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import numpy as np
import pyarrow as pa

from formats.tables import MatchRow, part_files, write_rows
from formats.video import encode_frames
from pipelines.batches import read_part
from pipelines.fetch_options import FetchOptions
from pipelines.identity import row_key
from pipelines.joins import FetchedVideo
from pipelines.options import Options, RunOptions
from pipelines.run import Job
from tests.pipelines.faulty_server import Server, send, whole

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def small_video(folder: Path, seed: int = 0) -> bytes:
    """A second and a half of a moving picture, another for each seed."""
    still = np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    path = folder / "small.mp4"
    encode_frames(str(path), (np.roll(still, shift, axis=1) for shift in range(15)), fps=10)
    return path.read_bytes()


def answers(status: int) -> Behaviour:
    return lambda handler: send(handler, status)


def gives(body: bytes) -> Behaviour:
    return lambda handler: whole(handler, body)


def behave(server: Server, hosts: Mapping[str, Behaviour]) -> None:
    """Let each host name have its own behaviour."""
    server.answer = lambda handler, _: hosts[handler.headers["Host"]](handler)


def uris(hosts: Mapping[str, int]) -> list[str]:
    """So many URIs on each host."""
    return [f"http://{host}/{n}.mp4" for host, count in hosts.items() for n in range(count)]


def hosted_job(out: Path, server: Server, hosts: Mapping[str, int], **fetch: object) -> Job:
    """A job whose matches are written; every host is the server, nothing slows it down."""
    rows = [MatchRow(row_key(u), u, u, ("yoga",), ("yoga",)) for u in uris(hosts)]
    rows.sort(key=lambda row: row.row_key)
    write_rows(str(out / "matches" / "part-00000-of-00001.parquet"), rows, MatchRow)
    options = Options(run=RunOptions(buckets=1), fetch=hosted_options(server, hosts, **fetch))
    return Job(out, "kinetics", options)


def tables_of(job: Job) -> dict[str, list[pa.RecordBatch]]:
    """A job's matches and videos as one bucket."""
    return {
        folder: [b for part in part_files(job.path(folder)) for b in read_part(part, row_type)]
        for folder, row_type in (("matches", MatchRow), ("videos", FetchedVideo))
    }


def hosted_options(server: Server, hosts: Mapping[str, int], **fetch: object) -> FetchOptions:
    given = {
        "connect_to": tuple(f"{host}=127.0.0.1:{server.port}" for host in hosts),
        "robots_txt": False,
        "host_gap_s": 0.0,
        "host_failures": 10_000,
        "max_failed_fraction": 1.0,
        "max_tries": 1,
        **fetch,
    }
    return FetchOptions(**given)  # type: ignore[arg-type]
