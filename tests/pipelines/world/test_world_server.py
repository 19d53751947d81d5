from dataclasses import replace
from pathlib import Path

import pytest
import urllib3

from pipelines.sample import Plan, World, render_world
from pipelines.world.posts import Kind, plan_posts
from pipelines.world.truth import WorldError
from pipelines.world.world_server import WorldServer, serve_world

KINDS = (Kind.CLEAN, Kind.DEAD, Kind.DENIED, Kind.HTML, Kind.ZERO, Kind.FLAKY, Kind.CUT)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    posts = {post.kind: post for post in plan_posts(0) if post.kind in KINDS}
    cut = [
        replace(p, film=replace(p.film, frames=8, action_start=0, action_end=8))
        for p in posts.values()
    ]
    world = World(str(tmp_path_factory.mktemp("world")))
    render_world(world, Plan(0, tuple(cut), ()), workers=1)
    return world, {post.kind: post.path for post in cut}


@pytest.fixture
def get(world):
    with serve_world(world[0].folder) as address, urllib3.PoolManager(retries=False) as pool:

        def get(kind_or_path, method="GET", **headers):
            path = world[1].get(kind_or_path, kind_or_path)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return pool.request(method, f"http://{address}/{path}", headers=named, timeout=5)

        yield get


def stored(world, kind):
    return Path(world[0].folder, world[1][kind]).read_bytes()


def test_a_file_is_served_whole(world, get):
    answer = get(Kind.CLEAN)
    assert (answer.status, answer.data) == (200, stored(world, Kind.CLEAN))
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.headers["Content-Type"].startswith("video/")


def test_head_tells_the_length_and_sends_nothing(world, get):
    answer = get(Kind.CLEAN, "HEAD")
    assert (answer.status, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(stored(world, Kind.CLEAN)))


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ("bytes=10-19", slice(10, 20)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=5-99999999", slice(5, None)),
    ],
)
def test_a_range_is_served_as_asked(world, get, asked, wanted):
    whole = stored(world, Kind.CLEAN)
    answer = get(Kind.CLEAN, Range=asked)
    start = wanted.indices(len(whole))[0]
    assert (answer.status, answer.data) == (206, whole[wanted])
    assert answer.headers["Content-Range"] == (
        f"bytes {start}-{start + len(answer.data) - 1}/{len(whole)}"
    )


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=9-3", "bytes=-0"])
def test_a_range_without_bytes_is_refused(world, get, asked):
    answer = get(Kind.CLEAN, Range=asked)
    assert answer.status == 416
    assert answer.headers["Content-Range"] == f"bytes */{len(stored(world, Kind.CLEAN))}"


def test_a_range_goes_with_its_version_only(world, get):
    tag = get(Kind.CLEAN, "HEAD").headers["ETag"]
    assert get(Kind.CLEAN, Range="bytes=0-3", If_Range=tag).status == 206
    assert get(Kind.CLEAN, Range="bytes=0-3", If_Range='"old"').status == 200
    assert get(Kind.CLEAN, Range="lines=0-3").status == 200


@pytest.mark.parametrize(
    "path",
    ["", "videos/", "videos/none.mp4", "truth.csv", "videos/../truth.csv", "%2e%2e/etc/passwd"],
)
def test_nothing_but_the_posts_files_is_served(get, path):
    assert get(path).status == 404


def test_dead_denied_html_and_empty_posts_answer_as_such(get):
    assert (get(Kind.DEAD).status, get(Kind.DENIED).status) == (404, 403)
    page, empty = get(Kind.HTML), get(Kind.ZERO)
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html")
    assert page.data.startswith(b"<!DOCTYPE html>")
    assert (empty.status, empty.data) == (200, b"")


def test_a_flaky_post_is_busy_once_per_server(world, get):
    first, second = get(Kind.FLAKY), get(Kind.FLAKY)
    assert (first.status, first.headers["Retry-After"]) == (503, "1")
    assert (second.status, second.data) == (200, stored(world, Kind.FLAKY))


def test_a_cut_post_breaks_off_once_and_can_be_resumed(world, get):
    whole = stored(world, Kind.CUT)
    with pytest.raises(urllib3.exceptions.ProtocolError, match="IncompleteRead"):
        get(Kind.CUT)
    rest = get(Kind.CUT, Range=f"bytes={len(whole) // 2}-")
    assert (rest.status, rest.data) == (206, whole[len(whole) // 2 :])


def test_a_lost_file_is_not_found(world, get):
    path = Path(world[0].folder, world[1][Kind.CLEAN])
    content = path.read_bytes()
    path.unlink()
    assert get(Kind.CLEAN).status == 404
    path.write_bytes(content)


def test_a_folder_without_a_world_is_refused(tmp_path):
    with pytest.raises(WorldError, match="build it first"):
        WorldServer(str(tmp_path))
