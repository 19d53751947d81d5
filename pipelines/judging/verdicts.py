"""What people said of the pairs that they were shown, as a CSV file brings it."""

import csv
import io
from collections.abc import Iterator, Mapping

from pipelines.run import JobError

SAME, DIFFERENT, UNSURE = "same", "different", "unsure"
WORDS = (SAME, DIFFERENT, UNSURE)
_MAX_BYTES = 64 << 20


def read_verdicts(path: str, known: Mapping[str, str]) -> dict[str, str]:
    """The verdict on each pair that has one, by pair.

    Raises:
        JobError: the file cannot be read, names a pair that was not drawn or one twice, or says
            something else than same, different, unsure or nothing.
    """
    verdicts: dict[str, str] = {}
    seen: set[str] = set()
    for line, pair, word in _rows(path):
        where = f"{path}, line {line}"
        if pair not in known:
            raise JobError(
                f"{where}: {pair[:60]!r} is no pair of this audit; verdicts must be of "
                "the page that was written last"
            )
        if pair in seen:
            raise JobError(f"{where}: the pair {pair} stands there twice; keep one of the two")
        if word and word not in WORDS:
            raise JobError(
                f"{where}: {word[:60]!r} is no verdict; write same, different or "
                "unsure, or nothing for a pair not judged"
            )
        seen.add(pair)
        if word:
            verdicts[pair] = word
    return verdicts


def _rows(path: str) -> Iterator[tuple[int, str, str]]:
    """Line, pair and verdict of each row, as a spreadsheet may have saved them."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise JobError(f"{path}: cannot be read as a CSV file of verdicts: {error}") from error
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = {(name or "").strip().casefold(): name for name in reader.fieldnames or ()}
        if not {"pair", "verdict"} <= set(names):
            raise JobError(f"{path}: needs the columns pair and verdict, as audit/pairs.csv has")
        for row in reader:
            pair, word = ((row[names[name]] or "").strip() for name in ("pair", "verdict"))
            if pair or word:
                yield reader.line_num, pair, word.casefold()
    except csv.Error as error:
        raise JobError(f"{path}: cannot be read as a CSV file of verdicts: {error}") from error
