"""The corpus of hostile media: over a hundred files, planted neighbours, and who may read them."""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from formats.video import encode_frames
from pipelines.identity import row_key
from tests.formats.generated_video import bars
from tests.trials.bombs import bombs
from tests.trials.broken import broken
from tests.trials.lists import lists
from tests.trials.media_case import NOT_VIDEO, WHOLE, Case, Maker
from tests.trials.odd import odd

NEIGHBOUR = "neighbour.mp4"
"""A good video beside the hostile ones, in no catalog: nobody may open it."""
VICTIM = next(
    name
    for name in (f"victim{number}.mp4" for number in itertools.count())
    if row_key(f"./{name}").startswith("000")
)
"""A good video of the catalog that is fetched first, so that later ones could reach for it."""


def write_corpus(folder: Path, scratch: Path, port: int) -> dict[str, Case]:
    """Write every file and a catalog of them; cases by the name of their file."""
    encode_frames(str(folder / NEIGHBOUR), bars(50), fps=25)
    # A decoder works in a folder of its own below that of its unit's videos.
    places = {
        "near": NEIGHBOUR,
        "far": str(folder / NEIGHBOUR),
        "source": f"../{row_key(f'./{VICTIM}')}.mp4.source",
        "stored": f"../{row_key(f'./{VICTIM}')}.mp4",
        "port": str(port),
    }
    cases = list(_cases(Maker(scratch, places)))
    for case in cases:
        (folder / case.name).write_bytes(case.content)
    write_catalog(folder / "catalog.jsonl", [case.name for case in cases])
    by_name = {case.name: case for case in cases}
    assert len(by_name) == len(cases)
    return by_name


def write_catalog(path: Path, names: list[str]) -> None:
    """A catalog of files beside it."""
    rows = [{"video_id": name, "uri": f"./{name}", "hashtags": ["yoga"]} for name in names]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def _cases(make: Maker) -> Iterator[Case]:
    yield Case(VICTIM, make.fast, WHOLE)
    for name, text in lists().items():
        yield Case(name, text.format(**make.places).encode(), NOT_VIDEO)
    yield from bombs(make)
    yield from broken(make)
    yield from odd(make)
